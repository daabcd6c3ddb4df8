"""Places in a JSON document: JSON pointers (RFC 6901), in which `*` stands for every member or element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

EVERY: Final = "*"
PARTS_MAX: Final = 32
VALUES_MAX: Final = 4096
"""Values that one pointer names in one document; what `*` names beyond is not looked at."""


class Missing:
    """What stands where a pointer leads nowhere."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()
Pointer = tuple[str, ...]


def parse(text: str) -> Pointer:
    """Return the parts of a pointer; raise ValueError that says how to write one. "" is the whole document."""
    if text and not text.startswith("/"):
        raise ValueError(
            f'{text!r} is no JSON pointer: write /outputs/0/data, /outputs/*/data, or "" for the whole body'
        )
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
    if len(parts) > PARTS_MAX:
        raise ValueError(f"{text[:40]!r}… has {len(parts)} parts, at most {PARTS_MAX} are looked at")
    return parts


def spell(parts: Pointer | list[Any]) -> str:
    """Return the text of a pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def values(document: Any, pointer: Pointer) -> Iterator[tuple[Pointer, Any]]:
    """Yield (place, value) of everything that `pointer` names; MISSING where it leads nowhere. Under `*` only what is
    there counts: an empty list has no missing elements, but what is no list and no object has one.
    """
    left = VALUES_MAX
    for place, value in _values(document, pointer, ()):
        yield place, value
        left -= 1
        if not left:
            return


def _values(value: Any, pointer: Pointer, place: Pointer) -> Iterator[tuple[Pointer, Any]]:
    if not pointer:
        yield place, value
        return
    part, rest = pointer[0], pointer[1:]
    if part == EVERY and isinstance(value, (list, dict)):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            yield from _values(member, rest, (*place, str(name)))
        return
    if isinstance(value, dict) and part in value:
        yield from _values(value[part], rest, (*place, part))
    elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        yield from _values(value[int(part)], rest, (*place, part))
    else:
        yield (*place, part), MISSING
