"""The normal fault share and first-byte times of a service, with bounds: those of its last accepted version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.stats import bounds
from router.rollout.stats.histogram import BUCKETS, above
from router.rollout.stats.sample import NO_TIMES, Counters, Histograms
from router.rollout.stats.window import Window, WindowEntry, between, differences

DAY_S: Final = 86_400.0
"""Period after which the baseline of an accepted version is estimated again."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`rate` is faults ÷ requests, `lower` and `upper` its one-sided bounds at the rules' baseline confidence.

    Histograms are in the buckets of histogram.py; `abandoned` are waits that ended without a first byte.
    """

    requests: int
    faults: float
    rate: float
    lower: float
    upper: float
    first_byte: Counters = NO_TIMES
    duration: Counters = NO_TIMES
    abandoned: Counters = NO_TIMES

    def late_share(self, limit_us: float, *, last_byte: bool = False) -> float | None:
        """Return the share of answers later than `limit_us`; None without timed answers."""
        late, timed = lateness(self.duration if last_byte else self.first_byte, self.abandoned, limit_us)
        return late / timed if timed else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for the journal; empty buckets are left out."""
        return {
            "requests": self.requests,
            "faults": self.faults,
            "rate": self.rate,
            "lower": self.lower,
            "upper": self.upper,
            "first_byte": _sparse(self.first_byte),
            "duration": _sparse(self.duration),
            "abandoned": _sparse(self.abandoned),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Baseline:
        """Return the baseline that `as_dict` described."""
        return cls(
            document["requests"],
            document["faults"],
            document["rate"],
            document["lower"],
            document["upper"],
            _dense(document["first_byte"]),
            _dense(document["duration"]),
            _dense(document["abandoned"]),
        )


def estimate(requests: int, faults: float, confidence: float, histograms: Histograms | None = None) -> Baseline:
    """Return the baseline of `faults` in `requests` (1 or more), its bounds each with confidence `confidence`."""
    faults = min(faults, float(requests))
    return Baseline(
        requests,
        faults,
        faults / requests,
        bounds.lower_bound(faults, requests, confidence),
        bounds.upper_bound(faults, requests, confidence),
        *(histograms or ()),
    )


def lateness(answered: Sequence[int], abandoned: Sequence[int], limit_us: float) -> tuple[float, float]:
    """Return (answers later than the limit, answers that were timed).

    A wait that ended without an answer counts as late if it was longer than the limit. A shorter one is not counted: a failure is
    never a fast answer.
    """
    abandoned_late = above(abandoned, limit_us)
    return above(answered, limit_us) + abandoned_late, sum(answered) + abandoned_late


class BaselineAccumulator:
    """Counts of one version since its promotion, or since the last estimate; stalled periods are left out.

    First-byte times count from `timed_from_ns` on, so that the warm-up is not part of the baseline.
    """

    def __init__(self, timed_from_ns: int) -> None:
        self._timed_from_ns = timed_from_ns
        self._first: WindowEntry | None = None
        self._last: WindowEntry | None = None
        self._first_full: WindowEntry | None = None
        self._last_full: WindowEntry | None = None

    @property
    def since_ns(self) -> int | None:
        """Start of counting (monotonic nanoseconds); None before the first sample."""
        return self._first.at_ns if self._first else None

    def add(self, entry: WindowEntry) -> None:
        """Add the next sample of the version."""
        self._first = self._first or entry
        self._last = entry
        if entry.histograms is not None and entry.at_ns >= self._timed_from_ns:
            self._first_full = self._first_full or entry
            self._last_full = entry

    def window(self) -> Window | None:
        """Return all counts since the start; None before the first sample."""
        return between(self._first, self._last) if self._first and self._last else None

    def histograms(self) -> Histograms | None:
        """Return all histograms since the start; None before the first sample with histograms."""
        first, last = self._first_full, self._last_full
        if first is None or last is None or first.histograms is None or last.histograms is None:
            return None
        return differences(last.histograms, first.histograms)

    def restart(self) -> None:
        """Start again at the last sample."""
        self._first, self._first_full = self._last, self._last_full


def _sparse(histogram: Sequence[int]) -> dict[str, int]:
    return {str(bucket): count for bucket, count in enumerate(histogram) if count}


def _dense(counts: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(counts.get(str(bucket), 0) for bucket in range(BUCKETS))
