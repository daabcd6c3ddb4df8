from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from router.control.core.workers import Confirmation, Workers
from router.rollout.model.route import Route
from router.runtime import clock
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats
from tests.control.control_harness import DEAD, FakeWorkers, new_segment


@pytest.fixture
async def both_sides() -> AsyncIterator[tuple[Segment, FakeWorkers, Workers]]:
    segment = new_segment()
    fakes = FakeWorkers(segment)
    fakes.listen()
    workers = Workers(WorkerStats(segment), fakes.wakes, fakes.acks)
    workers.listen()
    yield segment, fakes, workers
    workers.stop_listening()
    fakes.close()
    segment.close()


async def test_only_workers_with_a_process_are_waited_for(both_sides: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, fakes, workers = both_sides
    assert workers.living() == [0, 1]
    fakes.live(1, DEAD)
    assert workers.living() == [0]
    segment.words[segment.layout.worker(0) + at.W_PID] = 0
    assert workers.living() == []


async def test_woken_workers_confirm(both_sides: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, _, workers = both_sides
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    assert workers.unconfirmed(0, 5) == [0, 1]
    workers.wake()
    confirmation = await workers.confirm(0, 5, stored_ns, 5.0)
    assert (confirmation.complete, confirmation.unconfirmed) == (True, ())
    assert 0 <= confirmation.confirmed_ms < 5000
    assert [index for index, _ in confirmation.workers_ms] == [0, 1]
    assert all(0 <= ms <= confirmation.confirmed_ms for _, ms in confirmation.workers_ms)


async def test_only_acknowledgements_of_this_very_route_have_a_time(
    both_sides: tuple[Segment, FakeWorkers, Workers],
) -> None:
    segment, fakes, workers = both_sides
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    fakes.acknowledge(0)
    RouteCell(segment, 0).publish(Route(6, active=0), 0)
    fakes.acknowledge(1)
    confirmation = await workers.confirm(0, 5, stored_ns, 1.0)
    assert [index for index, _ in confirmation.workers_ms] == [0]
    replaced = await workers.confirm(0, 5, clock.now_ns(), 1.0)
    assert replaced.workers_ms == (), "what was acknowledged before the store was acknowledged for another reason"


async def test_the_confirmation_lists_unconfirmed_workers(both_sides: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, fakes, workers = both_sides
    fakes.deaf.add(0)
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    workers.wake()
    confirmation = await workers.confirm(0, 5, stored_ns, 0.02)
    assert (confirmation.complete, confirmation.unconfirmed) == (False, (0,))
    assert confirmation.confirmed_ms >= 20


async def test_a_wait_that_begins_too_late_looks_once(both_sides: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, _, workers = both_sides
    RouteCell(segment, 0).publish(Route(5, active=0), 0)
    confirmation = await workers.confirm(0, 5, clock.now_ns() - 10_000_000_000, 1.0)
    assert confirmation == Confirmation((0, 1), confirmation.confirmed_ms)


async def test_a_full_eventfd_wakes_anyway(both_sides: tuple[Segment, FakeWorkers, Workers]) -> None:
    _, fakes, workers = both_sides
    os.eventfd_write(fakes.wakes[0], 2**64 - 2)
    workers.wake()
    workers.acknowledged()
