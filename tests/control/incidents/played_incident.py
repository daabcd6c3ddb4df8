"""One rollback, played from the promotion to two minutes after it: its journal, its samples, what people said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from router.control.incidents.document import Sources
from router.control.incidents.snapshots import Snapshot
from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import Confirmed
from router.rollout.incidents.incident import confirmed, incident
from router.rollout.incidents.review import Reviews
from router.rollout.incidents.timeline import Timelines
from router.rollout.stats.window import SlotHistory
from router.rollout.units import SECOND_NS
from tests import entry_types
from tests.rollout.simulator import START_NS, Version, seconds

WALL_S = 1_795_406_400.0
"""The wall time of the simulator's start: 2026-11-23T04:00:00Z."""
INCIDENT = "fraud-3-17"
GENERATION = 3 << 24 | 17
TRIGGER = {
    "kind": "error_rate", "detail": "", "state": "fail", "action": "rollback", "reason": "300 of 1000 failed", "value": 0.3,
    "limit": 0.02, "baseline": 0.001, "samples": 1000, "window_s": 60.0, "sustained_s": 9.5, "sustained_needed_s": 10.0,
}  # fmt: skip


@dataclass
class Played:
    """`fail_s` seconds of faults end with the decision at `decided_s`; every fault is rescued on the other version."""

    before_s: int = 60
    fail_s: int = 10
    after_s: int = 120
    rescued: bool = True
    stray_s: float = 0.0
    """How long before the faults the evidence begins."""
    trigger: dict[str, Any] | None = field(default_factory=lambda: dict(TRIGGER))
    timelines: Timelines = field(default_factory=Timelines)
    reviews: Reviews = field(default_factory=Reviews)
    seq: int = 0

    def __post_init__(self) -> None:
        self.left, self.back = SlotHistory(), SlotHistory()
        self._left, self._back = Version(), Version(role=2)
        self.decided_s = self.before_s + self.fail_s
        self._sample()
        self._live(self.before_s, faults=0)
        self._live(self.fail_s, faults=3)
        self._begin()
        self._live(5, faults=0, gone_back=True)
        self._known = self._snapshot(5).samples()
        self._live(self.after_s - 5, faults=0, gone_back=True)

    def _live(self, for_s: int, faults: int, gone_back: bool = False) -> None:
        for tick in range(for_s * 10):
            serving = self._back if gone_back else self._left
            serving.answer(10 - faults, first_byte_ms=5.0)
            if gone_back and tick < 5 and self._left.at_ns < seconds(self.decided_s + 1):
                self._left.fail(1)
            self._left.fail(faults)
            if faults and self.rescued:
                self._left.rescued += faults
                self._back.answer(faults, first_byte_ms=7.0)
            self._sample()

    def _sample(self) -> None:
        self.left.append(self._left.sample())
        self.back.append(self._back.sample())

    def tell(self, kind: str, data: dict[str, Any], at_s: float, actor: str = "control") -> Entry:
        self.seq += 1
        entry = Entry.of(kind, "fraud", actor, data, WALL_S + at_s, seconds(at_s), 3, self.seq)
        self.timelines.apply(entry)
        self.reviews.apply(entry)
        return entry

    def _begin(self) -> None:
        at_s = float(self.decided_s)
        for version in ("fraud-v8", "fraud-v7"):
            endpoints = [f"http://{version}:1", f"http://{version}:2"]
            target = {"version": version, "endpoints": endpoints}
            self.tell(entry_types.DEPLOYED, {"target": target, "states": {}}, 0.0, "ann")
        self.tell(
            entry_types.PROMOTED, {"from": "fraud-v7", "to": "fraud-v8", "reason": "October", "states": {}}, 1.0, "ann"
        )
        trigger = self.trigger and {**self.trigger, "evidence_since_ns": seconds(self.before_s + 0.1 - self.stray_s)}
        data = {
            "incident": INCIDENT, "from": "fraud-v8", "to": "fraud-v7", "generation": GENERATION, "states": {},
            "reason": trigger["reason"] if trigger else "wrong scores", "automatic": bool(trigger), "trigger": trigger,
            "evidence": {"requests": 1000, "errors": {"server_error": 300}, "rescued": 300} if trigger else None,
        }  # fmt: skip
        self.opening = self.tell(entry_types.ROLLED_BACK, data, at_s, "verdict" if trigger else "ann")
        done = {"generation": GENERATION, "swap_us": 41, "confirmed_ms": 1.5, "workers_unconfirmed": []}
        self.confirmation = self.tell(entry_types.CONFIRMED, {**done, "workers_ms": [[0, 0.5], [1, 1.5]]}, at_s + 0.002)
        self.tell(entry_types.DRAINED, {"freed": ["fraud-v8"], "after_s": 0.7, "states": {}}, at_s + 0.7)

    @property
    def record(self) -> dict[str, Any]:
        assert isinstance(self.confirmation.fact, Confirmed)
        return confirmed(incident(self.opening, self.timelines.timelines[INCIDENT].rollback), self.confirmation.fact)

    def snapshot(self, **more: Any) -> Snapshot:
        return self._snapshot(self.after_s, self._known, **more)

    def _snapshot(self, after_s: int, known: dict[str, Any] | None = None, **more: Any) -> Snapshot:
        trails = (list(self.left.entries_since()), list(self.back.entries_since()))
        now_ns = START_NS + (self.decided_s + after_s) * SECOND_NS
        timeline = self.timelines.timelines[INCIDENT]
        return Snapshot(timeline, known, trails, ("http://fraud-v8:1", "http://fraud-v8:2"), now_ns, True, **more)

    def sources(self, samples: bool = True, **members: Any) -> Sources:
        known = {**self.snapshot().samples(), **members} if samples else None
        return Sources(self.record, self.reviews.of(INCIDENT), self.timelines.timelines[INCIDENT], known)

    def edit(self, **edit: Any) -> None:
        checked = self.reviews.of(INCIDENT).checked(INCIDENT, {"edit": str(self.seq), **edit})
        self.tell(entry_types.INCIDENT_EDITED, checked.to_data(), 3600.0, "bob")
