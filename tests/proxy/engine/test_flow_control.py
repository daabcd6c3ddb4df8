"""The slower side sets the pace, and memory stays bounded."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from router.proxy.engine.downstream import Downstream
from tests import backends
from tests.backends import Backend
from tests.proxy.late_reader import reading_late
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.waiting import turns

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_a_slow_reader_holds_the_backend_back_and_memory_stays_bounded() -> None:
    size = 8 << 20
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET)
        active = rig.data_plane.services[0].active
        await until(lambda: any(exchange.paused_at_s > 0 for exchange in active.in_flight))
        assert not rig.data_plane.services[0].idle.since  # its clock stands still
        head, _, body = (await client.head()), b"", await client.exactly(size)
        assert len(body) == size
        assert head.startswith(b"HTTP/1.1 200")
    assert rig.attempts() == {"ok": 1}


class Congested:
    """The transport of a connection whose client takes less than we write."""

    def __init__(self, connection: Downstream) -> None:
        self._transport = connection.transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[union-attr]
        self._connection.pause_writing()  # as the loop does


async def test_a_backend_connection_let_through_for_one_client_is_not_let_through_for_the_next() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        slow = await rig.client()
        await until(lambda: rig.data_plane.limiter.connections)
        (connection,) = rig.data_plane.limiter.connections
        connection.transport = Congested(connection)  # type: ignore[assignment]
        assert (await slow.ask(GET))[0] == 200
        assert (await rig.ask(GET))[0] == 200
        assert backend.connections == 1
        await slow.send(GET)
        assert (await rig.ask(GET))[0] == 200
        assert len(backend.requests) == 3, "a client that takes nothing has to wait"
        connection.resume_writing()
        assert (await slow.response())[0] == 200


async def test_a_client_that_pipelines_and_takes_nothing_is_not_answered_into_memory() -> None:
    number, size = 300, 100_000
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET * number)
        await until(lambda: rig.context.write_wait.since)
        asked = len(backend.requests)
        assert asked < number / 2
        await turns(100)
        assert len(backend.requests) == asked
        client.reader._limit = 1 << 24  # type: ignore[attr-defined]
        for _ in range(number):
            assert (await client.response())[0] == 200
    assert rig.attempts() == {"ok": number}


async def test_a_slow_backend_holds_the_client_back() -> None:
    let_through = asyncio.Event()
    size = 40 << 20  # more than the socket buffers of both connections take
    async with Backend(reading_late(let_through)) as backend, Rig(replace(OPTIONS, body_bytes_max=size)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await until(lambda: any(connection.body_paused for connection in rig.data_plane.limiter.connections))
        let_through.set()
        assert (await client.response())[0] == 200
        assert len(backend.requests[0].body) == size
