from __future__ import annotations

import pytest

from router.rollout.outcome import Outcome
from router.rollout.stats.breadth import Distinct
from router.rollout.work import NAMED_BUCKETS, OTHER, WorkEnd
from router.shm import layout as at
from router.shm import work_rows
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

SLOT = 2


def put(segment: Segment, worker: int, bucket: int, **words: int) -> None:
    row = segment.layout.worker_slot(worker, 0, SLOT) + at.L_WORK + bucket * at.WORK_WORDS
    for name, value in words.items():
        segment.words[row + getattr(at, f"B_{name.upper()}")] = value


def ended(segment: Segment, worker: int, bucket: int, end: WorkEnd, count: int) -> None:
    row = segment.layout.worker_slot(worker, 0, SLOT) + at.L_WORK + bucket * at.WORK_WORDS
    segment.words[row + at.B_ENDS + end] += count


def note(segment: Segment, worker: int, epoch: int, **sets: tuple[int, ...]) -> int:
    """Write an epoch row as a worker does; return its offset."""
    start = segment.layout.worker_slot(worker, 0, SLOT) + at.L_EPOCHS + epoch % at.EPOCHS * at.EPOCH_WORDS
    for name, fingerprints in sets.items():
        found, offset = Distinct.of(fingerprints), start + getattr(at, f"EP_{name.upper()}")
        for number, fingerprint in enumerate(found.exact):
            segment.words[offset + number] = fingerprint
        for number in range(4):
            segment.words[offset + 4 + number] = found.sketch >> 64 * number & (1 << 64) - 1
    segment.words[start + at.EP_INCARNATION] = 5
    segment.words[start + at.EP_NUMBER] = epoch
    return start


def test_buckets_without_attempts_are_left_out(segment: Segment) -> None:
    put(segment, 0, OTHER, asked=1)
    put(segment, 1, 3, asked=2)
    assert list(WorkerStats(segment).slot_work(0, SLOT)) == [3, OTHER]
    assert WorkerStats(segment).slot_work(0, 1) == {}


def test_a_row_is_read_whole(segment: Segment) -> None:
    put(segment, 0, 1, asked=9, late_faults=2, known_good=1, in_progress=3, waiting=4, waiting_long=2, overdue=1)
    put(
        segment,
        0,
        1,
        oldest_wait_ns=50,
        last_useful_ns=60,
        moving=2,
        last_moved_ns=70,
        lost_requests=11,
        lost_clients=12,
    )
    ended(segment, 0, 1, WorkEnd.EMPTY, 2)
    row = segment.layout.worker_slot(0, 0, SLOT)
    segment.words[row + at.L_WORK + at.WORK_WORDS + at.B_TIMES + 31] = 5
    found = work_rows.read(segment.words, (row,), 1)
    assert (found.asked, found.without_use, found.late_faults, found.known_good, found.open) == (9, 2, 2, 1, 7)
    assert (found.in_progress, found.waiting, found.waiting_long, found.overdue) == (3, 4, 2, 1)
    assert (found.oldest_wait_ns, found.last_useful_ns, found.moving, found.last_moved_ns) == (50, 60, 2, 70)
    assert (found.lost_requests, found.lost_clients, found.times[-1]) == ({11}, {12}, 5)


def test_workers_are_added_up(segment: Segment) -> None:
    for worker in (0, 1):
        put(segment, worker, 0, asked=4, last_useful_ns=worker + 7)
        ended(segment, worker, 0, WorkEnd.USEFUL, 3)
    found = WorkerStats(segment).slot_work(0, SLOT)[0]
    assert (found.asked, found.useful, found.open, found.last_useful_ns) == (8, 6, 2, 8)


def test_open_attempts_of_a_dead_worker_end_neutral(segment: Segment) -> None:
    put(segment, 0, NAMED_BUCKETS, asked=9, waiting=4, in_progress=2, oldest_wait_ns=5, moving=1, last_useful_ns=3)
    ended(segment, 0, NAMED_BUCKETS, WorkEnd.USEFUL, 5)
    segment.words[segment.layout.worker_slot(0, 0, SLOT) + at.L_CLAIMED] = 9
    WorkerStats(segment).close_dead_worker(0, (0,))
    (found,) = WorkerStats(segment).slot_work(0, SLOT).values()
    assert (found.asked, found.useful, found.ends[WorkEnd.NEUTRAL], found.open) == (9, 5, 4, 0)
    assert (found.waiting, found.in_progress, found.oldest_wait_ns, found.moving, found.last_useful_ns) == (
        0,
        0,
        0,
        0,
        3,
    )
    assert segment.words[segment.layout.worker_slot(0, 0, SLOT) + at.L_OUTCOMES + Outcome.CUT] == 9
    WorkerStats(segment).close_dead_worker(0, (0,))
    assert WorkerStats(segment).slot_work(0, SLOT)[NAMED_BUCKETS] == found


def test_epochs_of_two_workers_are_united(segment: Segment) -> None:
    first = note(segment, 0, 100, fault_requests=(1, 2), fault_clients=(300,), useful_clients=(9,))
    second = note(segment, 1, 100, fault_requests=(2, 1 << 63))
    note(segment, 1, 101, lost_requests=(4, 5, 6, 7, 8, 10))
    segment.words[first + at.EP_FAULTS], segment.words[second + at.EP_FAULTS] = 2, 3
    before, present = WorkerStats(segment).slot_epochs(0, SLOT, 5, 100)
    assert (before.number, before.faults) == (100, 5)
    assert before.fault_requests == Distinct.of([1, 2, 1 << 63])
    assert (before.fault_clients.count, before.useful_clients.count, before.lost_clients.count) == (1, 1, 0)
    assert (present.number, present.lost_requests.count) == (101, 6)


@pytest.mark.parametrize(("since", "numbers"), [(0, [100, 101]), (101, [101]), (102, [])])
def test_older_epochs_are_left_out(segment: Segment, since: int, numbers: list[int]) -> None:
    note(segment, 0, 100)
    note(segment, 0, 101)
    assert [epoch.number for epoch in WorkerStats(segment).slot_epochs(0, SLOT, 5, since)] == numbers
    assert WorkerStats(segment).slot_epochs(0, SLOT, 6, since) == ()
