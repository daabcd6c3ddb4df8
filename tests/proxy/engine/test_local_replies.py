"""Answers that are given without an exchange."""

from __future__ import annotations

from dataclasses import replace

from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_declared_body_above_the_limit_is_413_and_reaches_nobody() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, body_bytes_max=100)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\n\r\n"))[0] == 413
        raw = (
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"
            + b"x" * 100
            + b"\r\n1\r\nx\r\n0\r\n\r\n"
        )
        assert (await rig.ask(raw))[0] == 413
        assert backend.requests == []


async def test_one_connection_too_many_is_503() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, connections_max=1)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 200
        other = await rig.client()
        assert (await other.rest()).startswith(b"HTTP/1.1 503 ")


async def test_a_malformed_request_line_is_refused_before_its_fields_come() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(b"GET /\r\n"))[0] == 400
