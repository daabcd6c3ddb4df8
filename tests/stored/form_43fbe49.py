"""The form in which commit 43fbe49 wrote entries: with slots, their incarnations, and the slots that were given back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from router.rollout.facts.entry import Entry
from tests import entry_types

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


def members(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return the members of the entries as that commit wrote them."""
    slots = _Slots()
    return [entry.as_dict() | {"data": _with_slots(slots, entry)} for entry in entries]


def in_that_form(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries as they are read from a journal that that commit wrote."""
    return [Entry.of(**known) for known in members(entries)]


def _with_slots(slots: _Slots, entry: Entry) -> dict[str, Any]:
    data = entry.fact.to_data()
    states = data.get("states", {})
    if (placed := data.get("target")) is not None:
        version = placed["version"]
        comes_in = states.get(version) in ("verifying", "active", "standby")
        slot, incarnation = slots.of(version) if comes_in or version in slots.held else (None, 0)
        data["target"] = {**placed, "slot": slot, "incarnation": incarnation}
    if entry.type == entry_types.DRAINED:
        data["freed"] = [data.pop("version")]
    for version in [*data.get("freed", ()), *(name for name, state in states.items() if state == "retired")]:
        slots.held.pop(version, None)
    return data
