"""Who is affected: distinct requests and clients behind faults, exactly up to four and by a sketch beyond.

A fingerprint is a keyed 64-bit hash, never 0. A sketch has 256 bits; fingerprint modulo 256 is the bit. With z bits left at zero,
the number of distinct values is about −256 ln(z/256) (linear counting: Whang, Vander-Zanden, Taylor 1990).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SKETCH_BITS: Final = 256
EXACT_MAX: Final = 4
COUNT_MAX: Final = 500
"""A count above this is not exact enough to be shown as a number: it is "more than 500"."""


@dataclass(frozen=True, slots=True)
class Distinct:
    """A set of fingerprints: `exact` are the first distinct ones (all of them while there are fewer than EXACT_MAX)."""

    exact: frozenset[int] = frozenset()
    sketch: int = 0

    @classmethod
    def of(cls, fingerprints: Iterable[int]) -> Distinct:
        """Return the set of these fingerprints."""
        found = list(dict.fromkeys(fingerprints))
        sketch = 0
        for fingerprint in found:
            sketch |= 1 << fingerprint % SKETCH_BITS
        return cls(frozenset(found[:EXACT_MAX]), sketch)

    def __or__(self, other: Distinct) -> Distinct:
        """Return the union."""
        return Distinct(self.exact | other.exact, self.sketch | other.sketch)

    @property
    def count(self) -> int:
        """The number of distinct values; exact below EXACT_MAX, else about ± 5 %, and at most COUNT_MAX + 1."""
        ones = self.sketch.bit_count()
        if len(self.exact) < EXACT_MAX or ones >= SKETCH_BITS:
            return len(self.exact) if ones < SKETCH_BITS else COUNT_MAX + 1
        estimate = round(-SKETCH_BITS * math.log(1 - ones / SKETCH_BITS))
        return min(max(estimate, len(self.exact)), COUNT_MAX + 1)

    def without(self, other: Distinct) -> int:
        """Return at least how many values of this set are not in `other`."""
        return (self.sketch & ~other.sketch).bit_count()


EMPTY_SET: Final = Distinct()
"""The empty set."""


def union(sets: Iterable[Distinct]) -> Distinct:
    """Return the union of all `sets`."""
    found = EMPTY_SET
    for distinct in sets:
        if distinct.sketch:
            found = found | distinct
    return found


@dataclass(frozen=True, slots=True)
class Epoch:
    """Ten seconds of one slot, over all workers. `number` is monotonic seconds // 10.

    `lost_*` are attempts that ended without use, faults included. `known_good` is the number of distinct failing requests that
    had been useful before. `unaffected_clients` had a useful answer in a bucket after it had a fault.
    """

    number: int
    faults: int = 0
    lost: int = 0
    known_good: int = 0
    fault_requests: Distinct = EMPTY_SET
    fault_clients: Distinct = EMPTY_SET
    lost_requests: Distinct = EMPTY_SET
    lost_clients: Distinct = EMPTY_SET
    useful_clients: Distinct = EMPTY_SET
    unaffected_clients: Distinct = EMPTY_SET
