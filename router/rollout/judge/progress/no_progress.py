"""Trigger: nothing is useful. Attempts end without use, or wait, and for the limit of a wait no answer has been useful.

It looks at each bucket of inference that was useful before, and at all of inference together. So neither a `GET /v1/models` that
answers nor the head of a stream hides a dead engine. A queue is no hang: the waits of a bucket that moves do not count
(movement.py). Client errors count only where the bucket was useful before, and never for one client's sake.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from router.rollout.judge.breadth_gate import others_served
from router.rollout.judge.context import TriggerContext
from router.rollout.judge.progress.known_work import ALL_INFERENCE
from router.rollout.judge.progress.losses import Losses, losses
from router.rollout.judge.progress.work_state import WorkScope, WorkState
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import Note, TriggerResult
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted, plural

LOSSES_MIN: Final = 3
REQUESTS_MIN: Final = 2
BREADTH_MIN: Final = 5
"""Fewer requests that ended at once do not act if an inference probe passed since."""
CLIENTS_MIN: Final = 2
OTHERS_MIN: Final = 2
IDLE_MIN_S: Final = 2.0
"""A shorter time without anything useful is no news: samples of work come once a second."""
SMALL_SHARE: Final = 0.1
"""One dead bucket with a smaller share of inference than this rolls back on probation only. Afterwards an operator is asked."""
SMALL_SHARE_S: Final = 300.0


def no_progress(context: TriggerContext) -> tuple[TriggerResult, tuple[Note, ...]]:
    """Return the result of the first scope that fails, else of all inference, and what an operator should know."""
    state, action = context.work, context.rules.hard_failure.action
    empty = TriggerResult("hard_failure", "no_progress", "inconclusive", action, "no inference was asked")
    found, notes = [], []
    for scope in state.scopes() if state is not None else ():
        assert state is not None
        result, note = _of_scope(context, state, scope)
        found.append(result)
        notes += [note] if note is not None else []
    failing = [result for result in found if result.failing]
    due = next((result for result in failing if result.action == "rollback"), None) or next(iter(failing), None)
    result = due or (found[-1] if found else replace(empty, distance="decides when requests come"))
    return result, tuple(notes[:1])


def _of_scope(context: TriggerContext, state: WorkState, scope: WorkScope) -> tuple[TriggerResult, Note | None]:
    rule, run = context.rules.hard_failure, losses(state, scope)
    result = TriggerResult("hard_failure", "no_progress", "pass", rule.action, f"{scope.name} makes progress")
    if not run.is_fresh(context.now_ns):
        return _without_losses(state, scope, result), None
    confirmed = context.probes_unreachable_since_ns is not None
    slow_s, fast_s = _limits(state, scope)
    lasted_s = run.lasted_s(with_stalls=confirmed)
    by_clients = _client_errors_count(state, run)
    limit_s = fast_s if by_clients or _ended_at_once(run) else slow_s
    result = replace(result, value=lasted_s, limit=limit_s, samples=run.ended + run.waits, reason=_text(scope, run))
    enough = _is_enough(run) or by_clients
    if not enough or lasted_s < limit_s:
        left_s = max(limit_s - lasted_s, 0.0)
        more = "" if enough else f"more than {counted(run.ended + run.waits, 'attempt')} of at least 2 requests, and "
        return replace(result, distance=f"fails with {more}{left_s:.1f} s more of this"), None
    if _one_request(run) and not _is_red(context):
        return result, Note("poison_request", f"one request alone ends without use: {result.reason}")
    if _one_client(context, state, run) and not _is_red(context):
        return result, Note("one_client_fails", f"one client's requests end without use: {result.reason}")
    if _is_contradicted(context, run):
        return replace(result, reason=f"{result.reason}, and an inference probe passed since"), None
    if context.paused and not confirmed:
        reason = f"{result.reason}, but {context.paused}"
        return replace(result, state="inconclusive", reason=reason, distance="acts once the probes fail too"), None
    return _failing(state, scope, run, result, by_clients)


def _without_losses(state: WorkState, scope: WorkScope, result: TriggerResult) -> TriggerResult:
    """Return the result while nothing counts as lost. What waits is a queue until nothing has moved for the limit of a wait."""
    result = replace(result, distance="fails if nothing is useful")
    waiting = [bucket for bucket in scope.buckets if bucket in state.work and state.work[bucket].waiting]
    if not waiting:
        return result
    counts = [state.work[bucket] for bucket in scope.buckets if bucket in state.work]
    moved_ns = max(max(one.last_useful_ns, one.last_moved_ns) for one in counts)
    idle_s = (state.at_ns - max(moved_ns, state.promoted_at_ns)) / SECOND_NS
    if idle_s < IDLE_MIN_S:
        return result
    waits, limit_s = sum(state.work[bucket].waiting for bucket in waiting), max(state.limits[b] for b in waiting)
    return replace(
        result,
        value=idle_s,
        limit=limit_s,
        samples=waits,
        reason=f"nothing useful in {scope.name} for {idle_s:.1f} s: {counted(waits, 'request')} {plural('waits', waits)}",
        distance=f"counts as a queue for {max(limit_s - idle_s, 0.0):.1f} s more of this",
    )


def _failing(
    state: WorkState, scope: WorkScope, run: Losses, result: TriggerResult, by_clients: bool
) -> tuple[TriggerResult, Note | None]:
    action: Action = result.action
    reason = f"{result.reason} (limits {result.limit:.1f} s and {LOSSES_MIN} attempts)"
    if state.accepted and by_clients and not _is_enough(run):
        note = Note("nothing_useful", reason)
        if action != "ask":  # an accepted version is not rolled back for what clients send
            return replace(result, reason=reason, distance="raises the alarm nothing_useful only"), note
        return _due(result, reason, run, action), note
    if state.accepted and action == "rollback" and is_small(state, scope):
        action = "ask"
    return _due(result, reason, run, action), None


def _due(result: TriggerResult, reason: str, run: Losses, action: Action) -> TriggerResult:
    return replace(
        result,
        state="fail",
        failing=True,
        action=action,
        reason=reason,
        distance="acts now",
        evidence_since_ns=run.since_ns,
    )


def _limits(state: WorkState, scope: WorkScope) -> tuple[float, float]:
    """Return T of a scope: the largest of its buckets with waits, else of all; with and without the warm-up."""
    waiting = [b for b in scope.buckets if b in state.work and state.work[b].waiting and b not in state.queued]
    buckets = waiting or [bucket for bucket in scope.buckets if bucket in state.limits]
    return max(state.limits[b] for b in buckets), max(state.fast_limits[b] for b in buckets)


def _is_enough(run: Losses) -> bool:
    """Whether the run is no chance: three waits, or more ends than a well version has in a row."""
    number = run.ended + run.waits
    return number >= LOSSES_MIN and (run.waits >= LOSSES_MIN or run.is_unlikely(number))


def _ended_at_once(run: Losses) -> bool:
    """Whether the ends that no client caused are enough alone: no warm-up explains them."""
    ended = run.ended - run.left
    return not run.waits and ended >= LOSSES_MIN and run.is_unlikely(ended)


def _client_errors_count(state: WorkState, run: Losses) -> bool:
    """Whether client errors complete the run: of two requests and two clients, or of every client that is served."""
    number = run.ended + run.waits + run.client_errors
    if not run.client_errors or number < LOSSES_MIN or not run.is_unlikely(number, client_errors=True):
        return False
    clients = run.clients or 0
    served = state.served().count
    return (run.requests or 0) >= REQUESTS_MIN and clients >= min(CLIENTS_MIN, max(served, 1))


def _one_request(run: Losses) -> bool:
    """Whether one distinct request, which was not useful before, is all of the run; False if unknown."""
    return run.requests is not None and run.requests < REQUESTS_MIN and not run.known_good


def _one_client(context: TriggerContext, state: WorkState, run: Losses) -> bool:
    """Whether one client is behind all of the run, and others were served in the last minute, after a fault."""
    failing = state.affected(run.since_ns).lost_clients
    return run.clients == 1 and others_served(context, run.since_ns, failing) >= OTHERS_MIN


def _is_contradicted(context: TriggerContext, run: Losses) -> bool:
    """Whether few requests ended without use, and an inference probe passed since: then these requests are the cause."""
    few = run.requests is not None and run.requests < BREADTH_MIN and not run.known_good
    probe = context.inference_probe
    return few and not run.waits and not run.left and probe is not None and probe.last_good_ns > run.until_ns


def _is_red(context: TriggerContext) -> bool:
    return context.inference_probe is not None and context.inference_probe.red


def is_small(state: WorkState, scope: WorkScope) -> bool:
    """Return whether a single bucket has less than SMALL_SHARE of the inference of the last SMALL_SHARE_S."""
    if scope.name == ALL_INFERENCE:
        return False
    asked = {bucket: state.work[bucket].asked for bucket in state.known.inference}
    base = state.slot.history.window(SMALL_SHARE_S, state.at_ns, state.promoted_at_ns, tuple(asked))
    part = state.slot.history.window(SMALL_SHARE_S, state.at_ns, state.promoted_at_ns, scope.buckets)
    if base is None or part is None or not sum(base.ends):
        return False
    waits = {bucket: state.work[bucket].waiting for bucket in asked}
    share = (sum(part.ends) + sum(waits[b] for b in scope.buckets)) / (sum(base.ends) + sum(waits.values()))
    return share < SMALL_SHARE


def _text(scope: WorkScope, run: Losses) -> str:
    since = run.lasted_s(with_stalls=True)
    parts = []
    if run.ended:
        parts.append(f"{counted(run.ended, 'attempt')} ended without use")
    if run.client_errors:
        parts.append(f"{run.client_errors} were refused with 4xx")
    if run.waits:
        parts.append(f"{run.waits} wait")
    who = f", {_count(run.requests, 'request')} of {_count(run.clients, 'client')}" if run.requests else ""
    return f"nothing useful in {scope.name} for {since:.1f} s: {' and '.join(parts) or 'requests wait'}{who}"


def _count(number: int | None, noun: str) -> str:
    """Return `3 requests`; four or more are what is known at least."""
    if number is None:
        return f"an unknown number of {plural(noun, 0)}"
    return f"{number}{' or more' if number >= 4 else ''} {plural(noun, number)}"


def oldest_wait_s(state: WorkState) -> float:
    """Return the longest wait of the queued buckets, in seconds."""
    oldest = [state.work[b].oldest_wait_ns for b in state.queued if state.work[b].oldest_wait_ns]
    return max(state.at_ns - min(oldest, default=state.at_ns), 0) / SECOND_NS


def queue_note(state: WorkState) -> Note | None:
    """Return the note `queue_grows` while requests of a moving bucket wait beyond its limit."""
    queued = [bucket for bucket in state.queued if state.work[bucket].overdue]
    if not queued:
        return None
    names = ", ".join(state.known.name(bucket) for bucket in queued)
    waiting = sum(state.work[bucket].waiting for bucket in queued)
    return Note(
        "queue_grows",
        f"{counted(waiting, 'request')} {plural('waits', waiting)} in {names}, the oldest for {oldest_wait_s(state):.0f} s",
    )
