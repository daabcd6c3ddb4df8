"""Trigger: nearly every request fails, in a burst or one after the other.

All attempts are judged, and inference alone as well: cheap requests that answer do not hide a dead engine. One burst of
`forgive_s` is forgiven. A failure of one client or of one request is no fault of the version (breadth_gate.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.rollout.judge.breadth_gate import gated
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.evidence import Run
from router.rollout.judge.hard_failure import failing, hard_failure_result, no_evidence
from router.rollout.judge.rules import HardFailureRule
from router.rollout.judge.verdict import Note, TriggerResult
from router.rollout.stats.figures import fault_count_text
from router.rollout.stats.spread import outside_burst
from router.rollout.stats.window import count_faults
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted

FORGIVE_MARGIN_S: Final = 0.5
"""The shortest window is this much longer than forgive_s: a burst of forgive_s does not fill 90 % of it."""
FAR_WINDOW_S: Final = 5.0
FAR_SHARE: Final = 0.5
"""In a window of this length and more, a share of faults below this part of the limit does not reach it within a second."""
OUTSIDE_MIN: Final = 2
"""Faults outside the worst burst of forgive_s that a burst window needs."""


@dataclass(frozen=True, slots=True)
class Burst:
    """A window of all attempts, or of inference alone. `waiting`: requests that still wait for less than the known p99."""

    seconds: float
    failed: int
    requests: int
    since_ns: int
    waiting: int = 0
    subject: str = ""

    @property
    def share(self) -> float | None:
        """Share of faults; requests that may still be answered well count in it. None without requests."""
        return self.failed / (self.requests + self.waiting) if self.requests else None

    @property
    def text(self) -> str:
        """The window as users read it."""
        waiting = f", {self.waiting} more wait" if self.waiting else ""
        return f"{fault_count_text(self.failed, self.requests)}{waiting}{self.subject} in the last {self.seconds:g} s"


def errors(context: TriggerContext) -> tuple[TriggerResult, tuple[Note, ...]]:
    """Return fail if any burst or streak acts, else pass if requests came, else inconclusive."""
    notes: list[Note] = []
    bursts = _bursts(context)
    for failed, since_ns in _failures(context, bursts):
        if _is_left_to_unreachable(context):
            return _deferred(context, failed), ()
        result, note = gated(context, failed, since_ns)
        if note is None and result.failing:
            return result, ()
        notes += [note] if note is not None else []
    if not bursts or bursts[-1].share is None:
        return no_evidence(context, "errors", "no request began or failed", "decides when requests come"), ()
    young = next((burst for burst in bursts if _is_burst(context.rules.hard_failure, burst)), None)
    if young is not None and not notes and not _is_left_to_unreachable(context):
        return _not_yet(context, young), ()
    return _passing(context, bursts[-1]), tuple(notes[:1])


def _failures(context: TriggerContext, bursts: Sequence[Burst]) -> Iterator[tuple[TriggerResult, int]]:
    """Yield the failing results with the beginning of their evidence, before breadth is looked at."""
    rule = context.rules.hard_failure
    for burst in (*bursts, *_inference_bursts(context)):
        if _is_burst(rule, burst) and _outlasts_forgiveness(context, burst):
            first_ns = context.history.first_fault_ns(burst.since_ns)
            yield replace(_burst(rule, burst), evidence_since_ns=first_ns), first_ns or burst.since_ns
    for run, subject in ((context.evidence.faults, ""), (context.evidence.inference_faults, " of inference")):
        if _is_streak(context, run):
            yield _streak(rule, run, subject), run.first_ns


def is_far_from_burst(context: TriggerContext) -> bool:
    """Whether no window can become a burst before the next fault, though requests leave it for a second."""
    rule = context.rules.hard_failure
    return all(
        burst.failed < rule.burst_faults_min
        or (burst.seconds >= FAR_WINDOW_S and (burst.share or 0.0) <= FAR_SHARE * rule.burst_fault_share)
        for burst in (*_bursts(context), *_inference_bursts(context))
    )


def _windows_s(context: TriggerContext) -> list[float]:
    shortest_s = context.rules.forgive_s + FORGIVE_MARGIN_S
    return sorted({max(seconds, shortest_s) for seconds in context.rules.hard_failure.burst_windows_s})


def _bursts(context: TriggerContext) -> list[Burst]:
    young = _young_waits(context)
    windows = [(seconds, context.window(seconds)) for seconds in _windows_s(context)]
    return [
        Burst(seconds, window.failed, window.requests, window.since_ns, young)
        for seconds, window in windows
        if window is not None
    ]


def _inference_bursts(context: TriggerContext) -> list[Burst]:
    """Return the windows of inference alone; none where nothing else was asked."""
    state = context.work
    if state is None or len(state.known.inference) == len(state.work):
        return []
    found = []
    for seconds in _windows_s(context):
        window = state.slot.history.window(seconds, context.now_ns, context.promoted_at_ns, state.known.inference)
        if window is not None and window.requests:
            waiting = sum(state.work[b].waiting - state.work[b].waiting_long for b in state.known.inference)
            young = max(waiting, 0) if state.known.own_useful else 0
            found.append(Burst(seconds, window.failed, window.requests, window.since_ns, young, " of inference"))
    return found


def _young_waits(context: TriggerContext) -> int:
    """Return how many requests wait for less than the known p99 of first-byte times; 0 if none is known."""
    newest, p99_s = context.history.newest, context.hang_p99_s
    if newest is None or p99_s is None:
        return 0
    sample = newest.sample
    oldest_s = (sample.at_ns - sample.oldest_waiting_ns) / SECOND_NS if sample.oldest_waiting_ns else 0.0
    return sample.waiting if oldest_s <= p99_s else max(sample.waiting - sample.waiting_long, 0)


def _is_burst(rule: HardFailureRule, burst: Burst) -> bool:
    share = burst.share
    return share is not None and burst.failed >= rule.burst_faults_min and share >= rule.burst_fault_share


def _outlasts_forgiveness(context: TriggerContext, burst: Burst) -> bool:
    """Whether faults lie outside the worst burst of forgive_s within the window."""
    points: list[tuple[int, int]] = []
    faults: int | None = None
    for entry in context.history.entries_since(burst.since_ns):
        counted = count_faults(entry.sample.outcomes)
        if faults is not None and counted > faults:
            points.append((entry.at_ns, counted - faults))
        faults = counted
    return outside_burst(points, context.rules.forgive_s) >= OUTSIDE_MIN


def _is_streak(context: TriggerContext, faults: Run) -> bool:
    rule = context.rules.hard_failure
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


def _burst(rule: HardFailureRule, burst: Burst) -> TriggerResult:
    result = hard_failure_result(
        rule,
        "errors",
        "pass",
        burst.text,
        value=burst.share,
        limit=rule.burst_fault_share,
        samples=burst.requests,
        window_s=burst.seconds,
    )
    limits = f"limits {rule.burst_faults_min} and {rule.burst_fault_share:.0%}"
    return failing(result, f"{burst.text}; {limits}", burst.since_ns)


def _not_yet(context: TriggerContext, burst: Burst) -> TriggerResult:
    """Return the result of a burst that is forgiven if it ends now: it fails, and does not act."""
    distance = f"acts if faults go on for more than the {context.rules.forgive_s:g} s that are forgiven"
    return replace(_burst(context.rules.hard_failure, burst), failing=False, distance=distance)


def _passing(context: TriggerContext, burst: Burst) -> TriggerResult:
    rule = context.rules.hard_failure
    distance = (
        f"fails from {counted(rule.burst_faults_min, 'fault')} and a share of {rule.burst_fault_share:.0%} "
        f"for more than {context.rules.forgive_s:g} s, "
        f"or from {counted(rule.streak_faults_min, 'fault')} in a row "
        f"(now {context.evidence.faults.count}) over {rule.streak_span_s:g} s"
    )
    return replace(_burst(rule, burst), state="pass", failing=False, distance=distance, evidence_since_ns=None)


def _streak(rule: HardFailureRule, faults: Run, subject: str) -> TriggerResult:
    reason = (
        f"{counted(faults.count, 'fault')} in a row{subject} over {faults.span_s:.1f} s, nothing begun in between "
        f"(limits {rule.streak_faults_min} and {rule.streak_span_s:g} s)"
    )
    value, limit = float(faults.count), float(rule.streak_faults_min)
    result = hard_failure_result(rule, "errors", "pass", "", value=value, limit=limit, samples=faults.count)
    return failing(replace(result, window_s=faults.span_s), reason, faults.first_ns)
