"""One look at the samples around a rollback, joined to those before it. Gathered on the loop, thought over on a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.control.core.service_controller import ServiceController
from router.rollout.incidents.impact import SampleSnapshot, merge, summarize
from router.rollout.incidents.impact import beginning_ns as trouble_ns
from router.rollout.incidents.timeline import Timeline
from router.rollout.stats.window import SECOND_NS, SlotHistory, WindowEntry
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment

BEFORE_S: Final = 900.0
"""How far back the samples go."""

ROLES: Final = ("left", "back")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to be seen at `now_ns`: the trails of the version left and the one gone back to.

    `known`: what was frozen before. `endpoints`: those of the version left. `whole`: nothing comes after this look.
    """

    timeline: Timeline
    known: SampleSnapshot | None
    trails: tuple[Sequence[WindowEntry], Sequence[WindowEntry]]
    endpoints: tuple[str, ...]
    now_ns: int
    whole: bool
    reconstructed: bool = False

    def samples(self) -> SampleSnapshot:
        """Return everything that is known by now. Takes some 15 ms of CPU with 15 minutes of history."""
        known, decided_ns = self.known, self.timeline.opening.monotonic_ns
        start_ns = known["start_ns"] if known else beginning_ns(self.timeline)
        if known is None:
            trigger = self.timeline.opening.data.get("trigger") or {}
            start_ns = trouble_ns(start_ns, trigger, self.trails[0], decided_ns)
        looks = [
            summarize(trail, start_ns, decided_ns, known and known[role])
            for role, trail in zip(ROLES, self.trails, strict=True)
        ]
        return {
            "decided_ns": decided_ns,
            "start_ns": start_ns,
            "until_ns": self.now_ns,
            **{role: merge(known and known[role], seen) for role, seen in zip(ROLES, looks, strict=True)},
            "endpoints": list(self.endpoints) or (known["endpoints"] if known else []),
            "reconstructed": self.reconstructed or bool(known and known["reconstructed"]),
            "whole": self.whole,
        }


def beginning_ns(story: Timeline) -> int:
    """When the trouble began: the first fault of the evidence, else the promotion, but never more than BEFORE_S before."""
    opening, promoted = story.opening, story.promoted
    if since_ns := (opening.data.get("trigger") or {}).get("evidence_since_ns"):
        return int(since_ns)
    earliest_ns = opening.monotonic_ns - int(BEFORE_S * SECOND_NS)
    if promoted is None or promoted.boot != opening.boot:
        return earliest_ns
    return max(earliest_ns, promoted.monotonic_ns)


def trail_of(
    service_controller: ServiceController, place: tuple[int, int] | None, segment: Segment | None
) -> Sequence[WindowEntry]:
    """Return what is known of a version in `place` (slot, incarnation), oldest first; empty if its slot has another tenant.

    With `wall` its ring is looked at, too; that takes some milliseconds.
    """
    if place is None:
        return ()
    slot, incarnation = place
    found = service_controller.judge.trail(slot) or (
        _kept(service_controller, slot, segment) if segment is not None else []
    )
    return found if found and found[-1].sample.incarnation == incarnation else ()


def _kept(service_controller: ServiceController, slot: int, segment: Segment) -> list[WindowEntry]:
    """A judge that began anew knows nothing of a slot that nobody holds any more."""
    history = SlotHistory(service_controller.service.rules.stall_s)
    history.restore(dict(SampleRing(segment).load(service_controller.executor.index, slot)))
    return list(history.trail())
