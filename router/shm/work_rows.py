"""Reads the work rows and the epoch rows of slot rows (layout.py, `B_` and `EP_`): what a version's work came to, and who was
affected.

A worker writes its rows by plain stores, without a lock. Ends lie before `B_ASKED` in a row and are read first, so that fewer
attempts may seem to be open than are, but never less than none. An epoch row is read only if its number is the same after the
reading: a worker that begins a new epoch in the row writes the number last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.rollout.stats.breadth import Distinct, Epoch, union
from router.rollout.stats.sample_words import distinct
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import WORK_ENDS, WorkEnd
from router.shm import layout as at

_GAUGES: Final = (at.B_IN_PROGRESS, at.B_WAITING, at.B_WAITING_LONG, at.B_OVERDUE, at.B_OLDEST_WAIT_NS, at.B_MOVING)
"""Gauges of open attempts; zero once the worker is dead."""


def used(words: memoryview, row: int) -> list[int]:
    """Return the buckets of the slot row at `row` that had an attempt."""
    asked = words[row + at.L_WORK + at.B_ASKED : row + at.L_EPOCHS : at.WORK_WORDS].tolist()
    return [bucket for bucket, count in enumerate(asked) if count]


def read(words: memoryview, rows: Sequence[int], bucket: int) -> WorkCounts:
    """Return one bucket, summed over the slot rows at `rows`."""
    starts = [row + at.L_WORK + bucket * at.WORK_WORDS for row in rows]
    parts = [words[start : start + at.WORK_WORDS].tolist() for start in starts]
    found = parts[0] if len(parts) == 1 else list(map(sum, zip(*parts, strict=True)))
    return WorkCounts(
        ends=tuple(found[: len(WORK_ENDS)]),
        asked=found[at.B_ASKED],
        late_faults=found[at.B_LATE_FAULTS],
        known_good=found[at.B_KNOWN_GOOD],
        in_progress=found[at.B_IN_PROGRESS],
        waiting=found[at.B_WAITING],
        waiting_long=found[at.B_WAITING_LONG],
        overdue=found[at.B_OVERDUE],
        oldest_wait_ns=min([part[at.B_OLDEST_WAIT_NS] for part in parts if part[at.B_OLDEST_WAIT_NS]], default=0),
        last_useful_ns=max([part[at.B_LAST_USEFUL_NS] for part in parts]),
        moving=found[at.B_MOVING],
        last_moved_ns=max([part[at.B_LAST_MOVED_NS] for part in parts]),
        lost_requests=_fingerprints(parts, at.B_LOST_REQUESTS),
        lost_clients=_fingerprints(parts, at.B_LOST_CLIENTS),
        times=tuple(found[at.B_TIMES :]),
    )


def _fingerprints(parts: Sequence[Sequence[int]], start: int) -> frozenset[int]:
    return frozenset([word for part in parts for word in part[start : start + at.LOST_MAX] if word])


def write_base(words: memoryview, row: int, bucket: int, counts: WorkCounts) -> None:
    """Write what later readings of a bucket are compared with into the base row at `row`."""
    start = row + at.L_WORK + bucket * at.WORK_WORDS
    for offset, count in (
        *enumerate(counts.ends),
        (at.B_ASKED, counts.asked),
        (at.B_LATE_FAULTS, counts.late_faults),
        (at.B_LAST_USEFUL_NS, counts.last_useful_ns),
        (at.B_LAST_MOVED_NS, counts.last_moved_ns),
        *((at.B_TIMES + cell, count) for cell, count in enumerate(counts.times)),
    ):
        words[start + offset] = count


def close(words: memoryview, row: int) -> None:
    """Count the open attempts of a dead worker's slot row as ended NEUTRAL, and set its gauges to zero."""
    for bucket in used(words, row):
        start = row + at.L_WORK + bucket * at.WORK_WORDS
        ended = sum(words[start + at.B_ENDS : start + at.B_ENDS + len(WORK_ENDS)])
        words[start + at.B_ENDS + WorkEnd.NEUTRAL] += words[start + at.B_ASKED] - ended
        for gauge in _GAUGES:
            words[start + gauge] = 0


def epochs(words: memoryview, rows: Sequence[int], incarnation: int, since: int) -> tuple[Epoch, ...]:
    """Return the epochs of an incarnation from number `since` on, oldest first, over the slot rows at `rows`."""
    found: dict[int, list[Epoch]] = {}
    for row in rows:
        for which in range(at.EPOCHS):
            start = row + at.L_EPOCHS + which * at.EPOCH_WORDS
            if words[start + at.EP_NUMBER] >= max(since, 1):
                epoch_words = words[start : start + at.EPOCH_WORDS].tolist()
                number = epoch_words[at.EP_NUMBER]
                if words[start + at.EP_NUMBER] == number and epoch_words[at.EP_INCARNATION] == incarnation:
                    found.setdefault(number, []).append(epoch_of(epoch_words))
    return tuple(_united(found[number]) for number in sorted(found))


def epoch_of(found: Sequence[int]) -> Epoch:
    """Return the epoch in the words of an epoch row."""
    return Epoch(
        number=found[at.EP_NUMBER],
        faults=found[at.EP_FAULTS],
        lost=found[at.EP_LOST],
        known_good=found[at.EP_KNOWN_GOOD],
        fault_requests=_distinct(found, at.EP_FAULT_REQUESTS),
        fault_clients=_distinct(found, at.EP_FAULT_CLIENTS),
        lost_requests=_distinct(found, at.EP_LOST_REQUESTS),
        lost_clients=_distinct(found, at.EP_LOST_CLIENTS),
        useful_clients=_distinct(found, at.EP_USEFUL_CLIENTS),
        unaffected_clients=_distinct(found, at.EP_UNAFFECTED_CLIENTS),
    )


def _distinct(found: Sequence[int], start: int) -> Distinct:
    return distinct(found[start : start + at.DISTINCT_WORDS])


def _united(parts: Sequence[Epoch]) -> Epoch:
    """Return one epoch over several workers."""
    if len(parts) == 1:
        return parts[0]
    return Epoch(
        number=parts[0].number,
        faults=sum(part.faults for part in parts),
        lost=sum(part.lost for part in parts),
        known_good=sum(part.known_good for part in parts),
        fault_requests=union(part.fault_requests for part in parts),
        fault_clients=union(part.fault_clients for part in parts),
        lost_requests=union(part.lost_requests for part in parts),
        lost_clients=union(part.lost_clients for part in parts),
        useful_clients=union(part.useful_clients for part in parts),
        unaffected_clients=union(part.unaffected_clients for part in parts),
    )
