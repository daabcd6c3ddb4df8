"""The counters of one service's slots since their present versions filled them.

The workers' counters of a slot only ever grow. When a version fills a slot, the sums so far are stored as the base of
the slot in shared memory. Later readings are the differences from the base. The base outlives this process.
"""

from __future__ import annotations

from typing import Final

from router.rollout.stats.histogram import BUCKETS
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

HISTOGRAMS: Final = (at.L_FIRST_BYTE, at.L_DURATION, at.L_ABANDONED)
_GAUGES: Final = frozenset(
    {at.L_WAITING, at.L_WAITING_LONG, at.L_OLDEST_WAITING_NS, at.L_LAST_BEGUN_NS, at.L_GAP_MAX_US, at.L_TUNNELS}
)


class SlotCounters:
    """The slots of service number `index` of the segment."""

    def __init__(self, segment: Segment, worker_stats: WorkerStats, index: int) -> None:
        self._segment = segment
        self._worker_stats = worker_stats
        self._index = index

    def begin(self, slot: int) -> None:
        """Count from zero from now on: store the present sums as the base of the slot."""
        words, base = self._segment.words, self._segment.layout.base(self._index, slot)
        for offset, count in enumerate(self._worker_stats.slot_scalars(self._index, slot)):
            words[base + offset] = count
        for which in HISTOGRAMS:
            for bucket, count in enumerate(self._worker_stats.slot_histogram(self._index, slot, which)):
                words[base + which + bucket] = count

    def scalars(self, slot: int) -> list[int]:
        """Return the `L_SCALARS` counters of a slot since it was filled; gauges as they are."""
        counts = self._worker_stats.slot_scalars(self._index, slot)
        words, base = self._segment.words, self._segment.layout.base(self._index, slot)
        return [count if offset in _GAUGES else count - words[base + offset] for offset, count in enumerate(counts)]

    def histogram(self, slot: int, which: int) -> tuple[int, ...]:
        """Return one histogram (`L_FIRST_BYTE`, …) of a slot since it was filled."""
        counts = self._worker_stats.slot_histogram(self._index, slot, which)
        base = self._segment.layout.base(self._index, slot) + which
        before = self._segment.words[base : base + BUCKETS].tolist()
        return tuple(now - earlier for now, earlier in zip(counts, before, strict=True))
