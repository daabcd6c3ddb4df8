"""The whole: which act comes next, and what breaks the order (a cold start, a change without effect, memory that wins)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.long_journal.decisions import Decisions
from benchmarks.long_journal.history import SECOND_NS
from benchmarks.long_journal.journal_file import Line


class LongJournal(Decisions):
    """Writes `lines` about one service; the same ones for the same seed."""

    def __init__(self, seed: int, service: str = "default", endpoint: str = "http://127.0.0.1:9") -> None:
        super().__init__(seed, service, endpoint)
        self._boots()
        for state in ("active", "standby"):
            version = self._new()
            version.slot = self._free()
            version.incarnation = 1
            states = {version.name: state}
            self._emit("seeded", "settings", generation=self._generation, states=states, target=self._target(version))
            self._enter(**{version.name: state})

    def write(self, count: int) -> list[Line]:
        """Return `count` lines; the same ones for the same seed."""
        acts: list[tuple[Callable[[], None], int]] = [
            *((act, 10) for act in (self._deploys, self._verifies, self._promotes, self._drains, self._decides)),
            *((act, 5) for act in (self._rolls_back, self._restores, self._proposes, self._ends_drill, self._accepts)),
            *((act, 3) for act in (self._notes, self._retires, self._alerts, self._edits)),
            *((act, 2) for act in (self._drills, self._moves, self._quarantines, self._releases, self._registers)),
            *((act, 1) for act in (self._fails, self._freezes, self._identifies, self._criterion, self._cuts)),
            *((act, 1) for act in (self._returns, self._strikes_out, self._recovers, self._restarts)),
        ]
        many = [act for act, weight in acts for _ in range(weight)]
        while len(self.lines) < count:
            self._at = round(self._at + 0.05 + self._random.random() * 60, 3)
            self._ns += int(SECOND_NS * (0.05 + self._random.random() * 60))
            self._pick(many)()
        return self.lines[:count]

    def _strikes_out(self) -> None:
        """A change that was journalled and never took effect; its generation is not issued again."""
        version, left = self._one("standby"), self._one("active")
        if version is None or left is None or self._drill is not None:
            return
        before = self._generation
        states = {version.name: "active", left.name: "standby"}
        data = {"from": left.name, "to": version.name, "reason": "too late"}
        line = self._emit("switched", "bob", generation=before + 1, states=states, **data)
        self._emit("abandoned", "control", abandons=line.seq)
        self._generation = before
        self._pending_gap()

    def _pending_gap(self) -> None:
        version = self._one("active")
        if version is not None:
            data = {"from": list(version.endpoints), "target": self._target(version)}
            self._emit("endpoints_moved", "bob", generation=self._generation + 2, states={}, **data)

    def _recovers(self) -> None:
        """A rollback that was stored, and not journalled before control died."""
        left, standby = self._one("active"), self._one("standby")
        if left is None or standby is None or self._drill is not None:
            return
        generation = self._generation + 1
        incident = f"{self._service}-{self._boot}-{generation & 0xFFFFFF}"
        reason = "it was rolled back, and control died before the reason was journalled"
        states = {standby.name: "active", left.name: "draining"}
        for candidate in self._states("verifying", "ready"):
            states[candidate.name] = candidate.state
        mark = {"reason": reason, "incident": incident}
        data: dict[str, Any] = {
            "forced": True,
            "incident": incident,
            "from": left.name,
            "to": standby.name,
            "reason": reason,
        }
        data |= {"automatic": True, "quarantine": {left.name: mark}, "bounded": [left.name], "automatic_left": False}
        self._generation = generation
        self._emit("recovered", "control", generation=generation, states=states, **data)
        self._enter(**states)
        left.bounded = True
        self._blocked[left.name] = mark
        self._lifted.pop(left.name, None)
        self._automatic_left = False
        self._incidents.append(incident)

    def _restarts(self) -> None:
        if self._chance(0.2):
            self._boots()

    def _boots(self) -> None:
        self._boot += 1
        self._ns = SECOND_NS * (1 + int(self._random.random() * 100))
        self._at = round(self._at + 5.0, 3)
        if self._boot > 1 and self._chance(0.3):
            self._emit("imported", "operator", copy="/copies/journal.sqlite", entries=len(self.lines))
        self._emit("boot", "control", boot=self._boot)
        self._generation = (self._boot << 24) + 1
