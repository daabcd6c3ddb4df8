"""Trigger: too many answers are later than the service's objective.

`rules.latency.slo_on` names the time: to the first byte, to the first useful byte, or to the last byte. A head alone is no
work: an event stream that begins at once and brings its first token after a minute is late by its first useful byte.

The trigger uses the share of late answers, not a p99: a share is cheap, adds up over workers, and has exact bounds (the p99 of
50 samples is their maximum). A wait longer than the objective that ended without an answer counts as late; a failure never
counts as a fast answer. Answers of the warm-up are left out, also later. The period of the fast path is shorter than its window,
so the fast path also checks the latest answers: otherwise it would act on slowness that is over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.judge.baseline import lateness
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.rules import LatencyRule
from router.rollout.judge.verdict import State, TriggerResult
from router.rollout.stats.bounds import is_above
from router.rollout.stats.window import Window
from router.runtime.text.plurals import counted

STILL_S: Final = 10.0
"""The window of the latest answers, which shows whether the slowness lasts."""
NOUNS: Final = {"first_byte": "first bytes", "useful": "first useful bytes", "last_byte": "whole answers"}


def latency(context: TriggerContext) -> tuple[TriggerResult, TriggerResult]:
    """Return (slow path, fast path): some answers late for a long time; most answers very late. Neither is sustained yet."""
    rule = context.rules.latency
    slow = _path(context, rule, 1.0, rule.slo_share, rule.sustained_s)
    fast = _path(context, rule, rule.fast_factor, rule.fast_share, rule.fast_sustained_s)
    return slow, _recent_check(context, rule, fast) if fast.state == "fail" else fast


def _path(
    context: TriggerContext, rule: LatencyRule, factor: float, share_max: float, sustained_s: float
) -> TriggerResult:
    if rule.slo_ms is None:
        return _result(rule, "not_configured", "no slo_ms is set for this service", "set rules.latency.slo_ms")
    limit_ms = rule.slo_ms * factor
    base = replace(
        _result(rule, "inconclusive", "", ""),
        limit=share_max,
        baseline=_baseline_share(context, rule, limit_ms),
        window_s=rule.window_s,
        sustained_needed_s=sustained_s,
    )
    if context.paused:
        return replace(base, reason=context.paused, distance="paused until the router itself is healthy")
    if context.in_warmup:
        reason = f"promoted less than {context.rules.warmup_s:g} s ago"
        return replace(base, reason=reason, distance="decides after the warm-up")
    window = context.warm_window(rule.window_s)
    return _decide(rule, base, window, limit_ms) if window is not None else _no_data(rule, base)


def _recent_check(context: TriggerContext, rule: LatencyRule, result: TriggerResult) -> TriggerResult:
    """Return the failing result of the fast path; pass if at most half of its share of the latest answers is so late."""
    window = context.warm_window(STILL_S)
    limit_ms = (rule.slo_ms or 0.0) * rule.fast_factor
    late, timed = _lateness(rule, window, limit_ms) if window is not None else (0.0, 0.0)
    if not timed or late / timed > rule.fast_share / 2:
        return result
    reason = f"{result.reason}, but no longer: {late / timed:.1%} in the last {STILL_S:g} s"
    return replace(result, state="pass", reason=reason, distance="fails if it happens again", evidence_since_ns=None)


def _no_data(rule: LatencyRule, base: TriggerResult) -> TriggerResult:
    reason = f"no answer was timed in the last {rule.window_s:g} s"
    return replace(base, reason=reason, distance=f"decides from {counted(rule.requests_min, 'answer')}")


def _decide(rule: LatencyRule, base: TriggerResult, window: Window, limit_ms: float) -> TriggerResult:
    late, timed = _lateness(rule, window, limit_ms)
    if not timed:
        return _no_data(rule, base)
    share, limit, normal = late / timed, base.limit or 0.0, base.baseline or 0.0
    measured = "no baseline" if base.baseline is None else f"baseline {normal:.1%}"
    what = NOUNS[rule.slo_on]
    reason = f"{share:.1%} of {timed:.0f} {what} later than {limit_ms:g} ms in the last {rule.window_s:g} s, {measured}"
    result = replace(base, value=share, samples=round(timed), reason=reason)
    if timed < rule.requests_min:
        return replace(result, distance=f"decides with {counted(rule.requests_min - timed, 'more answer', '.0f')}")
    if share <= limit:
        return replace(result, state="pass", distance=f"fails above {limit:.1%}")
    if not is_above(late, timed, normal, rule.confidence):
        sure = f"not above the baseline with {rule.confidence:.1%} confidence"
        return replace(result, state="pass", reason=f"{reason}; {sure}", distance="needs more late answers")
    return replace(result, state="fail", reason=f"{reason} (limit {limit:.1%})", evidence_since_ns=window.since_ns)


def _lateness(rule: LatencyRule, window: Window, limit_ms: float) -> tuple[float, float]:
    answered = {"first_byte": window.first_byte, "useful": window.first_useful, "last_byte": window.duration}[
        rule.slo_on
    ]
    return lateness(answered or (), window.abandoned or (), limit_ms * 1000)


def _baseline_share(context: TriggerContext, rule: LatencyRule, limit_ms: float) -> float | None:
    if context.baseline is None:
        return None
    return context.baseline.late_share(limit_ms * 1000, rule.slo_on)


def _result(rule: LatencyRule, state: State, reason: str, distance: str) -> TriggerResult:
    return TriggerResult("latency", "", state, rule.action, reason, distance)
