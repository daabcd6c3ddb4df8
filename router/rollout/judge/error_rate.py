"""The share of faults is above what is normal for this service, with confidence, and still is (README, "Triggers").

The long window of a pair gives the evidence, the short one says that it still happens (SRE workbook, chapter 5). The
confidence is that of the exact bound, so a few unlucky requests never look like a regression.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.rules import ErrorRateRule, WindowPair
from router.rollout.judge.verdict import State, TriggerResult
from router.rollout.stats.bounds import is_above
from router.rollout.stats.figures import among
from router.rollout.stats.window import Window


def error_rate(view: TriggerContext) -> TriggerResult:
    """Return fail if any pair of windows fails, else pass if any could decide, else inconclusive; not yet sustained."""
    rule = view.rules.error_rate
    if view.paused:
        return _result(view, "inconclusive", view.paused, "paused until the router itself is well")
    found: list[TriggerResult] = []
    for pair in rule.windows:
        result = _pair(view, rule, pair)
        if result.state == "fail":
            return result
        found.append(result)
    return next((result for result in found if result.state == "pass"), found[0])


def limit_of(view: TriggerContext) -> float:
    """Return the share of faults that the long window's lower bound must exceed."""
    rule = view.rules.error_rate
    if view.baseline is None:
        return rule.rate_floor_without_baseline
    return max(rule.rate_floor, rule.baseline_factor * view.baseline.upper)


def still_of(view: TriggerContext) -> float:
    """Return the share of faults that the short window must reach."""
    rule = view.rules.error_rate
    normal = view.baseline.rate if view.baseline is not None else 0.0
    return max(rule.rate_floor, rule.baseline_factor * normal)


def _pair(view: TriggerContext, rule: ErrorRateRule, pair: WindowPair) -> TriggerResult:
    long = view.window(pair.long_s)
    if long is None or long.rate is None:
        reason = f"no requests in the last {pair.long_s:g} s"
        distance = f"decides from {pair.requests_min} requests"
        return replace(_result(view, "inconclusive", reason, distance), window_s=pair.long_s)
    result = _measured(view, pair, long)
    if long.requests < pair.requests_min:
        missing = pair.requests_min - long.requests
        return replace(result, state="inconclusive", distance=f"decides with {missing} more requests")
    if long.failed < rule.faults_min:
        return replace(result, distance=f"fails with {rule.faults_min - long.failed} more faults at the earliest")
    if not is_above(long.failed, long.requests, limit_of(view), rule.confidence):
        return replace(result, distance=_to_limit(view, rule, long))
    return _still(view, rule, pair, result, long.since_ns)


def _to_limit(view: TriggerContext, rule: ErrorRateRule, long: Window) -> str:
    """Say about how many faults are missing until the lower bound is above the limit (by the normal approximation)."""
    limit, number = limit_of(view), long.requests
    deviation = NormalDist().inv_cdf(rule.confidence) * math.sqrt(number * limit * (1 - limit)) if limit < 1 else 0.0
    needed = max(number * limit + deviation, rule.faults_min)
    missing = max(math.ceil(needed - long.failed), 1)
    return f"fails with about {missing} more faults among {number} requests ({needed / number:.1%})"


def _still(
    view: TriggerContext, rule: ErrorRateRule, pair: WindowPair, result: TriggerResult, long_since_ns: int
) -> TriggerResult:
    short = view.window(pair.short_s)
    rate, needed = short.failed_share if short is not None else None, still_of(view)
    sure = f"with {rule.confidence:.1%} confidence above {limit_of(view):.1%}"
    if rate is None:
        reason = f"{result.reason}, {sure}, but no requests in the last {pair.short_s:g} s"
        return replace(result, state="inconclusive", reason=reason, distance="decides when requests come")
    recent = f"{rate:.1%} in the last {pair.short_s:g} s"
    if rate < needed:
        reason = f"{result.reason}, {sure}, but no longer: {recent}"
        return replace(result, reason=reason, distance=f"fails if the last {pair.short_s:g} s reach {needed:.1%}")
    first_ns = view.history.first_fault_ns(long_since_ns)
    return replace(result, state="fail", reason=f"{result.reason}, {sure}; {recent}", evidence_since_ns=first_ns)


def _measured(view: TriggerContext, pair: WindowPair, long: Window) -> TriggerResult:
    normal = f"baseline {view.baseline.rate:.2%}" if view.baseline is not None else "no baseline"
    reason = f"{among(long.failed, long.requests)} in the last {pair.long_s:g} s, {normal}"
    result = _result(view, "pass", reason, "")
    return replace(result, value=long.failed_share, samples=long.requests, window_s=pair.long_s)


def _result(view: TriggerContext, state: State, reason: str, distance: str) -> TriggerResult:
    return TriggerResult(
        "error_rate",
        "",
        state,
        view.rules.error_rate.action,
        reason,
        distance,
        limit=limit_of(view),
        baseline=view.baseline.rate if view.baseline is not None else None,
        sustained_needed_s=view.rules.error_rate.sustained_s,
    )
