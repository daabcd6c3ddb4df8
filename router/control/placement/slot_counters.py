"""The counters of one service's slots since their present versions filled them.

The workers' counters of a slot only ever grow. When a version fills a slot, the sums so far are stored as the base of
the slot in shared memory. Later readings are the differences from the base. The base outlives this process.
"""

from __future__ import annotations

from dataclasses import replace
from operator import sub
from typing import Final

from router.rollout.stats.breadth import Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm import work_rows
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

HISTOGRAMS: Final = (at.L_FIRST_BYTE, at.L_DURATION, at.L_ABANDONED, at.L_FIRST_USEFUL)
_GAUGES: Final = frozenset(
    {at.L_WAITING, at.L_WAITING_LONG, at.L_OLDEST_WAITING_NS, at.L_LAST_BEGUN_NS, at.L_GAP_MAX_US, at.L_TUNNELS}
)


class SlotCounters:
    """The slots of service number `index` of the segment."""

    def __init__(self, segment: Segment, worker_stats: WorkerStats, index: int) -> None:
        self._segment = segment
        self._worker_stats = worker_stats
        self._index = index
        self._known: dict[int, tuple[bytes, list[int]]] = {}
        """By slot: the memory of the last reading, and what it came to."""

    def begin(self, slot: int) -> None:
        """Count from zero from now on: store the present sums as the base of the slot."""
        words, base = self._segment.words, self._segment.layout.base(self._index, slot)
        for offset, count in enumerate(self._worker_stats.slot_scalars(self._index, slot)):
            words[base + offset] = count
        for which in HISTOGRAMS:
            for bucket, count in enumerate(self._worker_stats.slot_histogram(self._index, slot, which)):
                words[base + which + bucket] = count
        for bucket, counts in self._worker_stats.slot_work(self._index, slot).items():
            work_rows.write_base(words, base, bucket, counts)

    def scalars(self, slot: int) -> list[int]:
        """Return the `L_USED` counters of a slot since it was filled; gauges as they are.

        The list is the same object as at the call before if no counter has changed: do not change it.
        """
        memory = self._memory(slot)
        known = self._known.get(slot)
        if known is not None and known[0] == memory:
            return known[1]
        counts = self._read(slot)
        # Claims are read after the ends: only a memory in which they have not moved meanwhile stands for this reading.
        if self._memory(slot) == memory:
            self._known[slot] = memory, counts
        else:
            self._known.pop(slot, None)
        return counts

    def _memory(self, slot: int) -> bytes:
        """Return a copy of the words that `scalars` depends on."""
        layout, size = self._segment.layout, at.L_USED * at.WORD_BYTES
        starts = [layout.worker_slot(worker, self._index, slot) for worker in range(layout.workers)]
        rows = (start * at.WORD_BYTES for start in (layout.base(self._index, slot), *starts))
        return b"".join([self._segment.bytes[row : row + size] for row in rows])

    def _read(self, slot: int) -> list[int]:
        counts = self._worker_stats.slot_scalars(self._index, slot)
        words, base = self._segment.words, self._segment.layout.base(self._index, slot)
        since = list(map(sub, counts, words[base : base + at.L_USED].tolist()))
        for gauge in _GAUGES:
            since[gauge] = counts[gauge]
        return since

    def histogram(self, slot: int, which: int) -> tuple[int, ...]:
        """Return one histogram (`L_FIRST_BYTE`, …) of a slot since it was filled."""
        counts = self._worker_stats.slot_histogram(self._index, slot, which)
        base = self._segment.layout.base(self._index, slot) + which
        before = self._segment.words[base : base + BUCKETS].tolist()
        return tuple(now - earlier for now, earlier in zip(counts, before, strict=True))

    def work(self, slot: int) -> dict[int, WorkCounts]:
        """Return the work buckets that had attempts since the slot was filled, by number; gauges as they are."""
        words, base = self._segment.words, self._segment.layout.base(self._index, slot)
        now = self._worker_stats.slot_work(self._index, slot)
        for bucket in work_rows.used(words, base):
            now[bucket] = _since(now[bucket], work_rows.read(words, (base,), bucket))
        return {bucket: counts for bucket, counts in now.items() if counts.asked}

    def epochs(self, slot: int, incarnation: int, now_ns: int) -> tuple[Epoch, ...]:
        """Return the present epoch and the one before of this incarnation of a slot, as far as there are any."""
        present = now_ns // (at.EPOCH_S * SECOND_NS)
        return self._worker_stats.slot_epochs(self._index, slot, incarnation, present - 1)


def _since(now: WorkCounts, base: WorkCounts) -> WorkCounts:
    """Return the counts between two readings of a bucket; times of the version before are none of this one."""
    return replace(
        now,
        ends=tuple(map(sub, now.ends, base.ends)),
        asked=now.asked - base.asked,
        late_faults=now.late_faults - base.late_faults,
        last_useful_ns=now.last_useful_ns if now.last_useful_ns > base.last_useful_ns else 0,
        last_moved_ns=now.last_moved_ns if now.last_moved_ns > base.last_moved_ns else 0,
        times=tuple(map(sub, now.times, base.times)),
    )
