"""The sample ring: control's own memory of the past, in the wall, so that a restarted control still has one.

Per slot and tier a ring of rows and one word that says how many were ever written. The row is written first, then the word
is increased: a control that dies in between leaves a row that nobody counts. There is one writer, control, and its successor
reads before it writes, so a row is never read while it changes.
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
    """The rings of every service and slot of a wall."""

    def __init__(self, segment: Segment) -> None:
        self._words = segment.words
        self._layout = segment.layout
        self._stalled: set[tuple[int, int, str]] = set()

    def write(self, service: int, slot: int, tier: str, sample: Sample) -> None:
        """Keep `sample` in a tier ("tick", "second" or "decade"); the oldest of a full ring goes.

        A coarser tier keeps one sample of many: it is marked as stalled if any since its last one was.
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
        """Return what is kept of a slot, by tier, oldest first; of its newest incarnation only."""
        found = {name: self._rows(service, slot, name) for name in _NAMES}
        newest = max((sample.incarnation for samples in found.values() for sample in samples), default=0)
        return {name: [one for one in samples if one.incarnation == newest] for name, samples in found.items()}

    def forget_everything(self) -> None:
        """Begin anew: what the rows count from is about to change."""
        for service in range(self._layout.services):
            for slot in range(SLOTS):
                base = self._layout.ring(service, slot)
                for number in range(len(at.TIERS)):
                    self._words[base + number] = 0

    def _rows(self, service: int, slot: int, tier: str) -> list[Sample]:
        header, start, kept, size = self._ring(service, slot, tier)
        written = self._words[header]
        # The row that comes next may be half overwritten by a writer that died over it.
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
