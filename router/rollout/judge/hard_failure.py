"""Trigger: the version does not work at all. It refuses connections, fails nearly every request, or hangs.

These results act at the first tick that shows them, also while this router's own loop stalls. During a stall, waits and refused
connections may be caused by the router itself: they then count only if control's probes fail too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.evidence import Run
from router.rollout.judge.rules import HardFailureRule
from router.rollout.judge.verdict import Detail, State, TriggerResult
from router.rollout.stats.figures import fault_count_text
from router.rollout.stats.window import Window
from router.rollout.units import SECOND_NS

REFUSALS_MIN: Final = 3
"""Refused connections that suffice alone. If control's probes fail too, one refused connection suffices."""
HANG_FACTOR: Final = 3.0
"""hang_after_s is this many times the p99 of first-byte times."""


def unreachable(context: TriggerContext) -> TriggerResult:
    """No endpoint accepts connections: for unreachable_after_s according to live traffic, or longer according to probes alone."""
    rule, refusals = context.rules.hard_failure, context.evidence.refusals
    probes_s = context.probes_unreachable_s
    if probes_s is not None and _response_begun_since(context, context.now_ns - int(probes_s * SECOND_NS)):
        probes_s = None  # responses begin: the probe is wrong
    by_probes = _result(rule, "unreachable", "pass", "", value=probes_s, limit=rule.unreachable_by_probes_after_s)
    if probes_s is not None and probes_s >= rule.unreachable_by_probes_after_s:
        reason = (
            f"probes have reached no endpoint for {probes_s:.1f} s (limit {rule.unreachable_by_probes_after_s:g} s)"
        )
        since_ns = context.probes_unreachable_since_ns
        return _fail(by_probes, reason, since_ns)
    if refusals.is_fresh(context.now_ns):
        return _refusals_result(context, refusals, probes_s)
    if probes_s is not None:
        left_s = rule.unreachable_by_probes_after_s - probes_s
        reason = f"probes have reached no endpoint for {probes_s:.1f} s"
        return replace(by_probes, reason=reason, distance=f"fails after {left_s:.1f} s more of this")
    return _no_evidence(context, "unreachable", "no connection was refused", "fails if connections are refused")


def _refusals_result(context: TriggerContext, refusals: Run, probes_s: float | None) -> TriggerResult:
    rule = context.rules.hard_failure
    # If live traffic and probes agree, there is no need for a third refusal, and time also counts after the last refusal.
    span_s = refusals.span_s if probes_s is None else (context.now_ns - refusals.first_ns) / SECOND_NS
    needed = REFUSALS_MIN if probes_s is None else 1
    reason = f"{refusals.count} connections refused within {span_s:.1f} s, nothing begun in between"
    found = _result(
        rule,
        "unreachable",
        "pass",
        reason,
        value=span_s,
        limit=rule.unreachable_after_s,
        samples=refusals.count,
    )
    if refusals.count < needed or span_s < rule.unreachable_after_s:
        left_s = max(rule.unreachable_after_s - span_s, 0.0)
        distance = f"fails with {max(needed - refusals.count, 0)} more refusals and {left_s:.1f} s more of this"
        return replace(found, distance=distance)
    if context.paused and probes_s is None:
        return _unconfirmed(found, context.paused)
    return _fail(found, f"{reason} (limit {rule.unreachable_after_s:g} s)", refusals.first_ns)


def errors(context: TriggerContext) -> TriggerResult:
    """Nearly every request fails: a burst within one of the windows, or faults in a row at low traffic."""
    rule = context.rules.hard_failure
    windows = [(seconds, window) for seconds in rule.burst_windows_s if (window := context.window(seconds)) is not None]
    failed = next((_burst(rule, *pair) for pair in windows if _is_burst(rule, pair[1])), None)
    if failed is not None:
        failed = replace(failed, evidence_since_ns=context.history.first_fault_ns(failed.evidence_since_ns or 0))
    elif _is_streak(context):
        failed = _streak(rule, context.evidence.faults)
    if failed is not None:
        return _deferred(context, failed) if _is_left_to_unreachable(context) else failed
    if not windows or windows[-1][1].rate is None:
        return _no_evidence(context, "errors", "no request began or failed", "decides when requests come")
    seconds, window = windows[-1]
    result = _burst(rule, seconds, window)
    distance = (
        f"fails from {rule.burst_faults_min} faults and a share of {rule.burst_fault_share:.0%}, "
        f"or from {rule.streak_faults_min} faults in a row "
        f"(now {context.evidence.faults.count}) over {rule.streak_span_s:g} s"
    )
    return replace(result, state="pass", failing=False, distance=distance, evidence_since_ns=None)


def _is_burst(rule: HardFailureRule, window: Window) -> bool:
    rate = window.failed_share
    return rate is not None and window.failed >= rule.burst_faults_min and rate >= rule.burst_fault_share


def _is_streak(context: TriggerContext) -> bool:
    rule, faults = context.rules.hard_failure, context.evidence.faults
    enough = faults.count >= rule.streak_faults_min and faults.span_s >= rule.streak_span_s
    return enough and faults.is_fresh(context.now_ns)


