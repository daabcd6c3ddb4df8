"""The route: the slot of each role. Immutable; it is encoded in one 64-bit word, so a single store publishes it.

    bit 0-2    active slot          (7 = none)
    bit 3-5    standby slot
    bit 6-8    candidate slot
    bit 9-15   split: per cent of new requests that the candidate takes (0 to 100)
    bit 16-19  flags
    bit 20-43  generation: a counter within the boot, 24 bits
    bit 44-63  generation: the boot counter, 20 bits

The boot counter is journalled before the router listens, so no generation is issued twice. A record of the journal takes the next
multiple of a `step` (a power of two): 1 in a single router. With a greater step there is room behind each record for steps of one
router's own. Comparisons are those of plain integers: an own step is greater than its record, and less than the next record.

Why: docs/decisions.md#a-route-is-one-word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Final

from router.errors import InternalError

SLOTS: Final = 7
NO_SLOT: Final = 7
BOOT_SHIFT: Final = 24
_COUNTER_MAX: Final = (1 << BOOT_SHIFT) - 1
_BOOT_MAX: Final = (1 << 20) - 1


class Flag(IntFlag):
    """Bits that every worker must see together with the swap."""

    NONE = 0
    REDISPATCH = 1
    """This route is a rollback: requests that wait on another slot are re-dispatched where their replay rule allows."""


@dataclass(frozen=True, slots=True)
class Route:
    """One published snapshot. `generation` grows by one with every published route of a boot."""

    generation: int
    active: int = NO_SLOT
    standby: int = NO_SLOT
    candidate: int = NO_SLOT
    split: int = 0
    flags: Flag = Flag.NONE

    def __post_init__(self) -> None:
        for name in ("active", "standby", "candidate"):
            if not 0 <= getattr(self, name) <= NO_SLOT:
                raise InternalError("route_invalid", f"{name} slot {getattr(self, name)} is not within 0 to {NO_SLOT}")
        named = self.named()
        if len(set(named)) != len(named):
            raise InternalError("route_invalid", f"one slot has two roles: {self}")
        if not 0 <= self.split <= 100:
            raise InternalError("route_invalid", f"split {self.split} is not a percentage")

    @property
    def boot(self) -> int:
        """The boot counter inside the generation."""
        return self.generation >> BOOT_SHIFT

    def named(self) -> list[int]:
        """Return the slots that have a role."""
        return [slot for slot in (self.active, self.standby, self.candidate) if slot != NO_SLOT]

    def next(self, *, active: int, standby: int, candidate: int, flags: Flag = Flag.NONE) -> Route:
        """Return the successor of this route with these roles."""
        return replace(
            self,
            generation=successor(self.generation),
            active=active,
            standby=standby,
            candidate=candidate,
            flags=flags,
        )

    def encode(self) -> int:
        """Return the 64-bit word."""
        return (
            self.active
            | self.standby << 3
            | self.candidate << 6
            | self.split << 9
            | int(self.flags) << 16
            | self.generation << 20
        )


def decode(word: int) -> Route:
    """Return the route that `word` encodes; the inverse of `Route.encode`."""
    return Route(
        generation=word >> 20,
        active=word & 7,
        standby=word >> 3 & 7,
        candidate=word >> 6 & 7,
        split=word >> 9 & 127,
        flags=Flag(word >> 16 & 15),
    )


def first_generation(boot: int) -> int:
    """Return the generation before the first route of boot number `boot` (1 or more)."""
    if not 0 < boot <= _BOOT_MAX:
        raise InternalError("boots_exhausted", f"boot {boot} is outside 1 to {_BOOT_MAX}: start with --fresh")
    return boot << BOOT_SHIFT


def generation_text(generation: int) -> str:
    """Return a generation as users see it: BOOT.COUNTER, e.g. 1.2 for 16777218."""
    return f"{generation >> BOOT_SHIFT}.{generation & _COUNTER_MAX}"


def parse_generation(text: str) -> int:
    """Return the generation of BOOT.COUNTER, or of the number itself; raise ValueError for any other text."""
    boot, dot, counter = text.partition(".")
    if not (boot.isascii() and boot.isdigit() and (counter.isascii() and counter.isdigit() if dot else True)):
        raise ValueError(f"{text!r} is no generation: write it as status shows it, for example 1.2")
    return (int(boot) << BOOT_SHIFT) + int(counter) if dot else int(boot)


def successor(generation: int, step: int = 1) -> int:
    """Return the generation of the next record after `generation`, which is a record's or a router's own step.

    16.7 million routes fit into one boot, divided by `step`.
    """
    record = generation - generation % step + step
    if record >> BOOT_SHIFT != generation >> BOOT_SHIFT:
        detail = f"restart the router: this boot has published {(_COUNTER_MAX + 1) // step:,} routes"
        raise InternalError("generations_exhausted", detail)
    return record


def own_successor(generation: int, step: int) -> int:
    """Return the generation of this router's next own step after `generation`; `step` - 1 of them fit behind a record."""
    if (generation + 1) % step == 0:
        detail = f"{step - 1} own steps are made since the last record, which is all that fit behind it: wait for the next record"
        raise InternalError("generation_room_exhausted", detail)
    return generation + 1
