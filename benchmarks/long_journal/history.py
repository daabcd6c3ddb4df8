"""The state that the entries have led to, and the steps that all of them share."""

from __future__ import annotations

from itertools import islice
from random import Random
from typing import Any, Final, TypeVar

from benchmarks.long_journal.journal_file import Line

SLOTS: Final = 7
SECOND_NS: Final = 1_000_000_000
BEGAN_S: Final = 1_790_000_000.0
RECENT: Final = 30
"""Versions that come back are among the last so many: older ones may have been dropped."""
ROLES: Final = frozenset({"active", "standby", "verifying", "ready"})
WAITING: Final = frozenset({"verifying", "ready", "standby", "unreachable"})
OF_ALL: Final = frozenset({"boot", "imported"})
"""Entries of the whole router: they name no service."""
_Item = TypeVar("_Item")


class Version:
    """One version: its state, and the slot that it holds."""

    def __init__(self, name: str, endpoints: list[str]) -> None:
        self.name = name
        self.endpoints = endpoints
        self.state = "registered"
        self.slot: int | None = None
        self.incarnation = 0
        self.bounded = False
        self.accepted = False


class History:
    """What was written about one service, `lines`, and the state to which it has led."""

    def __init__(self, seed: int, service: str = "default", endpoint: str = "http://127.0.0.1:9") -> None:
        self.lines: list[Line] = []
        self._random = Random(seed)
        self._service = service
        self._endpoint = endpoint
        self._at, self._ns = BEGAN_S, SECOND_NS
        self._boot = self._generation = 0
        self._versions: dict[str, Version] = {}
        self._deployed: dict[str, Version] = {}
        self._incarnations = [0] * SLOTS
        self._blocked: dict[str, dict[str, Any]] = {}
        self._lifted: dict[str, dict[str, Any]] = {}
        self._criteria: dict[str, float] = {}
        self._proposals: dict[str, dict[str, Any]] = {}
        self._numbers = {"rollback": 0, "promotion": 0, "drill": 0, "version": 0}
        self._drill: dict[str, Any] | None = None
        self._away = False
        self._frozen = False
        self._automatic_left = True
        self._incidents: list[str] = []

    def _pick(self, items: list[_Item]) -> _Item:
        return items[int(self._random.random() * len(items))]

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _emit(self, kind: str, actor: str, /, **data: Any) -> Line:
        if "states" in data and "generation" in data:
            data = {"base": self._generation, **data}
            self._generation = data["generation"]
        name = "" if kind in OF_ALL else self._service
        line = Line(len(self.lines) + 1, self._at, self._ns, self._boot, name, kind, actor, data)
        self.lines.append(line)
        return line

    def _states(self, *states: str) -> list[Version]:
        return [version for version in self._deployed.values() if version.state in states]

    def _one(self, *states: str) -> Version | None:
        found = self._states(*states)
        return found[0] if found else None

    def _enter(self, **states: str) -> None:
        for name, state in states.items():
            version = self._versions[name]
            version.state = state
            version.bounded = False
            self._deployed[name] = version
            if state == "retired":
                version.slot = None
                del self._deployed[name]

    def _new(self) -> Version:
        self._numbers["version"] += 1
        name = f"v{self._numbers['version']}"
        self._versions[name] = Version(name, [self._endpoint])
        return self._versions[name]

    def _free(self) -> int | None:
        held = {version.slot for version in self._deployed.values()}
        free = [slot for slot in range(SLOTS) if slot not in held]
        if not free:
            return None
        slot = min(free, key=lambda number: (self._incarnations[number], number))
        self._incarnations[slot] += 1
        return slot

    def _recent(self) -> list[Version]:
        return [self._versions[name] for name in islice(reversed(self._versions), RECENT)]

    def _target(self, version: Version, **more: Any) -> dict[str, Any]:
        placed = {"version": version.name, "endpoints": list(version.endpoints)}
        return {**placed, "slot": version.slot, "incarnation": version.incarnation, **more}

    def _trigger(self, kind: str, detail: str, reason: str, since_s: float) -> dict[str, Any]:
        """Return the result of a trigger whose evidence began `since_s` ago."""
        figures = {"value": 1.0, "limit": 0.9, "baseline": None, "samples": 40, "window_s": 2.5}
        times = {
            "sustained_s": 1.1,
            "sustained_needed_s": 1.0,
            "evidence_since_ns": self._ns - int(since_s * SECOND_NS),
        }
        told = {"kind": kind, "detail": detail, "reason": reason, "state": "fail", "failing": True}
        return {**told, **figures, **times, "action": "rollback", "distance": "acts now"}
