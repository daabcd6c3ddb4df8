"""What the samples say of a rollback: the course of each of the two versions, and what it cost.

Frozen soon after the decision, while the finest samples are still there, and completed later. What is frozen is plain data,
so that it can be put into a file and taken up again by another process: every later look is joined to it by `joined`.

    member     of one version
    points     [end_ns, seconds, requests, faults, rescued, p50_ms, p99_ms], one a second or ten, oldest first
    readings   {first, start, decision, last}: [at_ns, claimed, begun, faults_unbegun, rescued, abandoned_long, 13 outcomes],
               cumulative: as they were at the oldest sample, when the trouble began, at the decision, at the last look;
               files of older releases have no `first`
    fault_ns   when the last fault was counted; None without any since the trouble began

Times are monotonic. The readings are the counters as they are; points leave out what we ourselves slept through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import sub
from typing import Any, Final

from router.rollout.stats.figures import delta_between, rollback_cost, share
from router.rollout.stats.histogram import quantile
from router.rollout.stats.window import SECOND_NS, WindowEntry, between, count_faults

POINTS_MAX: Final = 600
"""Of one version: 15 min in steps of 10 s, and of 1 s where they are known."""
SampleSnapshot = dict[str, Any]
Point = list[Any]
_OUTCOMES_AT: Final = 6
_SECOND_MIN_NS: Final = 950_000_000
_GAP_NS: Final = 1_500_000_000


def summarize(
    trail: Sequence[WindowEntry], start_ns: int, decided_ns: int, known: SampleSnapshot | None = None
) -> SampleSnapshot | None:
    """Return what `trail` (one slot, oldest first) says; None if it says nothing. The trouble began at `start_ns`.

    Points that `known` has already are left out: they are what costs the time.
    """
    if not trail:
        return None
    settled = _settled(known["points"]) if known else []
    until_ns = settled[-1][0] or 0 if settled else 0
    return {
        "points": points([entry for entry in trail if entry.at_ns >= until_ns], decided_ns),
        "readings": {
            "first": reading(trail, 0),
            "start": reading(trail, start_ns - 1),  # the first fault is in the sample of that moment
            "decision": reading(trail, decided_ns),
            "last": reading(trail, trail[-1].at_ns),
        },
        "fault_ns": _last_fault_ns(trail, start_ns),
    }


def points(trail: Sequence[WindowEntry], decided_ns: int) -> list[Point]:
    """Return the stretches between the entries that have histograms. Where there are none for longer than a second, as of a
    version that has lost its role, they are a second long without times, and one ends with the decision.
    """
    found: list[Point] = []
    base: WindowEntry | None = None
    for entry, full_ns in zip(trail, _next_full_ns(trail), strict=True):
        if base is None or entry.histograms is not None or entry is trail[-1]:
            is_end = True
        else:
            decides = base.at_ns < decided_ns <= entry.at_ns
            is_end = full_ns - base.at_ns > _GAP_NS and (decides or entry.at_ns - base.at_ns >= _SECOND_MIN_NS)
        if is_end:
            if base is not None:
                found.append(_point(base, entry))
            base = entry
    return found[-POINTS_MAX:]


def _next_full_ns(trail: Sequence[WindowEntry]) -> list[int]:
    """Return for each entry when the next one with histograms comes."""
    result, following = [], 1 << 63
    for entry in reversed(trail):
        following = entry.at_ns if entry.histograms is not None else following
        result.append(following)
    return result[::-1]


def _point(base: WindowEntry, entry: WindowEntry) -> Point:
    window = between(base, replace(entry, histograms=None))  # of the three only the first is asked for
    times: tuple[int, ...] = ()
    if base.histograms is not None and entry.histograms is not None:
        times = tuple(map(sub, entry.histograms[0], base.histograms[0]))
    p50_us, p99_us = quantile(times, 0.5), quantile(times, 0.99)
    return [
        entry.at_ns,
        round(window.covered_s, 3),
        window.requests,
        window.failed,
        window.rescued,
        None if p50_us is None else round(p50_us / 1000, 3),
        None if p99_us is None else round(p99_us / 1000, 3),
    ]


def _settled(found: list[Point]) -> list[Point]:
    """Return `found` without an end that a later look sees better: less than a second, without times."""
    unsettled = found and found[-1][5] is None and (found[-1][1] or 0) < _SECOND_MIN_NS / SECOND_NS
    return found[:-1] if unsettled else found


def onset_ns(trail: Sequence[WindowEntry], decided_ns: int, limit: float) -> int | None:
    """Return since when the share of faults was above `limit` up to the decision, looked at second by second, with at most
    two below it in a row; None if it was not. A single fault long before is no beginning, though it may be evidence.
    """
    since: int | None = None
    below = 0
    later: WindowEntry | None = None
    for entry in reversed(trail):
        if entry.at_ns > decided_ns or (later is not None and later.at_ns - entry.at_ns < _SECOND_MIN_NS):
            continue
        if later is not None and (window := between(entry, replace(later, histograms=None))).requests:
            if window.failed > limit * window.requests:
                since, below = entry.at_ns, 0
            elif (below := below + 1) > 2:
                break
        later = entry
    return since


def beginning_ns(since_ns: int, trigger: Mapping[str, Any], trail: Sequence[WindowEntry], decided_ns: int) -> int:
    """Return since when what a version does is part of the trouble: `since_ns`, the first fault of the evidence; where the
    trigger is about the share of faults over a long window, the moment from which it was above the limit, if that is later.
    """
    if trigger.get("kind") != "error_rate" or not trigger.get("limit"):
        return since_ns
    return max(since_ns, onset_ns(trail, decided_ns, trigger["limit"]) or 0)


def merge(earlier: SampleSnapshot | None, later: SampleSnapshot | None) -> SampleSnapshot | None:
    """Return what two looks at one version say together: the earlier one's points as far as they go, then the later one's."""
    if earlier is None or later is None:
        return earlier or later
    settled = _settled(earlier["points"])
    until_ns = settled[-1][0] if settled else 0
    # A stretch that began before is not cut in two: half of it was told already.
    further = [point for point in later["points"] if point[0] - point[1] * SECOND_NS >= until_ns - SECOND_NS // 10]
    return {
        "points": [*settled, *further][-POINTS_MAX:],
        "readings": {
            **earlier["readings"],
            "last": later["readings"]["last"],
        },
        "fault_ns": later["fault_ns"] if _faults(later) > _faults(earlier) else earlier["fault_ns"],
    }


def _faults(frozen: SampleSnapshot) -> int:
    return count_faults(frozen["readings"]["last"][_OUTCOMES_AT:])


def reading(trail: Sequence[WindowEntry], at_ns: int) -> list[int]:
    """Return the newest reading at or before `at_ns`, else the oldest there is."""
    found = next((entry for entry in reversed(trail) if entry.at_ns <= at_ns), trail[0])
    return [found.at_ns, *found.sample.counters()]


def _last_fault_ns(trail: Sequence[WindowEntry], start_ns: int) -> int | None:
    found, faults = None, 0
    for entry in trail:
        now = count_faults(entry.sample.outcomes)
        if now > faults and entry.at_ns >= start_ns and entry is not trail[0]:
            found = entry.at_ns
        faults = now
    return found


def impact(left: SampleSnapshot | None, back: SampleSnapshot | None) -> dict[str, Any] | None:
    """Return what it cost (figures.py, `rollback_cost`), from the failing version's look and that of the one gone back to; None
    if nothing is known.
    """
    return None if left is None else rollback_cost(left["readings"], back and back["readings"])


def periods(frozen: SampleSnapshot | None, start_ns: int | None, decided_ns: int) -> dict[str, dict[str, Any] | None]:
    """Return what one version did `before` the trouble, `during` it (until the decision) and `after`.

    Times are of its points, requests and faults of the readings: each sample is in one period, and those of `during` and
    `after` add up to what `impact` tells. The sample that showed the first fault is the first one of `during`.
    """
    start = decided_ns if start_ns is None else start_ns
    ends = {"before": (0, start), "during": (start, decided_ns), "after": (decided_ns, 1 << 63)}
    found = frozen["points"] if frozen else []
    told = {
        name: _period([point for point in found if since_ns < _middle_ns(point) <= until_ns])
        for name, (since_ns, until_ns) in ends.items()
    }
    if frozen is not None and start_ns is not None:
        readings = frozen["readings"]
        if "first" in readings:
            told["before"] = _counted(told["before"], readings["first"], readings["start"])
        told["during"] = _counted(told["during"], readings["start"], readings["decision"])
        told["after"] = _counted(told["after"], readings["decision"], readings["last"])
    return told


def _counted(period: dict[str, Any] | None, earlier: Sequence[int], later: Sequence[int]) -> dict[str, Any] | None:
    """Return `period` with the counts between two readings; without points, but with counts, times are unknown."""
    seconds, done = (later[0] - earlier[0]) / SECOND_NS, delta_between(earlier, later)
    if period is None and (seconds <= 0 or not done.requests):
        return None
    length_s = seconds if seconds > 0 else (period or {})["seconds"]
    return {
        **(period or {"p50_ms": None, "p99_worst_ms": None}),
        "seconds": round(length_s, 1),
        "requests": done.requests,
        "requests_per_s": round(done.requests / length_s, 3),
        "faults": done.failed,
        "fault_rate": share(done.failed, done.requests),
    }


def _middle_ns(point: Sequence[Any]) -> float:
    return float(point[0] - point[1] * SECOND_NS / 2)


def _period(found: list[list[Any]]) -> dict[str, Any] | None:
    seconds = sum(point[1] for point in found)
    if not seconds:
        return None
    requests, faults = sum(point[2] for point in found), sum(point[3] for point in found)
    middle = [(point[5], point[2]) for point in found if point[5] is not None]
    slow = [point[6] for point in found if point[6] is not None]
    return {
        "seconds": round(seconds, 1),
        "requests": requests,
        "requests_per_s": round(requests / seconds, 3),
        "faults": faults,
        "fault_rate": share(faults, requests),
        "p50_ms": _weighed_median(middle),
        "p99_worst_ms": max(slow) if slow else None,
    }


def _weighed_median(values: list[tuple[float, int]]) -> float | None:
    """Return the median of medians, each by its number of requests: near the p50 of all, which is not kept."""
    half, seen = sum(count for _, count in values) / 2, 0
    for value, count in sorted(values):
        seen += count
        if seen >= half:
            return value
    return None
