from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from router.control.core.workers import Confirmation, Workers, process_exists
from router.rollout.model.route import Route
from router.runtime import clock
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats
from tests.control.control_harness import DEAD, FakeWorkers, new_segment


@pytest.fixture
async def hands() -> AsyncIterator[tuple[Segment, FakeWorkers, Workers]]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    workers.listen()
    crew = Workers(WorkerStats(segment), workers.wakes, workers.acks)
    crew.listen()
    yield segment, workers, crew
    crew.stop_listening()
    workers.close()
    segment.close()


def test_which_processes_exist() -> None:
    assert process_exists(os.getpid())
    assert process_exists(1)
    assert not process_exists(DEAD)


async def test_only_workers_with_a_process_are_waited_for(hands: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, workers, crew = hands
    assert crew.living() == [0, 1]
    workers.live(1, DEAD)
    assert crew.living() == [0]
    segment.words[segment.layout.worker(0) + at.W_PID] = 0
    assert crew.living() == []


async def test_woken_workers_confirm(hands: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, _, crew = hands
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    assert crew.unconfirmed(0, 5) == [0, 1]
    crew.wake()
    told = await crew.confirm(0, 5, stored_ns, 5.0)
    assert (told.complete, told.unconfirmed) == (True, ())
    assert 0 <= told.confirmed_ms < 5000
    assert [index for index, _ in told.workers_ms] == [0, 1]
    assert all(0 <= ms <= told.confirmed_ms for _, ms in told.workers_ms)


async def test_only_acknowledgements_of_this_very_route_have_a_time(
    hands: tuple[Segment, FakeWorkers, Workers],
) -> None:
    segment, workers, crew = hands
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    workers.acknowledge(0)
    RouteCell(segment, 0).publish(Route(6, active=0), 0)
    workers.acknowledge(1)
    told = await crew.confirm(0, 5, stored_ns, 1.0)
    assert [index for index, _ in told.workers_ms] == [0]
    replaced = await crew.confirm(0, 5, clock.now_ns(), 1.0)
    assert replaced.workers_ms == (), "what was acknowledged before the store was acknowledged for another reason"


async def test_who_did_not_confirm_is_named(hands: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, workers, crew = hands
    workers.deaf.add(0)
    stored_ns = RouteCell(segment, 0).publish(Route(5, active=0), 0)
    crew.wake()
    told = await crew.confirm(0, 5, stored_ns, 0.02)
    assert (told.complete, told.unconfirmed) == (False, (0,))
    assert told.confirmed_ms >= 20


async def test_a_wait_that_begins_too_late_looks_once(hands: tuple[Segment, FakeWorkers, Workers]) -> None:
    segment, _, crew = hands
    RouteCell(segment, 0).publish(Route(5, active=0), 0)
    told = await crew.confirm(0, 5, clock.now_ns() - 10_000_000_000, 1.0)
    assert told == Confirmation((0, 1), told.confirmed_ms)


async def test_a_full_eventfd_wakes_anyway(hands: tuple[Segment, FakeWorkers, Workers]) -> None:
    _, workers, crew = hands
    os.eventfd_write(workers.wakes[0], 2**64 - 2)
    crew.wake()
    crew.acknowledged()
