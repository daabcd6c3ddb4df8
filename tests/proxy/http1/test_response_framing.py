"""Persistence and framing of a response follow the client, not the backend."""

from __future__ import annotations

import pytest

from router.proxy.http1 import response_framing
from router.proxy.http1.request_head import parse_request
from router.proxy.http1.response_head import parse_response

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
KEPT, CLOSED = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n", b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
OLD, OLD_KEPT = b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


@pytest.mark.parametrize(
    ("request_raw", "response_raw", "complete", "close", "found", "field"),
    [
        (KEPT, LENGTH, False, False, (False, False), b""),
        (KEPT, LENGTH, False, True, (False, True), b"Connection: close\r\n"),
        (CLOSED, LENGTH, True, False, (False, True), b"Connection: close\r\n"),
        (KEPT, UNTIL_CLOSE, False, False, (True, False), b"Transfer-Encoding: chunked\r\n"),
        (OLD_KEPT, UNTIL_CLOSE, False, False, (False, True), b"Connection: close\r\n"),
        (OLD_KEPT, CHUNKED, False, False, (False, True), b"Connection: close\r\n"),
        (OLD_KEPT, CHUNKED, True, False, (False, False), b"Connection: keep-alive\r\n"),
        (OLD, LENGTH, True, False, (False, True), b"Connection: close\r\n"),
    ],
)
def test_framing(
    request_raw: bytes, response_raw: bytes, complete: bool, close: bool, found: tuple[bool, bool], field: bytes
) -> None:
    request, head = parse_request(request_raw, 100), parse_response(response_raw)
    pieces = [head.downstream, b"\r\n", b"body"]
    assert response_framing.adapt(request, head, pieces, complete=complete, close=close) == found
    assert b"".join(pieces[1:-2]) == field
    assert (b"transfer-encoding" in pieces[0].lower()) == (response_raw is CHUNKED and request.http11)
