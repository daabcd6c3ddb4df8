"""The work of one slot in the last N seconds: counts of its work buckets as the difference of two samples.

Samples with work come once a second. They are kept for 5 minutes, and one of each ten seconds for 15 minutes. Seconds in which
this router stalled are left out, as in window.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import add, sub
from typing import Final

from router.rollout.stats.window import WindowEntry
from router.rollout.stats.work_counts import NO_ENDS, WorkCounts
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd

FINE_S: Final = 310
COARSE_S: Final = 10
COARSE_KEPT: Final = 92
_PRUNED: Final = 64
Totals = tuple[int, ...]
"""Ends by WorkEnd, then faults of attempts that had been useful."""
NO_TOTALS: Final[Totals] = (*NO_ENDS, 0)
_LATE: Final = len(NO_ENDS)
_CLIENTS: Final = (WorkEnd.GONE_EARLY, WorkEnd.GONE_LATE, WorkEnd.NEUTRAL)
"""Ends that say nothing about faults."""


@dataclass(frozen=True, slots=True)
class WorkWindow:
    """What some work buckets counted between two samples: `ends` by WorkEnd, `late_faults` after a useful answer."""

    since_ns: int
    until_ns: int
    ends: tuple[int, ...]
    late_faults: int

    @property
    def useful(self) -> int:
        """Attempts that became useful."""
        return self.ends[WorkEnd.USEFUL]

    @property
    def requests(self) -> int:
        """Attempts with an answer or a fault of the version: the denominator of its share of faults."""
        return sum(self.ends) - sum(self.ends[end] for end in _CLIENTS)

    @property
    def failed(self) -> int:
        """Attempts that ended by a fault of the version, before or after they were useful; at most `requests`."""
        return min(self.ends[WorkEnd.FAULT] + self.late_faults, self.requests)

    @property
    def failed_share(self) -> float | None:
        """`failed` of `requests`; None without requests."""
        return self.failed / self.requests if self.requests else None


@dataclass(frozen=True, slots=True)
class WorkPoint:
    """One sample: totals by work bucket, less those of stalled seconds; the buckets in which requests wait; and those that are
    busy: a body has begun or moves, or a request waits for hang_wait_min_s or longer.
    """

    at_ns: int
    totals: Mapping[int, Totals]
    waiting: frozenset[int] = frozenset()
    busy: frozenset[int] = frozenset()
    stalled: bool = False


class WorkHistory:
    """The work of one incarnation of a slot. `work` are the counts of the newest sample with work, as they were read."""

    def __init__(self) -> None:
        self.incarnation = -1
        self._clear()

    def _clear(self) -> None:
        self.work: Mapping[int, WorkCounts] = {}
        self.at_ns = 0
        self._fine: list[WorkPoint] = []
        self._fine_at: list[int] = []
        self._coarse: list[WorkPoint] = []
        self._coarse_at: list[int] = []
        self._left_out: dict[int, Totals] = {}
        self._raw: dict[int, Totals] = {}
        self._stalled = False

    def add(self, entry: WindowEntry) -> bool:
        """Add the next entry of the slot; return whether it holds work. A new incarnation clears the history."""
        if entry.sample.incarnation != self.incarnation:
            self._clear()
            self.incarnation = entry.sample.incarnation
        self._stalled = self._stalled or entry.stalled
        work = entry.sample.work
        if work is None:
            return False
        totals = {bucket: (*counts.ends, counts.late_faults) for bucket, counts in work.items()}
        if self._stalled and self._raw:
            for bucket, counted in totals.items():
                grown = map(sub, counted, self._raw.get(bucket, NO_TOTALS))
                self._left_out[bucket] = tuple(map(add, self._left_out.get(bucket, NO_TOTALS), grown))
        stalled, self._raw, self._stalled = self._stalled, totals, False
        less = {bucket: self._less(bucket, counted) for bucket, counted in totals.items()}
        self._keep(WorkPoint(entry.at_ns, less, _waiting(work), _busy(work), stalled))
        self.work, self.at_ns = work, entry.at_ns
        return True

    def _less(self, bucket: int, counted: Totals) -> Totals:
        left_out = self._left_out.get(bucket)
        return counted if left_out is None else tuple(map(sub, counted, left_out))

    def _keep(self, point: WorkPoint) -> None:
        self._fine.append(point)
        self._fine_at.append(point.at_ns)
        if not self._coarse_at or point.at_ns - self._coarse_at[-1] >= (COARSE_S - 0.5) * SECOND_NS:
            self._coarse.append(point)
            self._coarse_at.append(point.at_ns)
        for points, times, kept in ((self._fine, self._fine_at, FINE_S), (self._coarse, self._coarse_at, COARSE_KEPT)):
            if len(points) > kept + _PRUNED:
                del points[:-kept], times[:-kept]

    def window(self, seconds: float, now_ns: int, since_ns: int, buckets: Collection[int]) -> WorkWindow | None:
        """Return the counts of `buckets` in the last `seconds`, but nothing before `since_ns`; None without two samples."""
        points = self.points(now_ns - int(seconds * SECOND_NS), since_ns)
        return work_between(points[0], points[-1], buckets) if points else None

    def between(self, since_ns: int, until_ns: int, buckets: Collection[int]) -> WorkWindow | None:
        """Return the counts of `buckets` between the samples of two times; None if there are no such samples."""
        base, newest = self._at(since_ns), self._at(until_ns)
        return None if base is None or newest is None else work_between(base, newest, buckets)

    def _at(self, at_ns: int) -> WorkPoint | None:
        for points, times in ((self._fine, self._fine_at), (self._coarse, self._coarse_at)):
            place = bisect_left(times, at_ns)
            if place < len(times) and times[place] == at_ns:
                return points[place]
        return None

    def spread(self, seconds: float, now_ns: int, since_ns: int, buckets: Collection[int]) -> list[WorkWindow]:
        """Return the same counts sample by sample, oldest first."""
        points = self.points(now_ns - int(seconds * SECOND_NS), since_ns)
        return [work_between(base, later, buckets) for base, later in pairwise(points)]

    def points(self, start_ns: int, since_ns: int) -> Sequence[WorkPoint]:
        """Return the points from the newest at or before `start_ns`, or from the first at or after a later `since_ns`; all if
        none is so old, and none if there are fewer than two.
        """
        for points, times in ((self._fine, self._fine_at), (self._coarse, self._coarse_at)):
            if times and times[0] <= max(start_ns, since_ns):
                first = bisect_left(times, since_ns) if since_ns > start_ns else bisect_right(times, start_ns) - 1
                return points[first:] if first < len(points) - 1 else ()
        older = self._coarse if self._coarse_at and self._coarse_at[0] < self._fine_at[0] else self._fine
        return older if len(older) > 1 else ()


def _waiting(work: Mapping[int, WorkCounts]) -> frozenset[int]:
    return frozenset(bucket for bucket, counts in work.items() if counts.waiting)


def _busy(work: Mapping[int, WorkCounts]) -> frozenset[int]:
    return frozenset(
        bucket for bucket, counts in work.items() if counts.in_progress or counts.waiting_long or counts.moving
    )


def work_between(base: WorkPoint, newest: WorkPoint, buckets: Collection[int]) -> WorkWindow:
    """Return the counts of `buckets` between two points of one history."""
    sums = [0] * (_LATE + 1)
    for bucket in buckets:
        counted = newest.totals.get(bucket)
        if counted is not None:
            before = base.totals.get(bucket, NO_TOTALS)
            sums = [total + now - then for total, now, then in zip(sums, counted, before, strict=True)]
    return WorkWindow(base.at_ns, newest.at_ns, tuple(sums[:_LATE]), sums[_LATE])
