"""How much of the evidence lies outside one burst. One burst of `forgive_s` is no verdict (docs/behaviour/judging.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.rollout.units import SECOND_NS

TICK_NS: Final = SECOND_NS // 10
"""Samples are late by up to this, so a burst may seem longer by it."""


def outside_burst(points: Sequence[tuple[int, int]], burst_s: float) -> int:
    """Return how many events lie outside the burst of `burst_s` that holds most of them.

    `points` are (time of a sample in nanoseconds, events since the sample before), oldest first.
    """
    total = sum(count for _, count in points)
    return total - worst_burst(points, burst_s)[1]


def worst_burst(points: Sequence[tuple[int, int]], burst_s: float) -> tuple[tuple[int, int], int]:
    """Return ((first, last + 1) index of the burst with most events, its events); 0 s hold none."""
    if burst_s <= 0:
        return (0, 0), 0
    longest_ns = int(burst_s * SECOND_NS) + TICK_NS
    best, best_count, first, count = (0, 0), 0, 0, 0
    for last, (at_ns, number) in enumerate(points):
        count += number
        while at_ns - points[first][0] > longest_ns:
            count -= points[first][1]
            first += 1
        if count > best_count:
            best, best_count = (first, last + 1), count
    return best, best_count
