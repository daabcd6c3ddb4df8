"""Trigger: much less is useful than normally, though not nothing.

The upper bound of the share of useful attempts is below a quarter of the lower bound of the baseline's, or of the version
before. Both shares count the same kinds of ends.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.progress.known_work import sum_ends
from router.rollout.judge.progress.losses import THROTTLED_AFTER_S, VERSION_KINDS
from router.rollout.judge.progress.no_progress import CLIENTS_MIN, REQUESTS_MIN, is_small
from router.rollout.judge.progress.work_state import WorkScope, WorkState
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import Note, TriggerResult
from router.rollout.stats.bounds import lower_bound, upper_bound
from router.rollout.stats.epoch_history import AffectedPeriod
from router.rollout.stats.spread import outside_burst
from router.rollout.stats.work_counts import NO_ENDS
from router.rollout.stats.work_history import WorkWindow
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd
from router.runtime.text.plurals import counted

WINDOWS_S: Final = (30.0, 60.0, 300.0)
ATTEMPTS_MIN: Final = 20
CONFIDENCE: Final = 0.999
QUARTER: Final = 0.25
SAMPLE_S: Final = 1.0
OUTSIDE_MIN: Final = 3
UNAFFECTED_MIN: Final = 2


def useful_share(context: TriggerContext) -> tuple[TriggerResult, tuple[Note, ...]]:
    """Return the first failing result of a scope and window, else that of all inference over the longest window."""
    state = context.work
    result = TriggerResult(
        "hard_failure", "useful_share", "inconclusive", context.rules.hard_failure.action, "no inference was asked"
    )
    if context.paused:
        return replace(result, reason=context.paused, distance="paused until the router itself is healthy"), ()
    notes: list[Note] = []
    scopes = state.scopes() if state is not None else []
    for scope in scopes:
        assert state is not None
        for seconds in WINDOWS_S:
            is_shown = scope is scopes[-1] and seconds == WINDOWS_S[-1]
            if not is_shown and _nothing_is_lost(state, scope, seconds):
                continue
            result, note = _of_window(context, state, scope, seconds, result)
            if result.failing:
                return result, ()
            notes += [note] if note is not None else []
    return result, tuple(notes[:1])


def _nothing_is_lost(state: WorkState, scope: WorkScope, seconds: float) -> bool:
    """Whether no attempt of the window ended without use, or waits too long: then the share cannot be low."""
    window = state.slot.history.window(seconds, state.at_ns, state.promoted_at_ns, scope.buckets)
    return not (window is not None and _lost(window)) and not _has_waits(state, scope)


def _of_window(
    context: TriggerContext, state: WorkState, scope: WorkScope, seconds: float, empty: TriggerResult
) -> tuple[TriggerResult, Note | None]:
    window = state.slot.history.window(seconds, state.at_ns, state.promoted_at_ns, scope.buckets)
    earlier = {bucket: state.known.earlier_ends(bucket) for bucket in scope.buckets}
    named = tuple(bucket for bucket, ends in earlier.items() if ends is not NO_ENDS)
    if window is None or not named:
        text = "nothing was asked" if window is None else "nothing is known of earlier versions"
        return replace(empty, reason=f"{scope.name}: {text}", distance="decides with a baseline"), None
    found = _measured(state, scope, seconds, window, (), empty)
    if _is_low(found):
        return _failing(context, state, scope, found, state.affected(window.since_ns))
    if not window.ends[WorkEnd.CLIENT_ERROR]:
        return found, None
    affected = state.affected(window.since_ns)
    if not _clients_agree(state, affected):
        return found, None
    with_errors = _measured(state, scope, seconds, window, (WorkEnd.CLIENT_ERROR,), empty)
    if not _is_low(with_errors):
        return found, None
    result, note = _failing(context, state, scope, with_errors, affected)
    if result.failing and state.accepted:  # an accepted version is not rolled back for what clients send
        note = Note("nothing_useful", result.reason)
        if result.action != "ask":
            return replace(found, distance="raises the alarm nothing_useful only"), note
    return result, note


def _is_low(found: TriggerResult) -> bool:
    """Whether the share of useful attempts is surely below its limit."""
    if found.limit is None or found.value is None:
        return False
    if found.value >= found.limit:
        return False
    return upper_bound(round(found.value * found.samples), found.samples, CONFIDENCE) < found.limit


def _measured(
    state: WorkState,
    scope: WorkScope,
    seconds: float,
    window: WorkWindow,
    client_errors: tuple[WorkEnd, ...],
    empty: TriggerResult,
) -> TriggerResult:
    earlier = {bucket: state.known.earlier_ends(bucket) for bucket in scope.buckets}
    named = tuple(bucket for bucket, ends in earlier.items() if ends is not NO_ENDS)
    normal = _normal(earlier, client_errors)
    useful, attempts = _counts(state, scope, named, client_errors, window, seconds)
    if attempts < ATTEMPTS_MIN:
        more = f"decides with {ATTEMPTS_MIN - attempts} more attempts"
        return replace(empty, reason=f"{scope.name}: {counted(attempts, 'attempt')} in {seconds:g} s", distance=more)
    return replace(
        empty,
        state="pass",
        value=useful / attempts,
        limit=QUARTER * normal[0],
        baseline=normal[1],
        samples=attempts,
        window_s=seconds,
        reason=f"{useful} of {counted(attempts, 'attempt')} of {scope.name} in the last {seconds:g} s were useful"
        f" (normally {normal[1]:.1%})",
        distance="fails if the share of useful attempts falls below a quarter of the normal one",
    )


def _failing(
    context: TriggerContext, state: WorkState, scope: WorkScope, found: TriggerResult, affected: AffectedPeriod
) -> tuple[TriggerResult, Note | None]:
    lost, clients = affected.lost_requests.count, affected.lost_clients.count
    others = affected.unaffected_clients.without(affected.lost_clients)
    red = context.inference_probe is not None and context.inference_probe.red
    if clients == 1 and others >= UNAFFECTED_MIN:
        return found, Note("one_client_fails", f"one client's requests end without use: {found.reason}")
    if 0 < lost < REQUESTS_MIN and not affected.known_good and not red:
        return found, Note("poison_request", f"one request alone ends without use: {found.reason}")
    # Losses that began and ended within one burst are forgiven.
    windows = state.slot.history.spread(found.window_s or 0.0, state.at_ns, state.promoted_at_ns, scope.buckets)
    points = [(window.until_ns, _lost(window)) for window in windows]
    forgive_s = context.rules.forgive_s + SAMPLE_S
    if not _has_waits(state, scope) and outside_burst(points, forgive_s) < OUTSIDE_MIN:
        return replace(found, distance="fails if it goes on: one burst is forgiven"), None
    lost = min(lost, found.samples - round((found.value or 0.0) * found.samples))
    who = f", {counted(lost, 'request')} of {counted(clients, 'client')} without use" if lost else ""
    reason = f"{found.reason}{who}; the limit is {found.limit:.1%}"
    since_ns = next((window.since_ns for window in windows if _lost(window)), state.at_ns)
    action: Action = "ask" if state.accepted and found.action == "rollback" and is_small(state, scope) else found.action
    failed = replace(found, state="fail", failing=True, action=action, reason=reason, distance="acts now")
    return replace(failed, evidence_since_ns=since_ns), None


def _has_waits(state: WorkState, scope: WorkScope) -> bool:
    return any(state.work[bucket].overdue for bucket in scope.buckets if bucket in state.work)


def _lost(window: WorkWindow) -> int:
    return sum(window.ends) - window.useful - window.ends[WorkEnd.NEUTRAL] - window.ends[WorkEnd.GONE_EARLY]


def _clients_agree(state: WorkState, affected: AffectedPeriod) -> bool:
    """Whether client errors may count: of two requests and two clients, or of every client that is served."""
    clients = affected.lost_clients.count
    return affected.lost_requests.count >= REQUESTS_MIN and clients >= min(CLIENTS_MIN, max(state.served().count, 1))


def _normal(earlier: dict[int, tuple[int, ...]], client_errors: Collection[WorkEnd]) -> tuple[float, float]:
    """Return (lower bound, share) of useful attempts in the baseline, or of the version before."""
    ends = sum_ends(earlier.values())
    useful, lost = (
        ends[WorkEnd.USEFUL],
        sum(ends[kind] for kind in (*VERSION_KINDS, WorkEnd.GONE_LATE, *client_errors)),
    )
    return _lower_bound(useful, useful + lost), useful / (useful + lost)


@lru_cache(maxsize=256)
def _lower_bound(useful: int, attempts: int) -> float:
    """Return the lower bound of a share; earlier versions rarely change, and the bound is dear."""
    return lower_bound(useful, attempts, CONFIDENCE)


def _counts(
    state: WorkState,
    scope: WorkScope,
    named: Collection[int],
    client_errors: Collection[WorkEnd],
    window: WorkWindow,
    seconds: float,
) -> tuple[int, int]:
    """Return (useful attempts, attempts that ended or wait beyond the limit)."""
    lost = 0
    for bucket in scope.buckets:
        part = state.slot.history.window(seconds, state.at_ns, state.promoted_at_ns, (bucket,))
        kinds = {*VERSION_KINDS, *(client_errors if bucket in named else ())}
        if bucket not in state.queued:
            kinds.add(WorkEnd.GONE_LATE)
            lost += state.work[bucket].overdue
        if part is None:
            continue
        if part.ends[WorkEnd.THROTTLED] and _idle_s(state, bucket) >= THROTTLED_AFTER_S:
            kinds.add(WorkEnd.THROTTLED)
        lost += sum(part.ends[kind] for kind in kinds)
    return window.useful, window.useful + lost


def _idle_s(state: WorkState, bucket: int) -> float:
    """Return for how long nothing of a bucket has been under way."""
    points = state.slot.history.points(state.at_ns - 2 * int(THROTTLED_AFTER_S * SECOND_NS), state.promoted_at_ns)
    if not points:
        return 0.0
    busy_ns = next((point.at_ns for point in reversed(points) if bucket in point.busy), points[0].at_ns)
    return (state.at_ns - max(busy_ns, state.work[bucket].last_useful_ns)) / SECOND_NS
