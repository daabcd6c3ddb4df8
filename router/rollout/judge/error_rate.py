"""Trigger: the share of faults is above the normal share of this service, with confidence, and still is.

The long window of a pair gives the evidence, the short one shows that it still happens (SRE workbook, chapter 5). The
confidence is that of the exact bound, so a few failures by chance are no regression. The evidence must hold without its worst
burst of forgive_s, and its faults must be spread over SPREAD_S (neither if forgive_s is 0): one burst is no regression.

The short window is as long as it takes to know: with the share of the long window, RECENT_S or longer until a window without a
fault would be unlikely, and at most the pair's `short_s`. All attempts are judged, and inference alone as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from typing import Final, Protocol

from router.rollout.judge.baseline import Baseline, estimate
from router.rollout.judge.breadth_gate import Point, gated, independent, repeats_note, without_one_client
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.rules import ErrorRateRule, WindowPair
from router.rollout.judge.verdict import Note, State, TriggerResult
from router.rollout.stats.bounds import is_above
from router.rollout.stats.figures import fault_count_text
from router.rollout.stats.spread import worst_burst
from router.rollout.stats.window import count_faults
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
from router.runtime.text.plurals import counted

RECENT_S: Final = 3.0
RECENT_CHANCE: Final = 0.01
"""A window is long enough if it would hold no fault with less than this probability."""
SPREAD_S: Final = 5.0
FAR_SHARE: Final = 0.5
"""Below this part of its limit a share of faults cannot fail within a second without another fault."""
FEW_CLIENTS: Final = "fails if more clients are affected"
FEW_REQUESTS: Final = "fails if more than a few distinct requests fail"
_BEGUN, _UNBEGUN, _OUTCOMES = 1, 2, 5


class FaultWindow(Protocol):
    """Requests of a period, and those of them that failed (stats/window.py, stats/work_history.py)."""

    @property
    def since_ns(self) -> int:
        """Start (monotonic nanoseconds)."""

    @property
    def until_ns(self) -> int:
        """End (monotonic nanoseconds)."""

    @property
    def requests(self) -> int:
        """Requests."""

    @property
    def failed(self) -> int:
        """Requests that failed, at most all."""

    @property
    def failed_share(self) -> float | None:
        """`failed` of `requests`; None without requests."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What is judged: all attempts, or those of inference."""

    name: str
    window: Callable[[float], FaultWindow | None]
    points: Callable[[int], Sequence[Point]]
    baseline: Baseline | None


def error_rate(context: TriggerContext) -> tuple[TriggerResult, tuple[Note, ...]]:
    """Return fail if any pair of windows fails, else pass if any could decide, else inconclusive; not yet sustained."""
    rule = context.rules.error_rate
    if context.paused:
        return _result(
            context, context.baseline, "inconclusive", context.paused, "paused until the router is healthy"
        ), ()
    found: list[TriggerResult] = []
    notes: list[Note] = []
    decided = False
    for judged in (_all_attempts(context), *_inference(context)):
        for pair in rule.windows:
            if found and _has_few(rule, pair, judged) and (decided or not _is_decided(pair, judged)):
                continue
            result = _pair(context, rule, pair, judged)
            if result.distance == FEW_REQUESTS:
                notes.append(repeats_note(context, result, context.now_ns - int(pair.long_s * SECOND_NS)))
            if result.distance == FEW_CLIENTS:
                notes.append(Note("one_client_fails", f"{result.reason}: nearly all of one client at a time"))
            if result.state == "fail":
                result, note = gated(context, result, result.evidence_since_ns or 0)
                notes += [note] if note is not None else []
            if result.state == "fail":
                return result, ()
            found.append(result)
            decided = decided or result.state == "pass"
    return next((result for result in found if result.state == "pass"), found[0]), tuple(notes[:1])


def is_far_from_limit(context: TriggerContext) -> bool:
    """Whether no pair of windows can fail before the next fault, though requests leave its windows for a second."""
    faults_min = context.rules.error_rate.faults_min
    for judged in (_all_attempts(context), *_inference(context)):
        limit = FAR_SHARE * limit_of(context, judged.baseline)
        for pair in context.rules.error_rate.windows:
            long = judged.window(pair.long_s)
            if long is not None and long.failed >= faults_min and (long.failed_share or 0.0) > limit:
                return False
    return True


