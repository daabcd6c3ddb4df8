"""A snapshot of the samples around a rollback, merged with earlier ones. Gathered on the loop, summarized in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.control.core.service_controller import ServiceController
from router.rollout.facts.evidence_time import in_memory
from router.rollout.facts.fact import Document
from router.rollout.facts.switches import RolledBack
from router.rollout.incidents.impact import SampleSnapshot, merge, summarize
from router.rollout.incidents.impact import beginning_ns as fault_beginning_ns
from router.rollout.incidents.timeline import Timeline
from router.rollout.stats.window import SlotHistory, WindowEntry
from router.rollout.units import SECOND_NS
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment

BEFORE_S: Final = 900.0
"""How far back the samples go."""

ROLES: Final = ("left", "back")


Place = tuple[int, int]
"""(slot, incarnation) of a version."""
Places = tuple[Place | None, Place | None]
"""Those of the version left and of the version gone back to; None if unknown."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sample trails of the version left and of the version gone back to, at `now_ns`.

    `known`: the earlier snapshots. `endpoints`: those of the version left. `whole`: this is the last snapshot.
    """

    timeline: Timeline
    known: SampleSnapshot | None
    trails: tuple[Sequence[WindowEntry], Sequence[WindowEntry]]
    endpoints: tuple[str, ...]
    now_ns: int
    whole: bool
    reconstructed: bool = False

    def samples(self) -> SampleSnapshot:
        """Return the earlier snapshots merged with this one. Takes some 15 ms of CPU with 15 minutes of history."""
        known, decided_ns = self.known, self.timeline.opening.monotonic_ns
        start_ns = known["start_ns"] if known else beginning_ns(self.timeline)
        if known is None:
            trigger = _trigger(self.timeline)
            start_ns = fault_beginning_ns(start_ns, trigger, self.trails[0], decided_ns)
        seen_now = [
            summarize(trail, start_ns, decided_ns, known and known[role])
            for role, trail in zip(ROLES, self.trails, strict=True)
        ]
        return {
            "decided_ns": decided_ns,
            "start_ns": start_ns,
            "until_ns": self.now_ns,
            **{role: merge(known and known[role], seen) for role, seen in zip(ROLES, seen_now, strict=True)},
            "endpoints": list(self.endpoints) or (known["endpoints"] if known else []),
            "reconstructed": self.reconstructed or bool(known and known["reconstructed"]),
            "whole": self.whole,
        }


def _trigger(timeline: Timeline) -> Document:
    """Return the trigger of a rollback, with the monotonic time of its first fault; empty without one."""
    rollback = timeline.rollback
    trigger = rollback.trigger if isinstance(rollback, RolledBack) else None
    return in_memory(trigger, timeline.opening.monotonic_ns) or {}


def beginning_ns(timeline: Timeline) -> int:
    """Return when the incident began: at the first fault of the evidence, else at the promotion, at most BEFORE_S back."""
    opening, promoted = timeline.opening, timeline.promoted
    if since_ns := _trigger(timeline).get("evidence_since_ns"):
        return int(since_ns)
    earliest_ns = opening.monotonic_ns - int(BEFORE_S * SECOND_NS)
    if promoted is None or promoted.boot != opening.boot:
        return earliest_ns
    return max(earliest_ns, promoted.monotonic_ns)


def trail_of(
    service_controller: ServiceController, place: Place | None, segment: Segment | None
) -> Sequence[WindowEntry]:
    """Return the samples of a version in `place`, oldest first; empty if another version has the slot since.

    With `segment` its sample ring in shared memory is read, too; that takes some milliseconds.
    """
    if place is None:
        return ()
    slot, incarnation = place
    found = service_controller.judge.entries(slot) or (
        _from_memory(service_controller, slot, segment) if segment is not None else []
    )
    return found if found and found[-1].sample.incarnation == incarnation else ()


def _from_memory(service_controller: ServiceController, slot: int, segment: Segment) -> list[WindowEntry]:
    """Read the ring of a slot: a judge that was started anew has no samples of a slot without a holder."""
    history = SlotHistory(service_controller.service.rules.stall_s)
    history.restore(dict(SampleRing(segment).load(service_controller.executor.index, slot)))
    return list(history.entries_since())
