"""Which version holds which slot of this router. Slots are each router's own; the journal names versions only.

A version holds a slot from the change that gives it a role (or the state `unreachable`) until its last request there has ended.
The incarnation of a slot grows whenever another version gets it. Shared memory keeps the table (shm/slots.py), so a restarted
control reads it back; after a cold start nothing is in flight, and every version gets a slot anew.

Why: docs/decisions.md#slots-are-each-routers-own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from router.rollout.model.route import SLOTS
from router.rollout.model.target import ROLES, State, Target


@dataclass(frozen=True, slots=True)
class HeldSlot:
    """`roleless_generation`: the first generation without a role for the version; 0 while it has one."""

    slot: int
    incarnation: int
    roleless_generation: int = 0


@dataclass(frozen=True, slots=True)
class SlotHolder:
    """A version and the slot that it holds."""

    target: Target
    held: HeldSlot

    @property
    def slot(self) -> int:
        """The number of the slot."""
        return self.held.slot

    @property
    def incarnation(self) -> int:
        """The incarnation of the slot."""
        return self.held.incarnation

    @property
    def role(self) -> str:
        """`active`, `standby`, `candidate`, `draining` or, of an unreachable version, `none`."""
        return ROLES.get(self.target.state, "none" if self.target.state is State.UNREACHABLE else "draining")


@dataclass(frozen=True, slots=True)
class SlotTable:
    """`held`: version → its slot. `incarnations`: the newest incarnation of each slot, held or free. Immutable."""

    held: Mapping[str, HeldSlot] = field(default_factory=dict)
    incarnations: tuple[int, ...] = (0,) * SLOTS

    def slot_of(self, version: str) -> int | None:
        """Return the slot that `version` holds; None if it holds none."""
        held = self.held.get(version)
        return held.slot if held is not None else None

    def version_in(self, slot: int) -> str | None:
        """Return the version that holds `slot`."""
        return next((version for version, held in self.held.items() if held.slot == slot), None)

    def free_slot(self) -> int | None:
        """Return the slot to fill next; None if all are held.

        It is the one that was filled least often: a worker that still reads an old route is least likely to meet a new version.
        """
        taken = {held.slot for held in self.held.values()}
        free = [slot for slot in range(SLOTS) if slot not in taken]
        return min(free, key=lambda slot: (self.incarnations[slot], slot), default=None)

    def placed(self, version: str, slot: int) -> SlotTable:
        """Return the table with `version` in the free `slot`, as its next incarnation."""
        incarnation = self.incarnations[slot] + 1
        incarnations = (*self.incarnations[:slot], incarnation, *self.incarnations[slot + 1 :])
        return SlotTable({**self.held, version: HeldSlot(slot, incarnation)}, incarnations)

    def freed(self, versions: Iterable[str]) -> SlotTable:
        """Return the table in which these versions hold no slot."""
        gone = frozenset(versions)
        if gone.isdisjoint(self.held):
            return self
        return replace(self, held={version: held for version, held in self.held.items() if version not in gone})

    def with_roles(self, targets: Mapping[str, Target], generation: int) -> SlotTable:
        """Return the table after the versions got the states of `targets`: who lost its role lost it at `generation`."""
        held = {version: _with_role(held, targets.get(version), generation) for version, held in self.held.items()}
        return self if held == self.held else replace(self, held=held)

    def holders(self, targets: Mapping[str, Target]) -> tuple[SlotHolder, ...]:
        """Return the versions that hold a slot, by slot."""
        known = [SlotHolder(targets[version], held) for version, held in self.held.items() if version in targets]
        return tuple(sorted(known, key=lambda holder: holder.slot))


def _with_role(held: HeldSlot, target: Target | None, generation: int) -> HeldSlot:
    if target is not None and target.state in ROLES:
        return replace(held, roleless_generation=0) if held.roleless_generation else held
    return held if held.roleless_generation else replace(held, roleless_generation=generation)