def _all_attempts(context: TriggerContext) -> Judged:
    def points(since_ns: int) -> list[Point]:
        entries = list(context.history.entries_since(since_ns))
        return [
            (
                new.at_ns,
                count_faults(new.counters[_OUTCOMES:]) - count_faults(old.counters[_OUTCOMES:]),
                new.counters[_BEGUN] + new.counters[_UNBEGUN] - old.counters[_BEGUN] - old.counters[_UNBEGUN],
            )
            for old, new in pairwise(entries)
        ]

    return Judged("", context.window, points, context.baseline)


def _inference(context: TriggerContext) -> list[Judged]:
    """Return inference alone; nothing where nothing else was asked."""
    state = context.work
    if state is None or len(state.known.inference) == len(state.work):
        return []
    history, inference, since_ns = state.slot.history, state.known.inference, context.promoted_at_ns

    def points(start_ns: int) -> list[Point]:
        seconds = (context.now_ns - start_ns) / SECOND_NS
        windows = history.spread(seconds, context.now_ns, since_ns, inference)
        return [(window.until_ns, window.failed, window.requests) for window in windows]

    def window(seconds: float) -> FaultWindow | None:
        return history.window(seconds, context.now_ns, since_ns, inference)

    return [Judged(" of inference", window, points, _inference_baseline(context))]


def _inference_baseline(context: TriggerContext) -> Baseline | None:
    """Return the normal share of faults of inference; that of all attempts if it is unknown."""
    baseline, state = context.baseline, context.work
    if baseline is None or state is None:
        return baseline
    names = {state.known.name(bucket) for bucket in state.known.inference}
    normal = [found for name, found in baseline.work.items() if name in names]
    requests = sum(found.requests for found in normal)
    if requests < context.rules.baseline_requests_min:
        return baseline
    faults = sum(found.ends[WorkEnd.FAULT] + found.late_faults for found in normal)
    return estimate(requests, faults, context.rules.error_rate.baseline_confidence)


def limit_of(context: TriggerContext, baseline: Baseline | None) -> float:
    """Return the share of faults that the long window's lower bound must exceed."""
    rule = context.rules.error_rate
    if baseline is None:
        return rule.rate_floor_without_baseline
    return max(rule.rate_floor, rule.baseline_factor * baseline.upper)


def recent_limit(context: TriggerContext, baseline: Baseline | None) -> float:
    """Return the share of faults that the short window must reach."""
    rule = context.rules.error_rate
    return max(rule.rate_floor, rule.baseline_factor * (baseline.rate if baseline is not None else 0.0))


def _pair(context: TriggerContext, rule: ErrorRateRule, pair: WindowPair, judged: Judged) -> TriggerResult:
    long = judged.window(pair.long_s)
    if long is None or long.failed_share is None:
        reason = f"no requests in the last {pair.long_s:g} s"
        distance = f"decides from {counted(pair.requests_min, 'request')}"
        return replace(_result(context, judged.baseline, "inconclusive", reason, distance), window_s=pair.long_s)
    result, limit = _measured(context, pair, long, judged), limit_of(context, judged.baseline)
    if long.requests < pair.requests_min:
        missing = pair.requests_min - long.requests
        return replace(result, state="inconclusive", distance=f"decides with {counted(missing, 'more request')}")
    if long.failed < rule.faults_min:
        return replace(
            result, distance=f"fails with {counted(rule.faults_min - long.failed, 'more fault')} at the earliest"
        )
    if not is_above(long.failed, long.requests, limit, rule.confidence):
        return replace(result, distance=_distance_to_limit(rule, long, limit))
    found = _recent_check(context, rule, pair, result, long, judged)
    if found.state != "fail":
        return found
    excuse = _burst_or_poison(context, rule, judged, long, limit)
    return found if excuse is None else replace(result, distance=excuse)


def _is_decided(pair: WindowPair, judged: Judged) -> bool:
    """Whether the long window has enough requests."""
    long = judged.window(pair.long_s)
    return long is not None and long.requests >= max(pair.requests_min, 1)


def _has_few(rule: ErrorRateRule, pair: WindowPair, judged: Judged) -> bool:
    """Whether the long window has too few requests or faults to fail."""
    long = judged.window(pair.long_s)
    return long is None or long.failed < rule.faults_min or long.requests < pair.requests_min


