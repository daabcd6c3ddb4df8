"""Whether the last verdict still holds at the next tick.

Work, histograms and epochs come once a second. Between them only counters come. A version is calm if nothing fails and no
trigger is near its limit. Then its verdict holds, with the numbers in it up to a second old, until the next sample with work,
the next fault, a wait that reaches the limit of `hang`, or another input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.error_rate import is_far_from_limit
from router.rollout.judge.errors import is_far_from_burst
from router.rollout.judge.evidence import Evidence
from router.rollout.judge.verdict import Verdict
from router.rollout.units import SECOND_NS

CALM_NS: Final = SECOND_NS
"""A verdict is used for this time at most."""
_STEADY_NOTES: Final = frozenset({"queue_grows"})
"""Notes that follow from samples with work alone."""


@dataclass(frozen=True, slots=True)
class CalmVerdict:
    """`inputs`: everything but counters and time that the verdict rests on. `hang_limit_s`: the limit of a wait."""

    verdict: Verdict
    inputs: tuple[object, ...]
    at_ns: int
    last_fault_ns: int
    run_of_faults: int
    hang_limit_s: float
    waits_min: int

    def holds(self, inputs: tuple[object, ...], evidence: Evidence, now_ns: int) -> bool:
        """Whether nothing has happened that could change the verdict."""
        if not 0 <= now_ns - self.at_ns < CALM_NS or inputs != self.inputs:
            return False
        if evidence.last_fault_ns != self.last_fault_ns or evidence.faults.count > self.run_of_faults:
            return False
        waits = evidence.waits
        return waits.long < self.waits_min or waits.lasted_s(with_stalls=True) < self.hang_limit_s


def calm_verdict(context: TriggerContext, verdict: Verdict, inputs: tuple[object, ...]) -> CalmVerdict | None:
    """Return the verdict for the ticks to come; None if each of them must be judged."""
    if context.paused or context.probes_unreachable_since_ns is not None or not _is_calm(context, verdict):
        return None
    rule, evidence = context.rules.hard_failure, context.evidence
    hang = next(result for result in verdict.results if result.detail == "hang")
    return CalmVerdict(
        verdict,
        inputs,
        context.now_ns,
        evidence.last_fault_ns,
        evidence.faults.count,
        hang.limit or 0.0,
        rule.hang_waits_min,
    )


def _is_calm(context: TriggerContext, verdict: Verdict) -> bool:
    if verdict.pending or any(note.code not in _STEADY_NOTES for note in verdict.notes):
        return False
    probe = context.inference_probe
    if probe is not None and probe.fails:
        return False
    return not _has_streak(context) and is_far_from_burst(context) and is_far_from_limit(context)


def _has_streak(context: TriggerContext) -> bool:
    """Whether so many faults in a row were counted that time alone may make them a streak."""
    rule = context.rules.hard_failure
    runs = (context.evidence.faults, context.evidence.inference_faults)
    return any(run.count >= rule.streak_faults_min and run.is_fresh(context.now_ns) for run in runs)
