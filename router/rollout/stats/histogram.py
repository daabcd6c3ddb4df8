"""Log-linear latency buckets: 8 per octave of microseconds. A bucket is at most 12.5 % wide, so a quantile taken at its middle
is within 6.25 %. The buckets are fixed, so histograms merge by addition, across workers and across time.

A histogram is a plain sequence of `BUCKETS` counts. 0 to 7 µs have a bucket each. The last bucket ends at 2^32 µs (71 min)
and also counts everything longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SUB_BITS: Final = 3
BUCKETS: Final = (32 - SUB_BITS + 1) << SUB_BITS
MICROS_MAX: Final = (1 << 32) - 1


def index(micros: int) -> int:
    """Return the bucket of a duration in µs. The request path inlines this arithmetic."""
    if micros < 8:
        return max(micros, 0)
    length = min(micros, MICROS_MAX).bit_length()
    return ((length - 3) << 3) + (min(micros, MICROS_MAX) >> (length - 4) & 7)


def lower_bound(bucket: int) -> int:
    """Return the smallest duration in µs that falls into `bucket`; for `BUCKETS` the end of the last bucket."""
    if bucket < 8:
        return bucket
    octave, step = bucket >> 3, bucket & 7
    return (8 + step) << (octave - 1)


def merge(histograms: Sequence[Sequence[int]]) -> list[int]:
    """Return the sum, bucket by bucket."""
    return [sum(counts) for counts in zip(*histograms, strict=True)]


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Return the duration in µs below which `share` (0 to 1) of the samples lie; None without samples."""
    total = sum(counts)
    if total == 0:
        return None
    rank = share * total
    seen = 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            low, high = lower_bound(bucket), lower_bound(bucket + 1)
            return low + (high - low) * max(0.0, min(1.0, (rank - seen) / count))
        seen += count
    raise AssertionError("unreachable: the counts sum to total")


def above(counts: Sequence[int], limit_micros: float) -> float:
    """Return how many samples were longer than `limit_micros`; the bucket that holds the limit counts in proportion."""
    holds = min(index(int(limit_micros)), len(counts))
    number = float(sum(counts[holds + 1 :]))
    if holds < len(counts) and counts[holds]:
        low, high = lower_bound(holds), lower_bound(holds + 1)
        number += counts[holds] * min(max(high - limit_micros, 0.0) / (high - low), 1.0)
    return number
