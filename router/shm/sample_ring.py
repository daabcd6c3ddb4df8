"""Samples that control took, in shared memory, so that a restarted control has them.

Each slot and tier has a ring of rows and one word with the number of rows ever written. Control writes the row first and then
increases the word; if it dies in between, the row does not count. Control is the only writer, and its successor reads before
it writes, so a row is never read while it changes.
"""

from __future__ import annotations

from array import array
from typing import Final

from router.rollout.model.route import SLOTS
from router.rollout.stats.sample import Sample
from router.shm import layout as at
from router.shm.segment import Segment

_NAMES: Final = tuple(name for name, *_ in at.TIERS)


class SampleRing:
    """The rings of all services and slots."""

    def __init__(self, segment: Segment) -> None:
        self._words = segment.words
        self._layout = segment.layout
        self._stalled: set[tuple[int, int, str]] = set()

    def write(self, service: int, slot: int, tier: str, sample: Sample) -> None:
        """Write `sample` to a tier ("tick", "second" or "decade"); a full ring drops its oldest sample.

        A coarser tier stores one sample of many. That sample is marked as stalled if any sample since the tier's last
        sample was.
        """
        header, start, kept, size = self._ring(service, slot, tier)
        if tier == _NAMES[0] and sample.stalled:
            self._stalled.update((service, slot, name) for name in _NAMES[1:])
        elif tier != _NAMES[0] and (service, slot, tier) in self._stalled:
            self._stalled.discard((service, slot, tier))
            sample = sample.marked_stalled()
        written = self._words[header]
        row = start + written % kept * size
        words = sample.to_words()[:size]
        self._words[row : row + len(words)] = memoryview(array("Q", words))
        self._words[header] = written + 1

    def load(self, service: int, slot: int) -> dict[str, list[Sample]]:
        """Return the samples of a slot by tier, oldest first; those of its newest incarnation only."""
        by_tier = {name: self._rows(service, slot, name) for name in _NAMES}
        newest = max((sample.incarnation for samples in by_tier.values() for sample in samples), default=0)
        return {
            name: [sample for sample in samples if sample.incarnation == newest] for name, samples in by_tier.items()
        }

    def clear(self) -> None:
        """Drop all samples: the base rows that they count from are about to change."""
        for service in range(self._layout.services):
            for slot in range(SLOTS):
                base = self._layout.ring(service, slot)
                for number in range(len(at.TIERS)):
                    self._words[base + number] = 0

    def _rows(self, service: int, slot: int, tier: str) -> list[Sample]:
        header, start, kept, size = self._ring(service, slot, tier)
        written = self._words[header]
        # A writer that died may have left the next row half overwritten.
        numbers = range(max(written - kept + 1, 0), written)
        rows = [start + number % kept * size for number in numbers]
        return [Sample.from_words(self._words[row : row + size].tolist()) for row in rows]

    def _ring(self, service: int, slot: int, tier: str) -> tuple[int, int, int, int]:
        """Return (offset of the count, offset of the first row, rows, words a row)."""
        base = self._layout.ring(service, slot)
        start = base + at.RING_HEADER_WORDS
        for number, (name, _, kept, size) in enumerate(at.TIERS):
            if name == tier:
                return base + number, start, kept, size
            start += kept * size
        raise KeyError(tier)
