"""What overtook a change while it waited for its turn or for the disk, and the refusal that says so (`lost_race`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.record import Command, Record
from router.rollout.machine.registry import Registry
from router.rollout.model.route import generation_text
from router.rollout.text import shorten

SLOW_DISK_S: Final = 0.1
"""A longer wait is named in the reason of a lost race. A sync takes 1 to 10 ms."""
DIFFERENCE_CHARS_MAX: Final = 200


def lost_race(registry: Registry, first: Entry | None, waited_ns: int, difference: str = "") -> Refusal:
    """Return the refusal of a change of one service that has waited for `waited_ns`.

    `first` is the entry whose route was published last. `difference` says what the change would be now, if no other change came
    first.
    """
    active = registry.active.version if registry.active else None
    waited_s = round(waited_ns / 1e9, 2)
    came = f"another change of {registry.service} came first"
    if difference:
        came = f"the same request would change something else now ({difference})"
    elif first is not None:
        came += f": {first.type} by {first.actor}, generation {generation_text(route_generation(first) or 0)}"
    if waited_s >= SLOW_DISK_S:
        came += f", while this one waited for {waited_s:g} s: the disk of the state directory is slow (iostat -x)"
    now = f"{active or 'no version'} is active now, generation {generation_text(registry.generation)}"
    return Refusal(
        RefusalCode.LOST_RACE,
        f"{came}; {now}: read the status, then decide again",
        facts={
            "generation": registry.generation,
            "active": active,
            "overtaken_by": None if first is None or difference else first.type,
            "waited_s": waited_s,
        },
    )


def comparable(commands: list[Command]) -> list[Any]:
    """Return the parts by which two changes are compared: everything but the generation of the route."""
    result: list[Any] = []
    for command in commands:
        if isinstance(command, Record):
            data = command.fact.to_data()
            members = {key: value for key, value in data.items() if key not in ("generation", "base", "incident")}
            members["quarantine"] = sorted(data.get("quarantine", {}))
            result.append((command.fact.type, members))
    return result


def same_in_both_orders(decided_on: Registry, entries: Sequence[Entry], meanwhile: Sequence[Entry]) -> bool:
    """Return whether `entries`, decided on that state, and what was applied `meanwhile` lead to one state in either order.

    Memory has applied `meanwhile` first, and the journal has `entries` first: a start must not find another state, or none.
    """
    try:
        on_disk = decided_on.after([*entries, *meanwhile])
        return on_disk.equals(decided_on.after([*meanwhile, *entries]))
    except InternalError:
        return False


def difference(before: list[Any], now: list[Any]) -> str:
    """Return the first difference between two results of `comparable`, as text for an operator."""
    for old, new in zip(before, now, strict=False):
        if old == new:
            continue
        if isinstance(old, tuple) and isinstance(new, tuple) and old[0] == new[0]:
            names = sorted(name for name in {*old[1], *new[1]} if old[1].get(name) != new[1].get(name))
            return shorten(f"{old[0]}: another {', '.join(names)}", DIFFERENCE_CHARS_MAX)
        return shorten(f"{_kind(new)} instead of {_kind(old)}", DIFFERENCE_CHARS_MAX)
    return f"{len(now)} steps instead of {len(before)}"


def _kind(item: Any) -> str:
    return str(item[0]) if isinstance(item, tuple) else "a route"
