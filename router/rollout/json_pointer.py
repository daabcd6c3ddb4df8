"""JSON pointers (RFC 6901) with wildcards: `*` is every member or element; `**` is any depth, also none, and is allowed only
where a document is walked (`start`, `step`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

EVERY: Final = "*"

ANY_DEPTH: Final = "**"

PARTS_MAX: Final = 32

VALUES_MAX: Final = 4096
"""Values of one pointer in one document; further ones are ignored."""


class Missing:
    """The value of a pointer that names nothing."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()

Pointer = tuple[str, ...]


def parse(text: str, *, any_depth: bool = False) -> Pointer:
    """Return the parts of a pointer; raise ValueError with the right spelling. "" is the whole document.

    `any_depth`: whether `**` is allowed.
    """
    if text and not text.startswith("/"):
        raise ValueError(
            f'{text!r} is no JSON pointer: write /outputs/0/data, /outputs/*/data, or "" for the whole body'
        )
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
    if ANY_DEPTH in parts and not any_depth:
        raise ValueError(f"{text[:40]!r}: ** is not understood here, only * for every member or element")
    if len(parts) > PARTS_MAX:
        raise ValueError(f"{text[:40]!r}… has {len(parts)} parts, at most {PARTS_MAX} are looked at")
    return parts


def format(parts: Pointer | list[Any]) -> str:
    """Return the text of a pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def values(document: Any, pointer: Pointer) -> list[tuple[Pointer, Any]]:
    """Return (place, value) of everything that `pointer` names; MISSING if it names nothing. `*` in an empty list or object names
    nothing and is not MISSING; `*` in a scalar is MISSING.
    """
    found: list[tuple[Pointer, Any]] = [((), document)]
    for part in pointer:
        found = _below(found, part)
    return found


def _below(found: list[tuple[Pointer, Any]], part: str) -> list[tuple[Pointer, Any]]:
    below: list[tuple[Pointer, Any]] = []
    for place, value in found:
        if value is MISSING:
            below.append((place, MISSING))
        elif part == EVERY and isinstance(value, (list, dict)):
            left = VALUES_MAX - len(below)
            members = value.items() if isinstance(value, dict) else enumerate(value)
            below += [((*place, str(name)), member) for name, member in islice(members, left)]
        else:
            below.append(((*place, part), _member(value, part)))
        if len(below) >= VALUES_MAX:
            break
    return below


def _member(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return value.get(part, MISSING)
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return MISSING


def covers(pointer: Sequence[str], place: Sequence[str]) -> bool:
    """Return whether `pointer` names `place` exactly."""
    reached = start(pointer)
    for part in place:
        reached = step(pointer, reached, part)
    return len(pointer) in reached


def start(pointer: Sequence[str]) -> frozenset[int]:
    """Return how many parts of `pointer` may be matched at the top of a document."""
    return _through(pointer, {0})


def step(pointer: Sequence[str], reached: frozenset[int], part: str) -> frozenset[int]:
    """Return how many parts of `pointer` may be matched after a step from `reached` into member `part`."""
    further = set()
    for number in reached:
        if number < len(pointer) and pointer[number] == ANY_DEPTH:
            further.add(number)
        elif number < len(pointer) and pointer[number] in ("*", part):
            further.add(number + 1)
    return _through(pointer, further)


def _through(pointer: Sequence[str], reached: set[int]) -> frozenset[int]:
    """Return `reached` extended by each `**` that matches nothing."""
    for number in range(len(pointer)):
        if number in reached and pointer[number] == ANY_DEPTH:
            reached.add(number + 1)
    return frozenset(reached)
