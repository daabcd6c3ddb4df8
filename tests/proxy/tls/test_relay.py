"""Bytes between two transports: in both directions, with backpressure, until both sides have ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from router.proxy.tls.relay import Relay
from tests.proxy.rig import until

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Relay, Ends, Ends]]:
    """Yield a relay and the streams at its two far ends."""
    loop = asyncio.get_running_loop()
    relay = Relay()
    ends = []
    for side in relay.sides:
        ours, far = socket.socketpair()
        ours.setblocking(False)
        await loop.connect_accepted_socket(lambda side=side: side, ours)  # type: ignore[misc]
        ends.append(await asyncio.open_unix_connection(sock=far))
    try:
        yield relay, ends[0], ends[1]
    finally:
        for _, writer in ends:
            writer.close()
        await until(lambda: relay.over)


async def test_both_directions_and_a_half_close() -> None:
    async with relayed() as (relay, (reader, writer), (other, answers)):
        writer.write(b"question")
        writer.write_eof()
        assert await other.read() == b"question"
        answers.write(b"answer")
        answers.write_eof()
        assert await reader.read() == b"answer"
        await until(lambda: relay.over)


async def test_who_takes_nothing_holds_the_other_back_and_loses_nothing() -> None:
    async with relayed() as (relay, (_, writer), (other, _)):
        data = bytes(8 << 20)
        writer.write(data)
        await until(lambda: relay.sides[0]._paused)
        inner = relay.sides[1].transport
        assert inner is not None
        assert inner.get_write_buffer_size() < 1 << 20
        assert await other.readexactly(len(data)) == data


async def test_a_side_that_is_gone_is_an_end_to_the_other() -> None:
    async with relayed() as (relay, (_, writer), (other, answers)):
        writer.transport.abort()
        assert await other.read() == b""
        answers.close()
        await until(lambda: relay.over)


async def test_an_abort_ends_both() -> None:
    async with relayed() as (relay, (reader, _), (other, _)):
        relay.abort()
        assert await reader.read() == b""
        assert await other.read() == b""
