"""The form in which commit 43fbe49 wrote entries: with slots, their incarnations, and the slots that were given back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry

SLOTS = 7


class _Slots:
    """Which version holds which slot. A version that finds none free takes that of the one whose role ended first."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.incarnations = [0] * SLOTS

    def of(self, version: str) -> tuple[int, int]:
        """Return the slot of `version` and its incarnation; it gets one if it has none."""
        if version not in self.held:
            free = set(range(SLOTS)) - set(self.held.values())
            if not free:
                free = {self.held.pop(next(iter(self.held)))}
            slot = min(free, key=lambda number: (self.incarnations[number], number))
            self.incarnations[slot] += 1
            self.held[version] = slot
        slot = self.held.pop(version)
        self.held[version] = slot
        return slot, self.incarnations[slot]


def in_that_form(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries as that commit wrote them; those that are in that form already stay as they are."""
    slots = _Slots()
    return [replace(entry, data=_with_slots(slots, entry)) for entry in entries]


def _with_slots(slots: _Slots, entry: Entry) -> dict[str, Any]:
    data = dict(entry.data)
    states = data.get("states", {})
    if (placed := data.get("target")) is not None and "slot" not in placed:
        version = placed["version"]
        comes_in = states.get(version) in ("verifying", "active", "standby")
        slot, incarnation = slots.of(version) if comes_in or version in slots.held else (None, 0)
        data["target"] = {**placed, "slot": slot, "incarnation": incarnation}
    if entry.type == entry_types.DRAINED and "freed" not in data:
        data["freed"] = list(states)
    for version in [*data.get("freed", ()), *(name for name, state in states.items() if state == "retired")]:
        slots.held.pop(version, None)
    return data


def without_slots(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries without slots, incarnations and what was freed."""
    found = []
    for entry in entries:
        data = {name: member for name, member in entry.data.items() if name != "freed"}
        if "target" in data:
            kept = {name: member for name, member in data["target"].items() if name not in ("slot", "incarnation")}
            data["target"] = kept
        found.append(replace(entry, data=data))
    return found
