"""How fast a client has to be: stretches of five seconds in which 1,200 bytes are owed; the clock is an argument."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from router.proxy.deadlines import Deadlines
from router.proxy.engine import flow_control
from router.proxy.engine.downstream import Downstream
from router.runtime import clock
from tests import backends
from tests.backends import Backend
from tests.proxy.late_reader import reading_late
from tests.proxy.rig import OPTIONS, Client, Rig, until

OWED = 1200
GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"


def a_period_later(table: Deadlines) -> None:
    table.sweep(clock.now_s() + 5.5)


def limited(rig: Rig) -> dict[str, int]:
    return {name: count for name, count in rig.worker_stats.limited().items() if count}


async def begun_body(rig: Rig, raw: bytes) -> Client:
    """Return a client whose bytes the router has wholly read."""
    client = await rig.client()
    await client.send(raw)
    _, _, sent = raw.partition(b"\r\n\r\n")
    await until(
        lambda: any(
            d.body is not None and d.body.received_bytes >= len(sent) for d in rig.data_plane.limiter.connections
        )
    )
    await until(lambda: rig.context.body_rate.since)
    return client


SLOW_BODIES = {
    "length": POST + b"x" * (OWED - 1),
    "nothing of it": POST,
    "one chunk": CHUNKED_POST + b"64\r\n" + b"x" * 100 + b"\r\n",
    "the size of a chunk": CHUNKED_POST + b"0000",
    "an extension": CHUNKED_POST + b"5;name",
    "trailers": CHUNKED_POST + b"5\r\nhello\r\n0\r\nX-A: b\r\nX-",
}


@pytest.mark.parametrize("raw", SLOW_BODIES.values(), ids=SLOW_BODIES)
async def test_a_body_that_comes_too_slowly_is_408_and_no_fault(raw: bytes) -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await begun_body(rig, raw)
        a_period_later(rig.context.body_rate)
        assert (await client.response())[0] == 408
        assert await client.rest() == b""
        await until(lambda: not backend.open)
        assert backend.requests == []
        assert not rig.context.body_rate.since
    assert (rig.attempts(), rig.exchanges()) == ({"client_gone": 1}, {"refused": 1})
    assert limited(rig) == {"body_rate_min_bytes_per_s": 1}


async def test_a_body_at_the_rate_goes_on_and_each_stretch_counts_for_itself() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 200  # a connection to the backend is there: nothing is held back
        client = await begun_body(rig, POST + b"x" * OWED)
        for sent in (2 * OWED, 3 * OWED):
            a_period_later(rig.context.body_rate)
            await client.send(b"x" * OWED)
            await until(
                lambda at=sent: [
                    d for d in rig.data_plane.limiter.connections if d.body and d.body.received_bytes == at
                ]
            )  # type: ignore[misc]
        a_period_later(rig.context.body_rate)
        a_period_later(rig.context.body_rate)
        assert (await client.response())[0] == 408, "having been fast once is no excuse"


async def test_a_body_that_we_hold_back_is_not_the_clients_slowness() -> None:
    let_through = asyncio.Event()
    size = 40 << 20  # more than the socket buffers of both connections take
    async with Backend(reading_late(let_through)) as backend, Rig(replace(OPTIONS, body_bytes_max=size)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await until(lambda: any(connection.body_paused for connection in rig.data_plane.limiter.connections))
        assert not rig.context.body_rate.since
        a_period_later(rig.context.body_rate)
        let_through.set()
        assert (await client.response())[0] == 200
    assert (rig.attempts(), limited(rig)) == ({"ok": 1}, {})


async def test_without_a_rate_only_silence_counts() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, body_rate_min_bytes_per_s=0)) as rig:
        rig.serve(backend.url)
        client = await begun_body(rig, b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nx")
        a_period_later(rig.context.body_rate)
        assert (await client.ask(b"x"))[0] == 200


async def test_a_whole_body_is_never_looked_at_and_an_ended_one_no_longer() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nxx"))[0] == 200
        assert not rig.context.body_rate.since
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nx")
        await until(lambda: rig.context.body_rate.since)
        assert (await client.ask(b"x"))[0] == 200
        a_period_later(rig.context.body_rate)
        assert (await client.ask(GET))[0] == 200
    assert limited(rig) == {}


async def test_a_client_that_leaves_in_its_body_is_forgotten() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await begun_body(rig, POST)
        client.reset()
        await until(lambda: not rig.context.body_rate.since)
        a_period_later(rig.context.body_rate)
    assert (rig.attempts(), limited(rig)) == ({"client_gone": 1}, {})


# -- taking a response


class Counted:
    """The transport of a client of whom the test says how much waits for him to take."""

    def __init__(self, transport: asyncio.Transport, waiting: int) -> None:
        self.waiting = waiting
        self._transport = transport

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)


@asynccontextmanager
async def congested(rig: Rig) -> AsyncIterator[tuple[Client, Downstream, Counted]]:
    """A client that reads nothing of a long response: 100,000 bytes wait for it, the backend is paused."""
    async with Backend(backends.sending(backends.response(200, b"x" * (8 << 20)))) as backend, rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET)
        await until(lambda: rig.context.write_rate.since)
        (connection,) = rig.data_plane.limiter.connections
        assert connection.transport is not None
        counted = Counted(connection.transport, 100_000)
        connection.transport = counted  # type: ignore[assignment]
        flow_control.start_write_timers(connection)
        yield client, connection, counted


TAKEN = {
    "a byte a second": ("write_rate", 5, "write_rate_min_bytes_per_s"),
    "almost enough": ("write_rate", OWED - 1, "write_rate_min_bytes_per_s"),
    "nothing": ("write_wait", 0, "write_timeout_s"),
}


@pytest.mark.parametrize(("table", "taken", "limit"), TAKEN.values(), ids=TAKEN)
async def test_who_takes_too_little_is_cut_and_it_is_no_fault(table: str, taken: int, limit: str) -> None:
    rig = Rig()
    async with congested(rig) as (_, _, counted):
        counted.waiting -= taken
        a_period_later(getattr(rig.context, table))
        await until(lambda: not rig.data_plane.limiter.connections)
        assert not rig.context.write_rate.since
        assert not rig.context.write_wait.since
    assert (rig.attempts(), rig.exchanges()) == ({"client_gone": 1}, {"client_gone": 1})
    assert limited(rig) == {limit: 1}


async def test_who_takes_enough_in_each_stretch_may_take_long() -> None:
    rig = Rig()
    async with congested(rig) as (client, connection, counted):
        for _ in range(3):
            counted.waiting -= OWED
            a_period_later(rig.context.write_rate)
            a_period_later(rig.context.write_wait)
        assert set(rig.context.write_rate.since) == set(rig.context.write_wait.since) == {connection}
        connection.transport = counted._transport
        client.reader._limit = 1 << 24  # type: ignore[attr-defined]
        await client.response()
        assert not rig.context.write_rate.since
        client.close()
    assert (rig.attempts(), limited(rig)) == ({"ok": 1}, {})


async def test_without_a_rate_a_byte_within_the_timeout_is_enough() -> None:
    rig = Rig(replace(OPTIONS, write_rate_min_bytes_per_s=0))
    async with congested(rig) as (_, connection, counted):
        counted.waiting -= 1
        a_period_later(rig.context.write_rate)
        a_period_later(rig.context.write_wait)
        assert connection in rig.context.write_wait.since
        a_period_later(rig.context.write_wait)
        await until(lambda: not rig.data_plane.limiter.connections)
    assert limited(rig) == {"write_timeout_s": 1}


async def test_an_event_stream_that_says_little_is_no_slow_client() -> None:
    async with Backend(backends.tokens(3, 0.02)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
        assert not rig.context.write_rate.since
        assert not rig.context.write_wait.since
        a_period_later(rig.context.write_rate)
        client.writer.write_eof()
        await client.rest()
    assert (rig.attempts(), limited(rig)) == ({"ok": 1}, {})


async def test_limits_of_other_settings_hold_for_who_is_there() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await begun_body(rig, POST + b"x" * OWED)
        rig.data_plane.reconfigure(replace(OPTIONS, body_rate_min_bytes_per_s=1000, body_rate_grace_s=2.0))
        rig.context.body_rate.sweep(clock.now_s() + 2.5)
        assert (await client.response())[0] == 408


async def test_no_client_is_late_because_we_were() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, body_rate_grace_s=0.001)) as rig:
        rig.serve(backend.url)
        client = await begun_body(rig, POST)
        rig.data_plane._due_s -= 0.6
        rig.data_plane.sweep()
        assert rig.context.body_rate.since
        await until(lambda: not rig.context.body_rate.since)
        assert (await client.response())[0] == 408


# -- all at once


async def test_two_thousand_slow_clients_harm_nobody_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slow_machine = dict.fromkeys(("header_timeout_s", "body_timeout_s", "body_rate_grace_s", "keepalive_idle_s"), 60.0)
    options = replace(OPTIONS, connections_max=3000, in_flight_max=2000, connect_waits_max=2000, **slow_machine)
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        slow: list[Client] = []
        for raw in (b"", b"GET / HTTP/1.1\r\nHost:", GET + b"G", POST, CHUNKED_POST + b"5;x") * 8:
            some = await asyncio.gather(*(rig.client() for _ in range(50)))
            for client in some:
                client.writer.write(raw)
            slow += some
            assert (await asyncio.wait_for(rig.ask(GET), 1))[0] == 200
        await until(lambda: len(rig.context.body_rate.since) == 800 and len(backend.requests) == 440)
        assert (await asyncio.wait_for(rig.ask(GET), 1))[0] == 200
        assert len(rig.data_plane.limiter.connections) >= 2000
        for table in (
            rig.context.header_wait,
            rig.context.body_rate,
            rig.context.keepalive,
            rig.context.linger,
        ):
            table.sweep(clock.now_s() + 60.5)
        rig.context.linger.sweep(clock.now_s() + 60.5)
        await until(lambda: len(rig.data_plane.limiter.connections) < 50)
        assert (await rig.ask(GET))[0] == 200
    assert rig.attempts() == {"ok": 442, "client_gone": 800}
    assert limited(rig) == {"header_timeout_s": 1200, "body_rate_min_bytes_per_s": 800}
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
