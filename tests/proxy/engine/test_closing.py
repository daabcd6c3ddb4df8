"""How a connection of a client ends."""

from __future__ import annotations

from dataclasses import replace

from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field
from tests.proxy.waiting import until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_bytes_after_connection_close_do_not_harm_the_request_before() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGARBAGE")
        status, head, _ = await client.response()
        assert (status, field(head, b"connection")) == (200, b"close")
        assert await client.rest() == b""


async def test_a_half_closed_client_is_still_answered() -> None:
    async with Backend(backends.slow(0.1, b"late")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        client.writer.write_eof()
        assert (await client.rest()).endswith(b"late")
    assert rig.exchanges() == {"ok": 1}


async def test_a_client_that_closed_is_taken_for_gone_after_the_grace() -> None:
    async with Backend(backends.never()) as backend, Rig(replace(OPTIONS, half_close_grace_s=0.1)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        client.close()
        await until(rig.attempts)
    assert rig.attempts() == {"client_gone": 1}


async def test_an_idle_connection_is_closed_silently() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, keepalive_idle_s=0.2)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        assert await client.rest() == b""
