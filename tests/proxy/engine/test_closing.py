"""How a connection of a client ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests import backends
from tests.backends import Backend, Connection, RawRequest
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


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_client_that_closed_a_silent_stream_is_gone_after_the_grace_and_the_backend_is_told() -> None:
    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(STREAM)
        await connection.closed()
        told.set()

    told = asyncio.Event()
    options = replace(OPTIONS, half_close_grace_s=0.1)
    async with Backend(backends.answering(answer)) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await client.head()
        client.writer.write_eof()
        await asyncio.wait_for(told.wait(), 2)
        await until(rig.attempts)
    assert rig.attempts() == {"client_gone": 1}


async def test_a_half_closed_client_that_is_being_served_is_served_to_the_end() -> None:
    options = replace(OPTIONS, half_close_grace_s=0.3)
    async with Backend(backends.tokens(12, 0.1)) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await client.head()
        client.writer.write_eof()
        assert (await client.rest()).count(b"token") == 12
    assert rig.attempts() == {"ok": 1}


async def test_a_half_closed_client_that_reads_slowly_is_not_gone() -> None:
    body = b"x" * (8 << 20)
    async with Backend(backends.ok(body)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(POST)
        client.writer.write_eof()
        await until(lambda: any(one.congested and one.ended for one in rig.data_plane.limiter.connections))
        rig.context.half_closed.sweep(rig.context.now_s + 60.0)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await client.rest()) > len(body)
    assert rig.attempts() == {"ok": 1}


async def test_a_client_that_resets_a_silent_stream_is_gone_at_once() -> None:
    async with Backend(backends.stall_after(STREAM, len(STREAM))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await client.head()
        client.reset()
        await until(rig.attempts, 1.0)
    assert rig.attempts() == {"client_gone": 1}


async def test_an_idle_connection_is_closed_silently() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, keepalive_idle_s=0.2)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        assert await client.rest() == b""