def _is_left_to_unreachable(context: TriggerContext) -> bool:
    """Whether no response has begun since connections were refused: then `unreachable` decides, which does not quarantine.

    It decides within unreachable_after_s + 1 s. If other faults last longer, they are judged here.
    """
    refusals, faults = context.evidence.refusals, context.evidence.faults
    if not refusals.is_fresh(context.now_ns):
        return False
    young_s = context.rules.hard_failure.unreachable_after_s + 1.0
    return faults.count == refusals.count or context.now_ns - refusals.first_ns < young_s * SECOND_NS


def _deferred(context: TriggerContext, failed: TriggerResult) -> TriggerResult:
    count = context.evidence.refusals.count
    reason = f"{failed.reason}; {count} of them are refused connections, which hard_failure.unreachable judges"
    return replace(failed, state="inconclusive", failing=False, reason=reason, distance="as soon as anything answers")


def _burst(rule: HardFailureRule, seconds: float, window: Window) -> TriggerResult:
    reason = f"{fault_count_text(window.failed, window.requests)} in the last {seconds:g} s"
    result = _result(
        rule,
        "errors",
        "pass",
        reason,
        value=window.failed_share,
        limit=rule.burst_fault_share,
        samples=window.requests,
        window_s=seconds,
    )
    limits = f"limits {rule.burst_faults_min} and {rule.burst_fault_share:.0%}"
    return _fail(result, f"{reason}; {limits}", window.since_ns)


def _streak(rule: HardFailureRule, faults: Run) -> TriggerResult:
    reason = (
        f"{faults.count} faults in a row over {faults.span_s:.1f} s, nothing begun in between "
        f"(limits {rule.streak_faults_min} and {rule.streak_span_s:g} s)"
    )
    value, limit = float(faults.count), float(rule.streak_faults_min)
    result = _result(rule, "errors", "pass", "", value=value, limit=limit, samples=faults.count)
    return _fail(replace(result, window_s=faults.span_s), reason, faults.first_ns)


def hang(context: TriggerContext) -> TriggerResult:
    """Requests wait and no response begins, whether a wait ends by a timeout, because the client leaves, or not at all."""
    rule, waits = context.rules.hard_failure, context.evidence.waits
    limit_s = hang_after_s(context)
    if not waits.is_fresh(context.now_ns):
        return replace(
            _no_evidence(context, "hang", "no request waits", "fails if requests wait and none begins"), limit=limit_s
        )
    confirmed = context.probes_unreachable_since_ns is not None
    lasted_s = waits.lasted_s(with_stalls=confirmed)
    reason = (
        f"nothing begun for {lasted_s:.1f} s while {waits.long} requests waited {rule.hang_wait_min_s:g} s or longer"
    )
    found = _result(rule, "hang", "pass", reason, value=lasted_s, limit=limit_s, samples=waits.long)
    if lasted_s < limit_s or waits.long < rule.hang_waits_min:
        waits_left = max(rule.hang_waits_min - waits.long, 0)
        left_s = max(limit_s - lasted_s, 0.0)
        return replace(found, distance=f"fails with {waits_left} more such waits and {left_s:.1f} s more of this")
    if context.paused and not confirmed:
        return _unconfirmed(found, context.paused)
    return _fail(found, f"{reason} (limits {limit_s:.1f} s and {rule.hang_waits_min})", waits.since_ns)


def hang_after_s(context: TriggerContext) -> float:
    """Return the seconds without a begun response after which the version hangs.

    Without enough samples of the version it is the first-byte timeout of the service, but at most hang_after_max_s. Otherwise a
    version that hangs from its first request would stay for as long as the longest answer may take (promise 4: < 60 s).
    """
    rule = context.rules.hard_failure
    if rule.hang_after_s is not None:
        return rule.hang_after_s
    if context.hang_p99_s is None or context.in_warmup:
        return min(context.first_byte_timeout_s, rule.hang_after_max_s)
    return min(max(HANG_FACTOR * context.hang_p99_s, rule.hang_after_min_s), rule.hang_after_max_s)


def _response_begun_since(context: TriggerContext, since_ns: int) -> bool:
    newest = context.history.newest
    return newest is not None and newest.sample.last_begun_ns > since_ns


def _result(
    rule: HardFailureRule,
    detail: Detail,
    state: State,
    reason: str,
    *,
    value: float | None = None,
    limit: float | None = None,
    samples: int = 0,
    window_s: float | None = None,
) -> TriggerResult:
    return TriggerResult(
        "hard_failure",
        detail,
        state,
        rule.action,
        reason,
        value=value,
        limit=limit,
        samples=samples,
        window_s=window_s,
    )


def _fail(found: TriggerResult, reason: str, since_ns: int | None) -> TriggerResult:
    return replace(found, state="fail", failing=True, reason=reason, distance="acts now", evidence_since_ns=since_ns)


def _unconfirmed(found: TriggerResult, paused: str) -> TriggerResult:
    reason = f"{found.reason}, but {paused}"
    return replace(found, state="inconclusive", reason=reason, distance="acts once control's own probes fail too")


def _no_evidence(context: TriggerContext, detail: Detail, reason: str, distance: str) -> TriggerResult:
    """Return pass if a response began within the longest burst window, inconclusive without traffic."""
    rule = context.rules.hard_failure
    window = context.window(max(rule.burst_windows_s))
    begun = window is not None and window.begun > 0
    return replace(_result(rule, detail, "pass" if begun else "inconclusive", reason), distance=distance)
