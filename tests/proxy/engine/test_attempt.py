"""What an attempt counts in the lane: times, begun, the age of a wait that was given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.proxy.engine.attempt import cell_of, count
from router.rollout.stats.histogram import BUCKETS, MICROS_MAX, index, quantile
from router.rollout.work import TIME_BOUNDS_US, time_cell
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, until

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


@pytest.mark.parametrize("micros", [0, 1, 7, 8, 9, 15, 16, 999, 1000, 65535, 10**6, 10**9, MICROS_MAX, MICROS_MAX * 2])
def test_the_inlined_arithmetic_counts_in_the_bucket_of_the_histogram(micros: int) -> None:
    words = memoryview(bytearray(BUCKETS * 8)).cast("Q")
    count(words, 0, (micros + 0.5) / 1e6)
    assert [bucket for bucket in range(BUCKETS) if words[bucket]] == [index(micros)]


def test_a_negative_duration_counts_as_nothing_waited() -> None:
    words = memoryview(bytearray(BUCKETS * 8)).cast("Q")
    count(words, 0, -1.0)
    assert words[0] == 1


async def test_the_first_byte_and_the_duration_are_two_times() -> None:
    async with Backend(backends.tokens(4, 0.1)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.reader.readuntil(backends.LAST_CHUNK)
    first = quantile(rig.worker_stats.slot_histogram(0, 0, at.L_FIRST_BYTE), 0.5)
    whole = quantile(rig.worker_stats.slot_histogram(0, 0, at.L_DURATION), 0.5)
    assert first is not None
    assert whole is not None
    assert first < 100_000 < 350_000 < whole
    assert rig.scalar(at.L_GAP_MAX_US) > 80_000


async def test_a_server_error_has_not_begun_and_is_no_fast_answer() -> None:
    async with Backend(backends.status(500)) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 500
    assert rig.attempts() == {"server_error": 1}
    assert (rig.scalar(at.L_BEGUN), rig.scalar(at.L_FAULTS_UNBEGUN)) == (0, 1)
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_FIRST_BYTE)) == 0


@pytest.mark.parametrize(("code", "outcome"), [(200, "ok"), (301, "ok"), (404, "client_error"), (429, "throttled")])
async def test_statuses_below_500_have_begun(code: int, outcome: str) -> None:
    async with Backend(backends.status(code)) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == code
    assert rig.attempts() == {outcome: 1}
    assert (rig.scalar(at.L_BEGUN), rig.scalar(at.L_FAULTS_UNBEGUN)) == (1, 0)


async def test_a_client_that_takes_nothing_is_cut_and_no_fault() -> None:
    options = replace(OPTIONS, write_timeout_s=0.2)
    async with Backend(backends.sending(backends.response(200, b"x" * (16 << 20)))) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]
        await client.send(GET)
        await until(rig.attempts)
    assert rig.attempts() == {"client_gone": 1}
    assert rig.scalar(at.L_ABANDONED_LONG) == 0


async def test_a_client_that_leaves_mid_stream_frees_the_backend() -> None:
    async with Backend(backends.tokens(1000, 0.01)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
        client.reset()
        await until(lambda: not backend.open)
    assert rig.attempts() == {"client_gone": 1}
    assert rig.scalar(at.L_BEGUN) == 1


async def test_an_exchange_that_has_ended_is_not_tried_elsewhere() -> None:
    """A connection may fail in the moment in which the client leaves; nothing was sent over it, so it could be tried again."""
    options = replace(OPTIONS, services=(replace(OPTIONS.services[0], replay="always"),))
    async with Backend(backends.never()) as backend, Backend(backends.ok()) as standby, Rig(options) as rig:
        rig.serve(backend.url, standby.url)
        client = await rig.client()
        await client.send(GET)
        active = rig.data_plane.services[0].active
        await until(lambda: bool(active.in_flight) and len(backend.requests) == 1)
        (exchange,) = active.in_flight
        client.reset()
        await until(lambda: not active.in_flight)
        assert exchange.ended
        exchange.attempt.any_sent = False
        exchange.connect_failed(OSError("refused"), ours=False)
        del exchange
    assert (rig.attempts(), rig.attempts(1), standby.requests) == ({"client_gone": 1}, {}, [])


async def test_a_stream_that_was_cut_is_no_quick_answer() -> None:
    raw = backends.CHUNKED + backends.chunk(b"token")
    async with Backend(backends.cut_after(raw, len(raw))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.rest()
    assert rig.attempts() == {"truncated": 1}
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_FIRST_BYTE)) == 1
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_DURATION)) == 0


async def test_who_leaves_in_the_middle_of_an_upload_waited_for_nobody() -> None:
    async with Backend(backends.never()) as backend, Rig(hang_wait_min_s=0.0) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhell")
        await until(lambda: backend.connections)
        client.reset()
        await until(rig.attempts)
    assert rig.attempts() == {"client_gone": 1}
    assert rig.scalar(at.L_ABANDONED_LONG) == 0
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_ABANDONED)) == 0


@pytest.mark.parametrize("bound_us", [1, *TIME_BOUNDS_US])
def test_the_cell_of_a_time_to_useful_is_that_of_the_bounds(bound_us: int) -> None:
    for micros in (bound_us - 1, bound_us, bound_us + 1):
        assert cell_of((micros + 0.2) / 1e6) == time_cell(micros)