def _burst_or_poison(
    context: TriggerContext, rule: ErrorRateRule, judged: Judged, long: FaultWindow, limit: float
) -> str | None:
    """Return why the evidence is one burst, or one request again and again; None if it is neither."""
    all_points = judged.points(long.since_ns)
    points = without_one_client(context, long.since_ns, all_points)
    aside = sum(faults for _, faults, _ in all_points) - sum(faults for _, faults, _ in points)
    failed = independent(context, long.failed - aside, long.since_ns)
    if not is_above(failed, long.requests - aside, limit, rule.confidence):
        return FEW_CLIENTS if aside else FEW_REQUESTS
    (first, last), burst = worst_burst([(at_ns, faults) for at_ns, faults, _ in points], context.rules.forgive_s)
    rest = long.requests - aside - sum(requests for _, _, requests in points[first:last])
    times = [at_ns for at_ns, faults, _ in points if faults]
    if not is_above(failed - min(burst, failed), rest, limit, rule.confidence):
        return f"fails if it goes on: one burst of {context.rules.forgive_s:g} s is forgiven"
    if context.rules.forgive_s and times and times[-1] - times[0] < SPREAD_S * SECOND_NS:
        return f"fails once faults have come for {SPREAD_S:g} s"
    return None


def _distance_to_limit(rule: ErrorRateRule, long: FaultWindow, limit: float) -> str:
    """Return as text how many faults are missing until the lower bound is above the limit (normal approximation)."""
    number = long.requests
    deviation = NormalDist().inv_cdf(rule.confidence) * math.sqrt(number * limit * (1 - limit)) if limit < 1 else 0.0
    needed = max(number * limit + deviation, rule.faults_min)
    missing = max(math.ceil(needed - long.failed), 1)
    return (
        f"fails with about {counted(missing, 'more fault')} among {counted(number, 'request')} ({needed / number:.1%})"
    )


def recent_s(long: FaultWindow, pair: WindowPair) -> float:
    """Return the length of the short window in seconds, for the share and the rate of the long one."""
    share, lasted_s = long.failed_share or 0.0, (long.until_ns - long.since_ns) / SECOND_NS
    if not 0 < share < 1 or not long.requests:
        return min(RECENT_S, pair.short_s)
    needed = math.ceil(math.log(RECENT_CHANCE) / math.log1p(-share))
    return min(max(needed * lasted_s / long.requests, RECENT_S), pair.short_s)


def _recent_check(
    context: TriggerContext,
    rule: ErrorRateRule,
    pair: WindowPair,
    result: TriggerResult,
    long: FaultWindow,
    judged: Judged,
) -> TriggerResult:
    short_s = recent_s(long, pair)
    short, limit = judged.window(short_s), limit_of(context, judged.baseline)
    rate, needed = short.failed_share if short is not None else None, recent_limit(context, judged.baseline)
    sure = f"with {rule.confidence:.1%} confidence above {limit:.1%}"
    if rate is None:
        reason = f"{result.reason}, {sure}, but no requests in the last {short_s:.3g} s"
        return replace(result, state="inconclusive", reason=reason, distance="decides when requests come")
    recent = f"{rate:.1%} in the last {short_s:.3g} s"
    if rate < needed:
        reason = f"{result.reason}, {sure}, but no longer: {recent}"
        return replace(result, reason=reason, distance=f"fails if the last {short_s:.3g} s reach {needed:.1%}")
    first_ns = context.history.first_fault_ns(long.since_ns)
    return replace(result, state="fail", reason=f"{result.reason}, {sure}; {recent}", evidence_since_ns=first_ns)


def _measured(context: TriggerContext, pair: WindowPair, long: FaultWindow, judged: Judged) -> TriggerResult:
    normal = f"baseline {judged.baseline.rate:.2%}" if judged.baseline is not None else "no baseline"
    reason = f"{fault_count_text(long.failed, long.requests)}{judged.name} in the last {pair.long_s:g} s, {normal}"
    result = _result(context, judged.baseline, "pass", reason, "")
    return replace(result, value=long.failed_share, samples=long.requests, window_s=pair.long_s)


def _result(
    context: TriggerContext, baseline: Baseline | None, state: State, reason: str, distance: str
) -> TriggerResult:
    return TriggerResult(
        "error_rate",
        "",
        state,
        context.rules.error_rate.action,
        reason,
        distance,
        limit=limit_of(context, baseline),
        baseline=baseline.rate if baseline is not None else None,
        sustained_needed_s=context.rules.error_rate.sustained_s,
    )
