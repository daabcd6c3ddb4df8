"""Counters of a slot: differences since a version filled it, summed over the workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.control.placement.slot_counters import SlotCounters
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
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


def test_counters_are_the_same_list_until_a_word_changes(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    add(segment, 1, at.L_OUTCOMES, 2)
    first = counters.scalars(SLOT)
    assert counters.scalars(SLOT) is first
    for offset in (at.L_CLAIMED, at.L_OUTCOMES + 12, at.L_WAITING, at.L_OLDEST_WAITING_NS, at.L_PAIRS_FAILED):
        before = counters.scalars(SLOT)
        add(segment, 1, offset, 1)
        after = counters.scalars(SLOT)
        assert (after is before, after[offset] - before[offset]) == (False, 1)
    counters.begin(SLOT)
    assert counters.scalars(SLOT)[at.L_OUTCOMES] == 0, "the base is part of what is compared"


def test_counters_that_change_while_they_are_read_are_read_again(segment: Segment) -> None:
    class Busy(WorkerStats):
        """A worker claims while the counters are read."""

        busy = True

        def slot_scalars(self, service: int, slot: int) -> list[int]:
            if self.busy:
                add(segment, 0, at.L_CLAIMED, 1)
            return super().slot_scalars(service, slot)

    worker_stats = Busy(segment)
    counters = SlotCounters(segment, worker_stats, 0)
    assert [counters.scalars(SLOT)[at.L_CLAIMED] for _ in range(2)] == [1, 2]
    worker_stats.busy = False
    known = counters.scalars(SLOT)
    assert known[at.L_CLAIMED] == 2
    assert counters.scalars(SLOT) is known


def test_a_gauge_that_changes_while_it_is_read_and_comes_back_is_read_again(segment: Segment) -> None:
    class Moving(WorkerStats):
        """A worker changes a gauge while the first reading is under way."""

        def slot_scalars(self, service: int, slot: int) -> list[int]:
            if not moved:
                moved.append(True)
                add(segment, 0, at.L_GAP_MAX_US, 7)
            return super().slot_scalars(service, slot)

    moved: list[bool] = []
    counters = SlotCounters(segment, Moving(segment), 0)
    assert counters.scalars(SLOT)[at.L_GAP_MAX_US] == 7
    add(segment, 0, at.L_GAP_MAX_US, -7)
    assert counters.scalars(SLOT)[at.L_GAP_MAX_US] == 0


def test_gauges_are_no_differences(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    add(segment, 0, at.L_WAITING, 5)
    counters.begin(SLOT)
    assert counters.scalars(SLOT)[at.L_WAITING] == 5


def work(segment: Segment, offset: int, count: int) -> None:
    add(segment, 0, at.L_WORK + 3 * at.WORK_WORDS + offset, count)


def test_work_is_counted_since_the_slot_was_filled(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    work(segment, at.B_ASKED, 5)
    work(segment, at.B_ENDS + WorkEnd.USEFUL, 5)
    work(segment, at.B_TIMES + 7, 5)
    work(segment, at.B_LAST_USEFUL_NS, 1_000)
    counters.begin(SLOT)
    assert counters.work(SLOT) == {}
    work(segment, at.B_ASKED, 2)
    work(segment, at.B_ENDS + WorkEnd.FAULT, 1)
    work(segment, at.B_WAITING, 1)
    (found,) = counters.work(SLOT).values()
    assert (found.asked, found.useful, found.without_use, found.open, found.waiting) == (2, 0, 1, 1, 1)
    assert (found.times[7], found.last_useful_ns) == (0, 0)
    work(segment, at.B_LAST_USEFUL_NS, 1)
    assert counters.work(SLOT)[3].last_useful_ns == 1_001


def test_the_present_epoch_and_the_one_before_are_read(segment: Segment) -> None:
    counters = SlotCounters(segment, WorkerStats(segment), 0)
    for number, incarnation in ((100, 7), (101, 8)):
        row = at.L_EPOCHS + number % at.EPOCHS * at.EPOCH_WORDS
        add(segment, 0, row + at.EP_NUMBER, number)
        add(segment, 0, row + at.EP_INCARNATION, incarnation)
    found = {
        (incarnation, number): [epoch.number for epoch in counters.epochs(SLOT, incarnation, number * 10 * SECOND_NS)]
        for incarnation in (7, 8)
        for number in (100, 102, 103)
    }
    assert found == {(7, 100): [100], (7, 102): [], (7, 103): [], (8, 100): [101], (8, 102): [101], (8, 103): []}
