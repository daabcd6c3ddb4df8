"""The statistics of the benchmarks: plain functions over plain numbers."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RESAMPLES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and the bounds of its 95 % bootstrap interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


class Ratio(Interval):
    """A median ratio and the bounds of its 95 % bootstrap interval."""


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value with at least `share` (0 < share ≤ 1) of all values at or below it (nearest rank)."""
    if not values:
        raise ValueError("no values: no quantile")
    if not 0 < share <= 1:
        raise ValueError(f"share {share} is not above 0 and at most 1")
    ordered = sorted(values)
    # Tenths of a percent are exact as integers; 0.95 * 20 as a float is above 19.
    rank = -(-round(share * 1000) * len(ordered) // 1000)
    return ordered[max(rank, 1) - 1]


def median_ratio(subject: Sequence[float], reference: Sequence[float], seed: int = 1) -> Ratio:
    """Return the median over rounds of subject ÷ reference, with the percentile bootstrap over rounds (10,000 resamples).

    Values at the same place come from the same round, so what slowed the machine in a round slowed both of them.
    """
    if len(subject) != len(reference) or not subject:
        raise ValueError(f"{len(subject)} and {len(reference)} rounds: a ratio needs the same number, at least one")
    found = median_interval([a / b for a, b in zip(subject, reference, strict=True)], seed)
    return Ratio(found.median, found.low, found.high)


def median_interval(values: Sequence[float], seed: int = 1) -> Interval:
    """Return the median of one value per round, with the percentile bootstrap over rounds (10,000 resamples)."""
    chance = random.Random(seed)
    medians = [statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES)]
    return Interval(statistics.median(values), quantile(medians, 0.025), quantile(medians, 0.975))


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the least-squares slope of ys over xs."""
    return statistics.linear_regression(xs, ys).slope
