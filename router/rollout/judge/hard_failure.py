"""Trigger: the version does not work at all. It refuses connections, or hangs. errors.py has nearly every request failing.

These results act at the first tick that shows them, also while this router's own loop stalls. During a stall, waits and refused
connections may be caused by the router itself: they then count only if control's probes fail too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.evidence import Run, Waits
from router.rollout.judge.rules import HardFailureRule
from router.rollout.judge.verdict import Detail, State, TriggerResult
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
from router.runtime.text.plurals import counted

REFUSALS_MIN: Final = 3
"""Refused connections that suffice alone. If control's probes fail too, one refused connection suffices."""
HANG_FACTOR: Final = 3.0
"""hang_after_s is this many times the p99 of first-byte times."""
EARLY_S: Final = 300.0
"""Clients that left early are counted within this time, and since the first wait."""


def unreachable(context: TriggerContext) -> TriggerResult:
    """No endpoint accepts connections: for unreachable_after_s according to live traffic, or longer according to probes alone."""
    rule, refusals = context.rules.hard_failure, context.evidence.refusals
    probes_s = context.probes_unreachable_s
    if probes_s is not None and _response_begun_since(context, context.now_ns - int(probes_s * SECOND_NS)):
        probes_s = None  # responses begin: the probe is wrong
    by_probes = hard_failure_result(
        rule, "unreachable", "pass", "", value=probes_s, limit=rule.unreachable_by_probes_after_s
    )
    if probes_s is not None and probes_s >= rule.unreachable_by_probes_after_s:
        reason = (
            f"probes have reached no endpoint for {probes_s:.1f} s (limit {rule.unreachable_by_probes_after_s:g} s)"
        )
        since_ns = context.probes_unreachable_since_ns
        return failing(by_probes, reason, since_ns)
    if refusals.is_fresh(context.now_ns):
        return _refusals_result(context, refusals, probes_s)
    if probes_s is not None:
        left_s = rule.unreachable_by_probes_after_s - probes_s
        reason = f"probes have reached no endpoint for {probes_s:.1f} s"
        return replace(by_probes, reason=reason, distance=f"fails after {left_s:.1f} s more of this")
    return no_evidence(context, "unreachable", "no connection was refused", "fails if connections are refused")


def _refusals_result(context: TriggerContext, refusals: Run, probes_s: float | None) -> TriggerResult:
    rule = context.rules.hard_failure
    # If live traffic and probes agree, there is no need for a third refusal, and time also counts after the last refusal.
    span_s = refusals.span_s if probes_s is None else (context.now_ns - refusals.first_ns) / SECOND_NS
    needed = REFUSALS_MIN if probes_s is None else 1
    reason = f"{counted(refusals.count, 'connection')} refused within {span_s:.1f} s, nothing begun in between"
    found = hard_failure_result(
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
        distance = (
            f"fails with {counted(max(needed - refusals.count, 0), 'more refusal')} and {left_s:.1f} s more of this"
        )
        return replace(found, distance=distance)
    if context.paused and probes_s is None:
        return _unconfirmed(found, context.paused)
    return failing(found, f"{reason} (limit {rule.unreachable_after_s:g} s)", refusals.first_ns)


def hang(context: TriggerContext) -> TriggerResult:
    """Requests wait and no response begins, whether a wait ends by a timeout, because the client leaves, or not at all.

    Waits of work buckets that move are a queue. A client that leaves before the median time to useful is no evidence.
    """
    rule, waits = context.rules.hard_failure, context.evidence.waits
    limit_s = hang_after_s(context)
    if not waits.is_fresh(context.now_ns):
        return replace(
            no_evidence(context, "hang", "no request waits", "fails if requests wait and none begins"), limit=limit_s
        )
    confirmed = context.probes_unreachable_since_ns is not None
    lasted_s, long = waits.lasted_s(with_stalls=confirmed), _long_waits(context, waits)
    reason = f"nothing begun for {lasted_s:.1f} s while {counted(long, 'request')} waited {rule.hang_wait_min_s:g} s or longer"
    found = hard_failure_result(rule, "hang", "pass", reason, value=lasted_s, limit=limit_s, samples=long)
    if context.work is not None and context.work.waits_are_queued:
        return replace(found, reason=f"{reason}, but others move on", distance="fails if nothing moves")
    if lasted_s < limit_s or long < rule.hang_waits_min:
        waits_left = max(rule.hang_waits_min - long, 0)
        left_s = max(limit_s - lasted_s, 0.0)
        return replace(found, distance=f"fails with {waits_left} more such waits and {left_s:.1f} s more of this")
    if context.paused and not confirmed:
        return _unconfirmed(found, context.paused)
    return failing(found, f"{reason} (limits {limit_s:.1f} s and {rule.hang_waits_min})", waits.since_ns)


def _long_waits(context: TriggerContext, waits: Waits) -> int:
    state = context.work
    if state is None:
        return waits.long
    early = state.slot.history.window(EARLY_S, state.at_ns, waits.since_ns, tuple(state.work))
    return waits.long - min(early.ends[WorkEnd.GONE_EARLY] if early is not None else 0, waits.ended_long)


def hang_after_s(context: TriggerContext) -> float:
    """Return the seconds without a begun response after which the version hangs: the limit of a wait (known_work.py).

    Samples without work have only first-byte times. Without enough of them it is hang_after_max_s, and the first-byte timeout of
    the service if that is shorter, or while an inference probe of the version passes. Otherwise a version that hangs from its
    first request would stay for as long as the longest answer may take (promise 4: < 60 s).
    """
    rule, probe = context.rules.hard_failure, context.inference_probe
    if rule.hang_after_s is not None:
        return rule.hang_after_s
    if context.work is not None and (limit_s := context.work.wait_limit_s()) is not None:
        return limit_s
    if context.hang_p99_s is not None:
        return max(HANG_FACTOR * context.hang_p99_s, rule.hang_after_min_s)
    passes = probe is not None and probe.passes
    return context.first_byte_timeout_s if passes else min(context.first_byte_timeout_s, rule.hang_after_max_s)


def _response_begun_since(context: TriggerContext, since_ns: int) -> bool:
    newest = context.history.newest
    return newest is not None and newest.sample.last_begun_ns > since_ns


def hard_failure_result(
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
    """Return a result of `hard_failure`."""
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


def failing(found: TriggerResult, reason: str, since_ns: int | None) -> TriggerResult:
    """Return a result that acts now."""
    return replace(found, state="fail", failing=True, reason=reason, distance="acts now", evidence_since_ns=since_ns)


def _unconfirmed(found: TriggerResult, paused: str) -> TriggerResult:
    reason = f"{found.reason}, but {paused}"
    return replace(found, state="inconclusive", reason=reason, distance="acts once control's own probes fail too")


def no_evidence(context: TriggerContext, detail: Detail, reason: str, distance: str) -> TriggerResult:
    """Return pass if a response began within the longest burst window, inconclusive without traffic."""
    rule = context.rules.hard_failure
    window = context.window(max(rule.burst_windows_s))
    begun = window is not None and window.begun > 0
    return replace(hard_failure_result(rule, detail, "pass" if begun else "inconclusive", reason), distance=distance)
