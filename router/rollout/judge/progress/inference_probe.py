"""Trigger: the inference probe of the version fails while that of the standby passes; it needs no traffic.

Useful answers contradict a probe. A probe that times out while requests are under way shows a queue.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.probe_evidence import FAILURES_MIN, ProbeEvidence
from router.rollout.judge.verdict import Note, State, TriggerResult
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted

PROBE_FAILS_S: Final = 15.0
"""An inference probe must fail for this time."""
CONTRADICTED_MIN_S: Final = 10.0
"""A useful answer contradicts the probe for this time, or for the limit of a wait if that is longer."""


def inference_probe(context: TriggerContext) -> tuple[TriggerResult, tuple[Note, ...]]:
    """Return fail if the probe fails by itself, pass if it passes or is contradicted."""
    probe, action = context.inference_probe, context.rules.hard_failure.action
    result = TriggerResult("hard_failure", "probe", "not_configured", action, "the service has no inference probe")
    if probe is None:
        return result, ()
    if not probe.since_ns or not probe.fails:
        state: State = "pass" if probe.passes else "inconclusive"
        reason = (
            "the inference probe passes"
            if probe.passes
            else f"{probe.bad} of {counted(probe.endpoints, 'probe')} failed"
        )
        return replace(result, state=state, reason=reason, distance=f"fails after {FAILURES_MIN} failures in a row"), ()
    lasted_s = (context.now_ns - probe.since_ns) / SECOND_NS
    reason = (
        f"the inference probe of {probe.failing} of {counted(probe.endpoints, 'endpoint')} has failed for {lasted_s:.1f} s, "
        f"{FAILURES_MIN} times in a row or more ({probe.detail})"
    )
    found = replace(
        result, state="pass", reason=reason, value=lasted_s, limit=PROBE_FAILS_S, samples=probe.failing, action=action
    )
    if contradiction := _contradiction(context, probe):
        return replace(found, reason=f"{reason}, but {contradiction}", distance="acts once this ends"), ()
    if probe.standby_passes is not True:
        text = "has none" if probe.standby_passes is None else "fails, too"
        found = replace(found, reason=f"{reason}, and that of the standby {text}", distance="acts if that one passes")
        return found, (Note("both_fail", found.reason),) if probe.standby_passes is False else ()
    if lasted_s < PROBE_FAILS_S:
        return replace(found, distance=f"fails after {PROBE_FAILS_S - lasted_s:.1f} s more of this"), ()
    failed = replace(found, state="fail", failing=True, distance="acts now", evidence_since_ns=probe.since_ns)
    return replace(failed, reason=f"{reason}; the limit is {PROBE_FAILS_S:g} s, and that of the standby passes"), ()


def _contradiction(context: TriggerContext, probe: ProbeEvidence) -> str | None:
    """Return why live traffic contradicts the probe; None if it does not."""
    if context.paused:
        return context.paused
    state = context.work
    if state is None:
        return None
    inference = state.known.inference
    limit_s = max([CONTRADICTED_MIN_S, *(state.known.limit_s(bucket) or 0.0 for bucket in inference)])
    last_ns = max((state.work[bucket].last_useful_ns for bucket in inference), default=0)
    if last_ns and context.now_ns - last_ns < limit_s * SECOND_NS:
        return f"an answer was useful {(context.now_ns - last_ns) / SECOND_NS:.1f} s ago"
    if any(bucket in state.moving for bucket in inference):
        return "inference moves"
    under_way = any(state.work[bucket].waiting or state.work[bucket].in_progress for bucket in inference)
    return "it timed out while requests are under way" if probe.timeouts_only and under_way else None
