"""Counters of a slot: differences since a version filled it, summed over the workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.control.core.slot_counters import SlotCounters
from router.shm import layout as at
from router.shm.segment import Segment, create
from router.shm.worker_stats import WorkerStats

SLOT = 1


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = create(workers=2, services=1)
    yield made
    made.close()


def add(segment: Segment, worker: int, offset: int, count: int) -> None:
    segment.words[segment.layout.worker_slot(worker, 0, SLOT) + offset] += count


def test_counters_are_differences_since_the_slot_was_filled(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    add(segment, 0, at.L_CLAIMED, 5)
    add(segment, 1, at.L_FIRST_BYTE + 3, 2)
    counters.begin(SLOT)
    assert counters.scalars(SLOT)[at.L_CLAIMED] == 0
    add(segment, 0, at.L_CLAIMED, 2)
    add(segment, 1, at.L_CLAIMED, 1)
    add(segment, 1, at.L_FIRST_BYTE + 3, 4)
    assert counters.scalars(SLOT)[at.L_CLAIMED] == 3
    histogram = counters.histogram(SLOT, at.L_FIRST_BYTE)
    assert (histogram[3], sum(histogram)) == (4, 4)


def test_gauges_are_no_differences(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    add(segment, 0, at.L_WAITING, 5)
    counters.begin(SLOT)
    assert counters.scalars(SLOT)[at.L_WAITING] == 5
