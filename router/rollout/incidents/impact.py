"""The impact of a rollback from samples: the course of each of the two versions, and the cost.

The first snapshot is taken soon after the decision, while the finest samples exist; later snapshots are merged into it by
`merge`. A snapshot is plain data, so it can be stored in a file and continued by another process.

    member     of one version
    points     [end_ns, seconds, requests, faults, rescued, p50_ms, p99_ms], one a second or ten, oldest first
    readings   {first, start, decision, last}: [at_ns, claimed, begun, faults_unbegun, rescued, abandoned_long, 13 outcomes],
               cumulative: at the oldest sample, at the first fault, at the decision, at the newest sample; files of older
               releases have no `first`
    fault_ns   when the last fault was counted; None without faults since the first

Times are monotonic. Readings are the raw counters; points leave out periods in which this router stalled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import sub
from typing import Any, Final

from router.rollout.stats.figures import delta_between, rollback_cost, share
from router.rollout.stats.histogram import quantile
from router.rollout.stats.window import WindowEntry, between, count_faults
from router.rollout.units import SECOND_NS

POINTS_MAX: Final = 600
"""Points of one version: 15 min in steps of 10 s, or of 1 s where such samples exist."""
SampleSnapshot = dict[str, Any]
Point = list[Any]
_OUTCOMES_AT: Final = 6
_SECOND_MIN_NS: Final = 950_000_000
_GAP_NS: Final = 1_500_000_000


def summarize(
    entries: Sequence[WindowEntry], start_ns: int, decided_ns: int, known: SampleSnapshot | None = None
) -> SampleSnapshot | None:
    """Return the snapshot of `entries` (one slot, oldest first); None without entries. The first fault was at `start_ns`.

    Points that `known` has are left out: computing points takes most of the time.
    """
    if not entries:
        return None
    final = _final_points(known["points"]) if known else []
    until_ns = final[-1][0] or 0 if final else 0
    return {
        "points": points([entry for entry in entries if entry.at_ns >= until_ns], decided_ns),
        "readings": {
            "first": reading(entries, 0),
            "start": reading(entries, start_ns - 1),  # the first fault is in the sample of that moment
            "decision": reading(entries, decided_ns),
            "last": reading(entries, entries[-1].at_ns),
        },
        "fault_ns": _last_fault_ns(entries, start_ns),
    }


def points(entries: Sequence[WindowEntry], decided_ns: int) -> list[Point]:
    """Return a point for each period between two entries with histograms. Without histograms for longer than a second, as for a
    version without a role, periods are a second long and have no times, and one of them ends at the decision.
    """
    found: list[Point] = []
    base: WindowEntry | None = None
    for entry, full_ns in zip(entries, _next_full_ns(entries), strict=True):
        if base is None or entry.histograms is not None or entry is entries[-1]:
            is_end = True
        else:
            decides = base.at_ns < decided_ns <= entry.at_ns
            is_end = full_ns - base.at_ns > _GAP_NS and (decides or entry.at_ns - base.at_ns >= _SECOND_MIN_NS)
        if is_end:
            if base is not None:
                found.append(_point(base, entry))
            base = entry
    return found[-POINTS_MAX:]


def _next_full_ns(entries: Sequence[WindowEntry]) -> list[int]:
    """Return for each entry the time of the next entry with histograms."""
    result, following = [], 1 << 63
    for entry in reversed(entries):
        following = entry.at_ns if entry.histograms is not None else following
        result.append(following)
    return result[::-1]


def _point(base: WindowEntry, entry: WindowEntry) -> Point:
    window = between(base, replace(entry, histograms=None))  # only the first histogram is needed
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


def _final_points(found: list[Point]) -> list[Point]:
    """Return `found` without a last point that a later snapshot will extend: shorter than a second, without times."""
    unsettled = found and found[-1][5] is None and (found[-1][1] or 0) < _SECOND_MIN_NS / SECOND_NS
    return found[:-1] if unsettled else found


def onset_ns(entries: Sequence[WindowEntry], decided_ns: int, limit: float) -> int | None:
    """Return since when the share of faults per second was above `limit` until the decision, with at most two seconds below it
    in a row; None if it was not. So a single fault long before is no onset, though it may be evidence.
    """
    since: int | None = None
    below = 0
    later: WindowEntry | None = None
    for entry in reversed(entries):
        if entry.at_ns > decided_ns or (later is not None and later.at_ns - entry.at_ns < _SECOND_MIN_NS):
            continue
        if later is not None and (window := between(entry, replace(later, histograms=None))).requests:
            if window.failed > limit * window.requests:
                since, below = entry.at_ns, 0
            elif (below := below + 1) > 2:
                break
        later = entry
    return since


def beginning_ns(since_ns: int, trigger: Mapping[str, Any], entries: Sequence[WindowEntry], decided_ns: int) -> int:
    """Return the start of the incident: `since_ns`, the first fault of the evidence; for the trigger error_rate the onset, if
    that is later.
    """
    if trigger.get("kind") != "error_rate" or not trigger.get("limit"):
        return since_ns
    return max(since_ns, onset_ns(entries, decided_ns, trigger["limit"]) or 0)


def merge(earlier: SampleSnapshot | None, later: SampleSnapshot | None) -> SampleSnapshot | None:
    """Return two snapshots of one version as one: the points of the earlier snapshot, then those of the later one."""
    if earlier is None or later is None:
        return earlier or later
    final = _final_points(earlier["points"])
    until_ns = final[-1][0] if final else 0
    # A point that began before `until_ns` is left out: half of it is in the earlier snapshot.
    further = [point for point in later["points"] if point[0] - point[1] * SECOND_NS >= until_ns - SECOND_NS // 10]
    return {
        "points": [*final, *further][-POINTS_MAX:],
        "readings": {
            **earlier["readings"],
            "last": later["readings"]["last"],
        },
        "fault_ns": later["fault_ns"] if _faults(later) > _faults(earlier) else earlier["fault_ns"],
    }


def _faults(snapshot: SampleSnapshot) -> int:
    return count_faults(snapshot["readings"]["last"][_OUTCOMES_AT:])


def reading(entries: Sequence[WindowEntry], at_ns: int) -> list[int]:
    """Return the newest reading at or before `at_ns`, else the oldest one."""
    found = next((entry for entry in reversed(entries) if entry.at_ns <= at_ns), entries[0])
    return [found.at_ns, *found.sample.counters()]


def _last_fault_ns(entries: Sequence[WindowEntry], start_ns: int) -> int | None:
    found, faults = None, 0
    for entry in entries:
        now = count_faults(entry.sample.outcomes)
        if now > faults and entry.at_ns >= start_ns and entry is not entries[0]:
            found = entry.at_ns
        faults = now
    return found


def impact(left: SampleSnapshot | None, back: SampleSnapshot | None) -> dict[str, Any] | None:
    """Return the cost (figures.py, `rollback_cost`) from the snapshots of the failed version and the standby; None without
    data.
    """
    return None if left is None else rollback_cost(left["readings"], back and back["readings"])


def periods(snapshot: SampleSnapshot | None, start_ns: int | None, decided_ns: int) -> dict[str, dict[str, Any] | None]:
    """Return the periods of one version: `before` the first fault, `during` the failure (until the decision) and `after`.

    Times are from the points, requests and faults from the readings: each sample is in one period, and `during` and `after` add
    up to `impact`. The sample with the first fault is the first one of `during`.
    """
    start = decided_ns if start_ns is None else start_ns
    ends = {"before": (0, start), "during": (start, decided_ns), "after": (decided_ns, 1 << 63)}
    found = snapshot["points"] if snapshot else []
    periods_by_name = {
        name: _period([point for point in found if since_ns < _middle_ns(point) <= until_ns])
        for name, (since_ns, until_ns) in ends.items()
    }
    if snapshot is not None and start_ns is not None:
        readings = snapshot["readings"]
        if "first" in readings:
            periods_by_name["before"] = _counted(periods_by_name["before"], readings["first"], readings["start"])
        periods_by_name["during"] = _counted(periods_by_name["during"], readings["start"], readings["decision"])
        periods_by_name["after"] = _counted(periods_by_name["after"], readings["decision"], readings["last"])
    return periods_by_name


def _counted(period: dict[str, Any] | None, earlier: Sequence[int], later: Sequence[int]) -> dict[str, Any] | None:
    """Return `period` with the counts between two readings; times are None without points."""
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
        "p50_ms": _weighted_median(middle),
        "p99_worst_ms": max(slow) if slow else None,
    }


def _weighted_median(values: list[tuple[float, int]]) -> float | None:
    """Return the median of medians, weighted by requests: an estimate of the p50 of all requests, which is not kept."""
    half, seen = sum(count for _, count in values) / 2, 0
    for value, count in sorted(values):
        seen += count
        if seen >= half:
            return value
    return None
