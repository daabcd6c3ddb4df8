"""What rescued requests show: the version fails, or both versions do.

A pair is a request that failed on the active version and was sent to the standby. It confirms or vetoes a verdict, and never
opens one: most failures pass when they are repeated. The likelihood of the pairs is compared between "this version fails" (the
standby answers STANDBY_WELL of them well) and "both fail" (the standby fails as often as the active version). A ratio of
RATIO either way decides; below it the verdict stands.

Why: docs/decisions.md#pairs-veto-and-never-accuse.
"""

from __future__ import annotations

import math
from typing import Final

STANDBY_WELL: Final = 0.95
RATIO: Final = 20.0
BOTH_WELL_MIN: Final = 0.05
BOTH_WELL_MAX: Final = 0.9
Pairs = tuple[float, float, int]
"""(share of the pairs that failed on the standby, share of faults of the active version, pairs)."""


def likelihood_ratio(pairs: Pairs) -> float:
    """Return the natural logarithm of the likelihood ratio; above 0 the pairs speak against this version alone."""
    share, active_share, number = pairs
    failed = round(share * number)
    both_well = min(max(1 - active_share, BOTH_WELL_MIN), BOTH_WELL_MAX)
    well = (number - failed) * math.log(STANDBY_WELL / both_well)
    return well + failed * math.log((1 - STANDBY_WELL) / (1 - both_well))


def vetoed(pairs: Pairs | None) -> bool:
    """Return whether the pairs show that both versions fail."""
    return pairs is not None and likelihood_ratio(pairs) <= -math.log(RATIO)
