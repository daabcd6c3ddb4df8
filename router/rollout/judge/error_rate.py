"""Trigger: the share of faults is above the normal share of this service, with confidence, and still is.

The long window of a pair gives the evidence, the short one shows that it still happens (SRE workbook, chapter 5). The
confidence is that of the exact bound, so a few failures by chance are no regression.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.rules import ErrorRateRule, WindowPair
from router.rollout.judge.verdict import State, TriggerResult
from router.rollout.stats.bounds import is_above
from router.rollout.stats.figures import fault_count_text
from router.rollout.stats.window import Window


def error_rate(context: TriggerContext) -> TriggerResult:
    """Return fail if any pair of windows fails, else pass if any could decide, else inconclusive; not yet sustained."""
    rule = context.rules.error_rate
    if context.paused:
        return _result(context, "inconclusive", context.paused, "paused until the router itself is healthy")
    found: list[TriggerResult] = []
    for pair in rule.windows:
        result = _pair(context, rule, pair)
        if result.state == "fail":
            return result
        found.append(result)
    return next((result for result in found if result.state == "pass"), found[0])


def limit_of(context: TriggerContext) -> float:
    """Return the share of faults that the long window's lower bound must exceed."""
    rule = context.rules.error_rate
    if context.baseline is None:
        return rule.rate_floor_without_baseline
    return max(rule.rate_floor, rule.baseline_factor * context.baseline.upper)


def recent_limit(context: TriggerContext) -> float:
    """Return the share of faults that the short window must reach."""
    rule = context.rules.error_rate
    normal = context.baseline.rate if context.baseline is not None else 0.0
    return max(rule.rate_floor, rule.baseline_factor * normal)


def _pair(context: TriggerContext, rule: ErrorRateRule, pair: WindowPair) -> TriggerResult:
    long = context.window(pair.long_s)
    if long is None or long.rate is None:
        reason = f"no requests in the last {pair.long_s:g} s"
        distance = f"decides from {pair.requests_min} requests"
        return replace(_result(context, "inconclusive", reason, distance), window_s=pair.long_s)
    result = _measured(context, pair, long)
    if long.requests < pair.requests_min:
        missing = pair.requests_min - long.requests
        return replace(result, state="inconclusive", distance=f"decides with {missing} more requests")
    if long.failed < rule.faults_min:
        return replace(result, distance=f"fails with {rule.faults_min - long.failed} more faults at the earliest")
    if not is_above(long.failed, long.requests, limit_of(context), rule.confidence):
        return replace(result, distance=_distance_to_limit(context, rule, long))
    return _recent_check(context, rule, pair, result, long.since_ns)


def _distance_to_limit(context: TriggerContext, rule: ErrorRateRule, long: Window) -> str:
    """Return as text how many faults are missing until the lower bound is above the limit (normal approximation)."""
    limit, number = limit_of(context), long.requests
    deviation = NormalDist().inv_cdf(rule.confidence) * math.sqrt(number * limit * (1 - limit)) if limit < 1 else 0.0
    needed = max(number * limit + deviation, rule.faults_min)
    missing = max(math.ceil(needed - long.failed), 1)
    return f"fails with about {missing} more faults among {number} requests ({needed / number:.1%})"


def _recent_check(
    context: TriggerContext, rule: ErrorRateRule, pair: WindowPair, result: TriggerResult, long_since_ns: int
) -> TriggerResult:
    short = context.window(pair.short_s)
    rate, needed = short.failed_share if short is not None else None, recent_limit(context)
    sure = f"with {rule.confidence:.1%} confidence above {limit_of(context):.1%}"
    if rate is None:
        reason = f"{result.reason}, {sure}, but no requests in the last {pair.short_s:g} s"
        return replace(result, state="inconclusive", reason=reason, distance="decides when requests come")
    recent = f"{rate:.1%} in the last {pair.short_s:g} s"
    if rate < needed:
        reason = f"{result.reason}, {sure}, but no longer: {recent}"
        return replace(result, reason=reason, distance=f"fails if the last {pair.short_s:g} s reach {needed:.1%}")
    first_ns = context.history.first_fault_ns(long_since_ns)
    return replace(result, state="fail", reason=f"{result.reason}, {sure}; {recent}", evidence_since_ns=first_ns)


def _measured(context: TriggerContext, pair: WindowPair, long: Window) -> TriggerResult:
    normal = f"baseline {context.baseline.rate:.2%}" if context.baseline is not None else "no baseline"
    reason = f"{fault_count_text(long.failed, long.requests)} in the last {pair.long_s:g} s, {normal}"
    result = _result(context, "pass", reason, "")
    return replace(result, value=long.failed_share, samples=long.requests, window_s=pair.long_s)


def _result(context: TriggerContext, state: State, reason: str, distance: str) -> TriggerResult:
    return TriggerResult(
        "error_rate",
        "",
        state,
        context.rules.error_rate.action,
        reason,
        distance,
        limit=limit_of(context),
        baseline=context.baseline.rate if context.baseline is not None else None,
        sustained_needed_s=context.rules.error_rate.sustained_s,
    )
