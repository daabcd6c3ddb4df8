"""The normal fault share and first-byte times of a service, with bounds: those of its last accepted version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import sub
from typing import Any, Final

from router.rollout.judge.rules import SloOn
from router.rollout.stats import bounds
from router.rollout.stats.histogram import BUCKETS, above
from router.rollout.stats.sample import NO_TIMES, Counters, Histograms
from router.rollout.stats.window import Window, WindowEntry, between, differences
from router.rollout.stats.work_counts import NO_CELLS, NO_ENDS, WorkCounts
from router.rollout.work import WorkEnd

NO_WORK: Final = WorkCounts()
ATTEMPTS_MIN: Final = 20
"""With fewer attempts the share of useful ones is unknown."""
DAY_S: Final = 86_400.0
"""Period after which the baseline of an accepted version is estimated again."""


@dataclass(frozen=True, slots=True)
class BucketNormal:
    """What is normal in one work bucket: attempts by WorkEnd, the histogram of times to useful (rollout/work.py), and faults of
    attempts that had been useful.
    """

    ends: tuple[int, ...]
    times: tuple[int, ...] = NO_CELLS
    late_faults: int = 0

    @property
    def requests(self) -> int:
        """Attempts with an answer or a fault of the version."""
        gone = (WorkEnd.GONE_EARLY, WorkEnd.GONE_LATE, WorkEnd.NEUTRAL)
        return sum(self.ends) - sum(self.ends[end] for end in gone)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for the journal; empty cells are left out."""
        return {"ends": list(self.ends), "times": _sparse(self.times), "late_faults": self.late_faults}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> BucketNormal:
        """Return what `as_dict` described. A later kind of end that the document does not have counts as 0."""
        ends = tuple(document["ends"])[: len(NO_ENDS)]
        return cls((*ends, *NO_ENDS[len(ends) :]), _dense(document["times"], len(NO_CELLS)), document["late_faults"])


@dataclass(frozen=True, slots=True)
class Baseline:
    """`rate` is faults ÷ requests, `lower` and `upper` its one-sided bounds at the rules' baseline confidence.

    Histograms are in the buckets of histogram.py; `abandoned` are waits that ended without a first byte. `first_useful` and
    `work` (by the name of the work bucket) are empty in a baseline of a journal that did not have them yet: then they are
    unknown, not zero.
    """

    requests: int
    faults: float
    rate: float
    lower: float
    upper: float
    first_byte: Counters = NO_TIMES
    duration: Counters = NO_TIMES
    abandoned: Counters = NO_TIMES
    first_useful: Counters = NO_TIMES
    work: Mapping[str, BucketNormal] = field(default_factory=dict)

    def late_share(self, limit_us: float, slo_on: SloOn = "first_byte") -> float | None:
        """Return the share of answers later than `limit_us`; None without timed answers."""
        if slo_on == "useful" and not any(self.first_useful):
            return None
        answered = {"first_byte": self.first_byte, "useful": self.first_useful, "last_byte": self.duration}[slo_on]
        late, timed = lateness(answered, self.abandoned, limit_us)
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
            "first_useful": _sparse(self.first_useful),
            "work": {name: normal.as_dict() for name, normal in self.work.items()},
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
            _dense(document.get("first_useful", {})),
            {name: BucketNormal.from_dict(normal) for name, normal in document.get("work", {}).items()},
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


def useful_share_of(work: Iterable[BucketNormal]) -> float | None:
    """Return useful answers ÷ (useful answers + ends without use that a version causes, or 4xx); None with too few answers."""
    ends = [sum(counts) for counts in zip(NO_ENDS, *(normal.ends for normal in work), strict=True)]
    useful = ends[WorkEnd.USEFUL]
    lost = sum(ends[kind] for kind in (WorkEnd.FAULT, WorkEnd.CLIENT_ERROR, WorkEnd.UNAUTHORISED, WorkEnd.EMPTY))
    return useful / (useful + lost) if useful + lost >= ATTEMPTS_MIN else None


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
        self._first_work: WindowEntry | None = None
        self._last_work: WindowEntry | None = None

    @property
    def since_ns(self) -> int | None:
        """Start of counting (monotonic nanoseconds); None before the first sample."""
        return self._first.at_ns if self._first else None

    @property
    def attempts(self) -> int:
        """Attempts since the start whose response began, or that failed before: at least the requests of `window`."""
        if self._first is None or self._last is None:
            return 0
        return sum(self._last.counters[1:3]) - sum(self._first.counters[1:3])

    def add(self, entry: WindowEntry) -> None:
        """Add the next sample of the version."""
        self._first = self._first or entry
        self._last = entry
        if entry.histograms is not None and entry.at_ns >= self._timed_from_ns:
            self._first_full = self._first_full or entry
            self._last_full = entry
        if entry.sample.work is not None:
            self._first_work = self._first_work or entry
            self._last_work = entry

    def window(self) -> Window | None:
        """Return all counts since the start; None before the first sample."""
        return between(self._first, self._last, histograms=False) if self._first and self._last else None

    def histograms(self) -> Histograms | None:
        """Return all histograms since the start; None before the first sample with histograms."""
        first, last = self._first_full, self._last_full
        if first is None or last is None or first.histograms is None or last.histograms is None:
            return None
        return differences(last.histograms, first.histograms)

    def work(self, names: Mapping[int, str]) -> dict[str, BucketNormal] | None:
        """Return what each work bucket counted since the start, by name; None before two samples with work."""
        first, last = self._first_work, self._last_work
        if first is None or last is None or first is last:
            return None
        before, after = first.sample.work or {}, last.sample.work or {}
        return {
            name: _grown(counts, before.get(bucket, NO_WORK))
            for bucket, counts in after.items()
            if (name := names.get(bucket)) is not None
        }

    def first_useful(self) -> Counters:
        """Return the times to the first useful byte since the start."""
        first, last = self._first_full, self._last_full
        if first is None or last is None or last.first_useful is None:
            return NO_TIMES
        return tuple(map(sub, last.first_useful, first.first_useful or NO_TIMES))

    def restart(self) -> None:
        """Start again at the last sample."""
        self._first, self._first_full, self._first_work = self._last, self._last_full, self._last_work


def _grown(after: WorkCounts, before: WorkCounts) -> BucketNormal:
    return BucketNormal(
        tuple(map(sub, after.ends, before.ends)),
        tuple(map(sub, after.times, before.times)),
        after.late_faults - before.late_faults,
    )


def _sparse(histogram: Sequence[int]) -> dict[str, int]:
    return {str(bucket): count for bucket, count in enumerate(histogram) if count}


def _dense(counts: Mapping[str, int], cells: int = BUCKETS) -> tuple[int, ...]:
    return tuple(counts.get(str(bucket), 0) for bucket in range(cells))
