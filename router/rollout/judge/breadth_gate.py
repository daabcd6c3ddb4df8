"""How many requests and clients are affected: one client's bad request is no fault of the version.

Faults of 5 and more distinct requests act. A request that was useful before counts as 5. Faults of 2 to 4 requests act, unless
an inference probe of the version passed after the last fault. One distinct request is a poison request: an alarm. While two
other clients are served well, faults of a single client never act; in a share of faults they do not count in ten seconds in which
no other client failed. Without epochs nothing is known of breadth: then the number
of faults decides alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from router.rollout.judge.context import TriggerContext
from router.rollout.judge.verdict import Note, TriggerResult
from router.rollout.stats.breadth import COUNT_MAX, Distinct
from router.rollout.stats.epoch_history import EPOCH_NS, AffectedPeriod
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted, plural

BREADTH_MIN: Final = 5
REQUESTS_MIN: Final = 2
UNAFFECTED_MIN: Final = 2
Point = tuple[int, int, int]
"""(time of a sample, faults, requests) since the sample before."""
OTHERS_NS: Final = 60 * SECOND_NS
"""Other clients are served if they were within this time: a short burst of one client may hold no answer to anybody else."""
REPEATS_MAX: Final = 5
"""Faults of one distinct request that count in a share of faults, where none of the requests was useful before."""


def gated(context: TriggerContext, failed: TriggerResult, since_ns: int) -> tuple[TriggerResult, Note | None]:
    """Return the failing result with its breadth, or one that passes with the note that takes its place."""
    affected, probe = context.epochs.since(since_ns), context.inference_probe
    requests, clients = affected.fault_requests.count, affected.fault_clients.count
    if not affected.known or not requests:
        return failed, None
    others = others_served(context, since_ns, affected.fault_clients)
    if clients == 1 and others >= UNAFFECTED_MIN:
        reason = (
            f"{failed.reason}: all of one client, while {counted(others, 'other client')} {plural('is', others)} served"
        )
        return _passed(failed, reason, "fails if other clients are affected"), Note("one_client_fails", reason)
    failed = replace(failed, reason=f"{failed.reason}, {breadth_text(affected)}")
    red = probe is not None and probe.red
    if affected.breadth >= BREADTH_MIN or red:
        return failed, None
    if affected.breadth >= REQUESTS_MIN:
        if probe is None or probe.last_good_ns <= context.evidence.last_fault_ns:
            return failed, None
        reason = f"{failed.reason}, and an inference probe passed since"
        return _passed(failed, reason, f"fails from {BREADTH_MIN} distinct requests"), None
    fingerprint = f"{next(iter(affected.fault_requests.exact), 0):016x}"
    note = Note("poison_request", f"request {fingerprint} alone fails: {failed.reason}")
    return _passed(failed, failed.reason, f"fails from {REQUESTS_MIN} distinct requests"), note


def others_served(context: TriggerContext, since_ns: int, failing: Distinct) -> int:
    """Return at least how many other clients than the failing ones were served after a fault, since then or in OTHERS_NS.

    Soon after a promotion those of the version before count as well, if the failing clients failed there, too.
    """
    earliest_ns = context.now_ns - OTHERS_NS
    served = context.epochs.since(max(min(since_ns, earliest_ns), context.promoted_at_ns)).unaffected_clients
    before = context.work.before if context.work is not None else None
    if before is not None:
        earlier = before.epochs.since(earliest_ns)
        if not failing.without(earlier.fault_clients):
            served = served | earlier.unaffected_clients
    return served.without(failing)


def repeats_note(context: TriggerContext, failed: TriggerResult, since_ns: int) -> Note:
    """Return the note about a share of faults that a few distinct requests make by being sent again and again."""
    affected = context.epochs.since(since_ns)
    return Note("poison_request", f"{failed.reason}, {breadth_text(affected)}, which are sent again and again")


def independent(context: TriggerContext, failed: int, since_ns: int) -> int:
    """Return how many of `failed` faults count: a poison request that is sent again and again counts REPEATS_MAX times."""
    affected = context.epochs.since(since_ns)
    requests = affected.fault_requests.count
    if not requests or requests > COUNT_MAX or affected.known_good:
        return failed
    return min(failed, REPEATS_MAX * requests)


def without_one_client(context: TriggerContext, since_ns: int, points: Sequence[Point]) -> Sequence[Point]:
    """Return the points without the faults of epochs in which one client alone failed, while others were served.

    All points if no other client failed at all: `gated` says so.
    """
    if context.epochs.since(since_ns).fault_clients.count <= 1:
        return points
    numbers, found, before_ns = context.epochs.of_one_client(since_ns, UNAFFECTED_MIN), [], since_ns
    for at_ns, faults, requests in points:
        aside = faults if before_ns // EPOCH_NS in numbers and at_ns // EPOCH_NS in numbers else 0
        found.append((at_ns, faults - aside, requests - aside))
        before_ns = at_ns
    return found


def breadth_text(affected: AffectedPeriod) -> str:
    """Return `of 12 requests of 3 clients`."""
    return f"of {_number(affected.fault_requests, 'distinct request')} of {_number(affected.fault_clients, 'client')}"


def _number(found: Distinct, noun: str) -> str:
    count = found.count
    text = f"more than {COUNT_MAX}" if count > COUNT_MAX else str(count)
    return f"{text} {plural(noun, count)}"


def _passed(failed: TriggerResult, reason: str, distance: str) -> TriggerResult:
    return replace(failed, state="pass", failing=False, reason=reason, distance=distance, evidence_since_ns=None)
