"""What the attempts of real requests leave in the epoch rows, as control reads it."""

from __future__ import annotations

import pytest

from router.rollout.stats.breadth import Epoch
from router.rollout.stats.work_counts import WorkCounts
from router.shm import layout as at
from tests import backends
from tests.backends import Backend, chunk
from tests.proxy.rig import Rig, until

FIELDS = b"Host: t\r\nContent-Length: 5\r\n\r\n"


def post(body: bytes, path: bytes = b"/infer") -> bytes:
    return b"POST %b HTTP/1.1\r\n%b%b" % (path, FIELDS, body)


def epoch(rig: Rig, slot: int = 0) -> Epoch:
    """Return all epochs of a slot as one."""
    found = rig.worker_stats.slot_epochs(0, slot, 1, 0)
    assert len(found) in (1, 2)
    first, last = found[0], found[-1]
    if first is last:
        return first
    return Epoch(
        last.number,
        first.faults + last.faults,
        first.lost + last.lost,
        first.known_good + last.known_good,
        first.fault_requests | last.fault_requests,
        first.fault_clients | last.fault_clients,
        first.lost_requests | last.lost_requests,
        first.lost_clients | last.lost_clients,
        first.useful_clients | last.useful_clients,
        first.unaffected_clients | last.unaffected_clients,
    )


def work(rig: Rig, bucket: int = at.WORK_BUCKETS - 2, slot: int = 0) -> WorkCounts:
    return rig.worker_stats.slot_work(0, slot).get(bucket, WorkCounts())


@pytest.mark.parametrize(
    ("bodies", "distinct"), [([b"aaaaa"] * 4, 1), ([b"aaaaa", b"bbbbb"], 2), ([b"%05d" % n for n in range(12)], 12)]
)
async def test_faults_are_counted_by_distinct_requests(bodies: list[bytes], distinct: int) -> None:
    async with Backend(backends.status(500)) as bad, Rig() as rig:
        rig.serve(bad.url)
        for body in bodies:
            assert (await rig.ask(post(body)))[0] == 500  # each over a connection of its own
        found = epoch(rig)
    assert found.faults == found.lost == len(bodies)
    # Up to four are exact. Of 12 fingerprints with a random key, two share a bit of the sketch in one run of four.
    assert distinct - distinct // 4 <= found.fault_requests.count == found.lost_requests.count <= distinct
    assert found.fault_clients.count == 1


async def test_a_query_makes_another_request() -> None:
    async with Backend(backends.status(500)) as bad, Rig() as rig:
        rig.serve(bad.url)
        for number in range(3):
            await rig.ask(post(b"hello", b"/infer?n=%d" % number))
        assert epoch(rig).fault_requests.count == 3


async def test_a_request_that_was_useful_before_is_known_also_on_another_version() -> None:
    async with Backend(backends.ok()) as good, Backend(backends.status(500)) as bad, Rig() as rig:
        rig.fill(0, "v1", good.url)
        rig.fill(1, "v2", bad.url)
        rig.route(0)
        assert (await rig.ask(post(b"known")))[0] == 200
        rig.route(1)
        for body in (b"known", b"other", b"known"):
            assert (await rig.ask(post(body)))[0] == 500
        assert epoch(rig, 1).known_good == 1
        assert work(rig, slot=1).known_good == 1


async def test_a_client_with_useful_answers_between_the_faults_is_unaffected() -> None:
    async with Backend(backends.in_turn(backends.status(500), backends.ok())) as flaky, Rig() as rig:
        rig.serve(flaky.url)
        await rig.ask(post(b"first"))
        await rig.ask(post(b"other"))
        found = epoch(rig)
    assert found.useful_clients.count == 1
    assert found.unaffected_clients == found.fault_clients


async def test_a_long_wait_is_noted_while_it_lasts_and_forgotten_after_a_useful_answer() -> None:
    async with Backend(backends.never()) as hangs, Rig(hang_wait_min_s=0.05) as rig:
        rig.serve(hangs.url)
        client = await rig.client()
        await client.send(post(b"hangs"))
        await until(lambda: bool(work(rig).lost_requests))
        assert epoch(rig).lost_requests.count == 1
        assert epoch(rig).lost == 0
        hangs.behaviour = backends.ok()
        assert (await rig.ask(post(b"other")))[0] == 200
        assert not work(rig).lost_requests
        await until(lambda: bool(work(rig).lost_requests))  # it still waits
        client.reset()
        await rig.quiet()


async def test_an_event_stream_without_content_is_a_long_wait() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(
        b": hi\n\n"
    )
    async with Backend(backends.stall_after(raw, len(raw))) as silent, Rig(hang_wait_min_s=0.05) as rig:
        rig.serve(silent.url)
        client = await rig.client()
        await client.send(post(b"hangs"))
        await until(lambda: bool(work(rig).lost_requests))
        client.reset()
        await rig.quiet()


@pytest.mark.parametrize("cut", [1, 3, 4])
async def test_how_a_body_arrives_makes_no_difference(cut: int) -> None:
    async with Backend(backends.status(500)) as bad, Rig() as rig:
        rig.serve(bad.url)
        await rig.ask(post(b"hello"))
        client = await rig.client()
        raw = post(b"hello")
        await client.send(raw[: -5 + cut])
        await rig.has_read(client)
        await client.send(raw[-5 + cut :])
        assert (await client.response())[0] == 500
        client.close()
        found = epoch(rig)
    assert (found.faults, found.fault_requests.count) == (2, 1)


async def test_a_client_that_leaves_early_leaves_no_fingerprint() -> None:
    async with Backend(backends.never()) as hangs, Rig() as rig:
        rig.serve(hangs.url)
        client = await rig.client()
        await client.send(post(b"early"))
        await until(lambda: bool(hangs.requests))
        client.reset()
        await rig.quiet()
        assert rig.worker_stats.slot_epochs(0, 0, 1, 0) == ()
