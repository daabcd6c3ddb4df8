"""The drills of one service from its journal: their results, and when the last drill passed.

A drill without an end was interrupted by a kill. If its mode is `real` it is still running: the registry has its phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.rollout.facts.drills import DrillEnded, DrillFact, DrillRefused, DrillStarted
from router.rollout.facts.entry import Entry
from router.rollout.facts.switches import SwitchFact
from router.rollout.facts.versions import Retired, VersionAccepted

DRILLS_MAX: Final = 200


class DrillLog:
    """The fold of one service's entries. `first_accepted_at` and `passed_at` are wall seconds."""

    def __init__(self) -> None:
        self.drills: list[dict[str, Any]] = []
        """Oldest first, at most DRILLS_MAX."""
        self.number = 0
        """Number of all drills."""
        self.passed_at: dict[str, float] = {}
        """By mode, the end of the last drill that passed."""
        self.first_accepted_at: float | None = None
        self.last_result: str | None = None
        """Result of the last real drill that swapped roles; None if the versions have changed since."""

    @classmethod
    def of(cls, entries: Sequence[Entry], service: str) -> DrillLog:
        """Return the log of `service`."""
        log = cls()
        for entry in entries:
            if entry.service == service:
                log.apply(entry)
        return log

    def apply(self, entry: Entry) -> None:
        """Apply the next entry."""
        match entry.fact:
            case DrillStarted() as fact:
                self._begin(entry, fact)
            case DrillEnded() | DrillRefused() as fact:
                self._end(entry, fact)
            case VersionAccepted() if self.first_accepted_at is None:
                self.first_accepted_at = entry.at
            case SwitchFact() | Retired():
                self.last_result = None
            case _:
                pass

    def _begin(self, entry: Entry, fact: DrillFact) -> None:
        self.number += 1
        drill = {**fact.to_data(), "actor": entry.actor, "started_at": entry.at, "ended_at": None, "result": None}
        self.drills = [*self.drills, drill][-DRILLS_MAX:]

    def _end(self, entry: Entry, fact: DrillFact) -> None:
        drill = self.find(fact.drill)
        if drill is None:
            self._begin(entry, fact)
            drill = self.drills[-1]
        drill |= {**fact.to_data(), "ended_at": entry.at}
        result = drill["result"]
        if result == "passed":
            self.passed_at[drill["mode"]] = entry.at
        if drill["mode"] == "real" and result in ("passed", "aborted", "failed", "stayed"):
            self.last_result = result

    def find(self, drill_id: str) -> dict[str, Any] | None:
        """Return the drill with this id; None if it is unknown or was dropped."""
        return next((drill for drill in self.drills if drill["drill"] == drill_id), None)

    def proven_at(self, mode: str) -> float | None:
        """Return when a drill of this mode, or a stricter one, last passed (wall seconds)."""
        counted = [at for kind, at in self.passed_at.items() if kind == "real" or kind == mode]
        return max(counted, default=None)
