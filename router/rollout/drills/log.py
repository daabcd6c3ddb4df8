"""The drills of one service, retold from its journal: what each came to, and how long the way back has been proven.

A drill that has a beginning and no end was interrupted by a kill. If it was a real one, it is under way still: the registry
says so, and where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry

DRILLS_MAX: Final = 200


class DrillLog:
    """The fold of one service's entries. `first_accepted_at` and `good_at` are wall seconds; None: never."""

    def __init__(self) -> None:
        self.drills: list[dict[str, Any]] = []
        """Oldest first, at most DRILLS_MAX."""
        self.number = 0
        """How many there ever were."""
        self.good_at: dict[str, float] = {}
        """By mode, when the last one that passed was over."""
        self.first_accepted_at: float | None = None
        self.last_result: str | None = None
        """Of the last real drill that proved anything, unless the versions have changed since."""

    @classmethod
    def of(cls, entries: Sequence[Entry], service: str) -> DrillLog:
        """Return the log of `service`."""
        log = cls()
        for entry in entries:
            if entry.service == service:
                log.apply(entry)
        return log

    def apply(self, entry: Entry) -> None:
        """Take the next entry in; those that say nothing of drills are passed over."""
        match entry.type:
            case kinds.DRILL_STARTED:
                self._begin(entry)
            case kinds.DRILL_ENDED | kinds.DRILL_REFUSED:
                self._end(entry)
            case kinds.ACCEPTED if self.first_accepted_at is None:
                self.first_accepted_at = entry.at
            case kinds.PROMOTED | kinds.SWITCHED | kinds.ROLLED_BACK | kinds.RETIRED:
                self.last_result = None
            case _:
                pass

    def _begin(self, entry: Entry) -> None:
        self.number += 1
        told = {**entry.data, "actor": entry.actor, "started_at": entry.at, "ended_at": None, "result": None}
        self.drills = [*self.drills, told][-DRILLS_MAX:]

    def _end(self, entry: Entry) -> None:
        known = self.find(entry.data["drill"])
        if known is None:
            self._begin(entry)
            known = self.drills[-1]
        known |= {**entry.data, "ended_at": entry.at}
        result = known["result"]
        if result == "passed":
            self.good_at[known["mode"]] = entry.at
        if known["mode"] == "real" and result in ("passed", "aborted", "failed", "stayed"):
            self.last_result = result

    def find(self, drill: str) -> dict[str, Any] | None:
        """Return the drill with this id; None if it is not known, or no longer."""
        return next((told for told in self.drills if told["drill"] == drill), None)

    def proven_at(self, mode: str) -> float | None:
        """Return when a drill of this mode, or a stricter one, last passed (wall seconds)."""
        counted = [at for kind, at in self.good_at.items() if kind == "real" or kind == mode]
        return max(counted, default=None)
