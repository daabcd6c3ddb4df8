"""Samples that control took, in shared memory, so that a restarted control has them.

Each slot has a ring of ticks, rows of scalars, and for each coarser tier a ring of whole samples, which are written sparse.
Control writes a row first and then the number of rows ever written; if it dies in between, the row does not count. Control is
the only writer, and its successor reads before it writes, so a row is never read while it changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from router.rollout.model.route import SLOTS
from router.rollout.stats.sample import Sample
from router.rollout.stats.sample_words import SAMPLE_SCALARS, from_scalars, from_whole, scalar_words, whole_words
from router.shm import layout as at
from router.shm.row_ring import RowRing
from router.shm.segment import Segment

_NAMES: Final = tuple(name for name, *_ in at.TIERS)
_TICKS: Final = at.TIERS[0][2]


class SampleRing:
    """The rings of all services and slots."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words
        self._layout = segment.layout
        self._stalled: set[tuple[int, int, str]] = set()
        self._last: dict[int, tuple[Sample, array[int]]] = {}
        """By ring: the last sample of the ticks without histograms, and its row."""

    def write(self, service: int, slot: int, tier: str, sample: Sample) -> None:
        """Write `sample` to a tier ("tick", "second" or "decade"); a full ring drops its oldest sample.

        A coarser tier stores one sample of many. That sample is marked as stalled if any sample since the tier's last
        sample was.
        """
        if tier == _NAMES[0]:
            if sample.stalled:
                self._stalled.update((service, slot, name) for name in _NAMES[1:])
            self._write_tick(self._layout.ring(service, slot), sample)
            return
        if (service, slot, tier) in self._stalled:
            self._stalled.discard((service, slot, tier))
            sample = sample.marked_stalled()
        self._whole(service, slot, tier).write(whole_words(sample))

    def load(self, service: int, slot: int) -> dict[str, list[Sample]]:
        """Return the samples of a slot by tier, oldest first; those of its newest incarnation only."""
        by_tier = {_NAMES[0]: self._ticks(self._layout.ring(service, slot))}
        for name in _NAMES[1:]:
            by_tier[name] = [from_whole(row) for row in self._whole(service, slot, name).rows()]
        newest = max((sample.incarnation for samples in by_tier.values() for sample in samples), default=0)
        return {
            name: [sample for sample in samples if sample.incarnation == newest] for name, samples in by_tier.items()
        }

    def forget(self, service: int) -> None:
        """Forget what this process knows of a service, because another one may get its place."""
        self._stalled = {known for known in self._stalled if known[0] != service}
        for slot in range(SLOTS):
            self._last.pop(self._layout.ring(service, slot), None)

    def clear(self, services: Iterable[int]) -> None:
        """Drop all samples of these services: the base rows that they count from are about to change."""
        for service in services:
            for slot in range(SLOTS):
                self._words[self._layout.ring(service, slot)] = 0
                for name in _NAMES[1:]:
                    self._whole(service, slot, name).clear()

    def _write_tick(self, ring: int, sample: Sample) -> None:
        written = self._words[ring]
        row = ring + at.RING_HEADER_WORDS + written % _TICKS * SAMPLE_SCALARS
        self._words[row : row + SAMPLE_SCALARS] = memoryview(self._tick_row(ring, sample))
        self._words[ring] = written + 1

    def _tick_row(self, ring: int, sample: Sample) -> array[int]:
        """Return the words of a tick; those of the last tick at another time if nothing has changed."""
        last = self._last.get(ring)
        if last is not None and sample.repeats(last[0]) and sample.histograms is None:
            last[1][0] = sample.at_ns
            return last[1]
        row = array("Q", scalar_words(sample))
        if sample.histograms is None and not sample.stalled:
            self._last[ring] = sample, row
        return row

    def _ticks(self, ring: int) -> list[Sample]:
        written = self._words[ring]
        # A writer that died may have left the next row half overwritten.
        numbers = range(max(written - _TICKS + 1, 0), written)
        rows = [ring + at.RING_HEADER_WORDS + number % _TICKS * SAMPLE_SCALARS for number in numbers]
        return [from_scalars(self._words[row : row + SAMPLE_SCALARS].tolist()) for row in rows]

    def _whole(self, service: int, slot: int, tier: str) -> RowRing:
        number = _NAMES.index(tier) - 1
        ring = self._layout.ring(service, slot)
        start = ring + at.RING_HEADER_WORDS + at.RING_TICKS + number * at.RING_WHOLE
        kept = at.TIERS[number + 1][2]
        return RowRing(self._segment, ring + 1 + 2 * number, start, kept, kept * at.WHOLE_WORDS)
