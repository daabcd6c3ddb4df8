"""One look at the samples around a rollback, joined to those before it. Gathered on the loop, thought over on a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from router.rollout.incidents.aftermath import Frozen, joined, look
from router.rollout.incidents.aftermath import beginning_ns as trouble_ns
from router.rollout.incidents.chronicle import Story
from router.rollout.window import SECOND_NS, Entry

BEFORE_S: Final = 900.0
"""How far back the samples go."""
ROLES: Final = ("left", "back")


@dataclass(frozen=True, slots=True)
class Glance:
    """What there is to be seen at `now_ns`: the trails of the version left and the one gone back to.

    `known`: what was frozen before. `endpoints`: those of the version left. `whole`: nothing comes after this look.
    """

    story: Story
    known: Frozen | None
    trails: tuple[Sequence[Entry], Sequence[Entry]]
    endpoints: tuple[str, ...]
    now_ns: int
    whole: bool
    reconstructed: bool = False

    def frozen(self) -> Frozen:
        """Return everything that is known by now. Takes some 15 ms of CPU with 15 minutes of history."""
        known, decided_ns = self.known, self.story.opening.monotonic_ns
        start_ns = known["start_ns"] if known else beginning_ns(self.story)
        if known is None:
            trigger = self.story.opening.data.get("trigger") or {}
            start_ns = trouble_ns(start_ns, trigger, self.trails[0], decided_ns)
        looks = [
            look(trail, start_ns, decided_ns, known and known[role])
            for role, trail in zip(ROLES, self.trails, strict=True)
        ]
        return {
            "decided_ns": decided_ns,
            "start_ns": start_ns,
            "until_ns": self.now_ns,
            **{role: joined(known and known[role], seen) for role, seen in zip(ROLES, looks, strict=True)},
            "endpoints": list(self.endpoints) or (known["endpoints"] if known else []),
            "reconstructed": self.reconstructed or bool(known and known["reconstructed"]),
            "whole": self.whole,
        }


def beginning_ns(story: Story) -> int:
    """When the trouble began: the first fault of the evidence, else the promotion, but never more than BEFORE_S before."""
    opening, promoted = story.opening, story.promoted
    if since_ns := (opening.data.get("trigger") or {}).get("evidence_since_ns"):
        return int(since_ns)
    earliest_ns = opening.monotonic_ns - int(BEFORE_S * SECOND_NS)
    if promoted is None or promoted.boot != opening.boot:
        return earliest_ns
    return max(earliest_ns, promoted.monotonic_ns)
