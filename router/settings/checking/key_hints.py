"""What was meant by a name that is no setting: the nearest name at the place, or the table in which the name is a setting."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Final

from router.settings.setting_types import Kinds, alternatives, inner, is_list, is_map, members
from router.settings.settings import Settings

Place = tuple[str | int, ...]

_NEAR: Final = 0.75
"""The least likeness of two names for the one to be proposed instead of the other."""
_LISTED_MAX: Final = 12
_ELSEWHERE_MAX: Final = 3
_ANY: Final = "NAME"


def meant(place: Place) -> str:
    """Return the remedy for an unknown name; its last part is the name."""
    *above, name = place
    here, shape = _kinds(above)
    known = sorted({member for kind in here for member in members(kind)})
    if near := get_close_matches(str(name), known, n=1, cutoff=_NEAR):
        return f"did you mean {_written((*above, near[0]), shape)}?"
    places = [found for found in _places() if found[-1] == name]
    if places:
        return f"it belongs in {_tables(places, shape, above)}"
    below = [found for found in _places() if found[: len(shape)] == shape and len(found) > len(shape) + 1]
    if near := get_close_matches(str(name), {found[-1] for found in below}, n=1, cutoff=_NEAR):
        places = [found for found in below if found[-1] == near[0]]
        return f"did you mean {near[0]} in {_tables(places, shape, above)}?"
    if not known or len(known) > _LISTED_MAX:
        return "remove it; docs/reference/settings.md lists all"
    return f"there are: {', '.join(known)}"


def _kinds(above: list[str | int]) -> tuple[Kinds, tuple[str, ...]]:
    """Return the kinds of a table, and its place with NAME for each free key."""
    kinds: Kinds = (Settings,)
    shape: tuple[str, ...] = ()
    for part in above:
        is_free = any(is_map(kind) for kind in kinds)
        following = inner(kinds, part)
        if isinstance(part, str) and (following or is_free):
            shape = (*shape, _ANY if is_free else part)
        kinds = following or kinds
    return kinds, shape


def _written(place: tuple[str | int, ...], shape: tuple[str, ...]) -> str:
    """Return the name, or the header if it is a table of tables."""
    last = str(place[-1])
    if any(is_map(kind) for kind in inner(_at(shape), last)):
        return f"[{last}.{_ANY}]" if not shape else last
    return last


def _at(shape: tuple[str, ...]) -> Kinds:
    kinds: Kinds = (Settings,)
    for part in shape:
        kinds = inner(kinds, part)
    return kinds


def _tables(places: list[tuple[str, ...]], shape: tuple[str, ...], above: list[str | int]) -> str:
    """Return the headers of the tables that have the member, the nearest to the place first."""

    def shared(found: tuple[str, ...]) -> int:
        return next((at for at, (one, other) in enumerate(zip(found, shape, strict=False)) if one != other), len(shape))

    nearest = max(map(shared, places))
    names = [str(part) for part in above if isinstance(part, str)]
    headers = []
    for found in [found for found in places if shared(found) == nearest][:_ELSEWHERE_MAX]:
        written = [names[at] if at < nearest else part for at, part in enumerate(found[:-1])]
        headers.append(f"[{'.'.join(written)}]" if written else "the top of the file, before the first table")
    return " or ".join(dict.fromkeys(headers))


@cache
def _places() -> tuple[tuple[str, ...], ...]:
    """Return the place of each setting, with NAME for a free key; items of a list have the place of the list."""
    return tuple(_below((), (Settings,)))


def _below(place: tuple[str, ...], kinds: Kinds) -> Iterator[tuple[str, ...]]:
    for kind in kinds:
        if is_list(kind):
            yield from _below(place, inner((kind,), 0))
        elif is_map(kind):
            yield from _below((*place, _ANY), inner((kind,), _ANY))
        for name, annotation in members(kind).items():
            yield (*place, name)
            yield from _below((*place, name), alternatives(annotation))
