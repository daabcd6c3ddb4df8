"""What both kinds of heads have in common: codings in one form, and what is for one hop only."""

from __future__ import annotations

import pytest

from router.proxy.http1.fields import CHUNKED
from router.proxy.http1.request_head import parse_request
from router.proxy.http1.response_head import parse_response

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("line", [b"TRANSFER-encoding:CHUNKED", b"Transfer-Encoding: \tchunked\t "])
def test_a_coding_is_handed_on_as_everybody_writes_it(line: bytes) -> None:
    head = parse_request(GET + line + b"\r\nX: \xff\r\n\r\n", 100)
    assert head.length == CHUNKED
    assert head.upstream == GET + b"Transfer-Encoding: chunked\r\nX: \xff\r\nX-Forwarded-Host: a\r\n"
    assert parse_response(OK + line + b"\r\n\r\n").downstream == OK + b"Transfer-Encoding: chunked\r\n"


def test_trailer_is_end_to_end() -> None:
    raw = GET + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n"
    assert parse_request(raw + b"\r\n", 100).upstream == raw + b"X-Forwarded-Host: a\r\n"
    assert parse_response(OK + b"Trailer: X-Sum\r\n\r\n").downstream == OK + b"Trailer: X-Sum\r\n"
