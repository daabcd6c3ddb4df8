"""Finds every mistake of a document at once.

The model checks a rule about several members only when each member is good, so that one mistake would hide another. Wrong
values are therefore taken out, and the rest is checked again, until nothing new is found. What only follows from a value that was
taken out is not reported: a member that is then missing, or a rule that has read it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from router.settings.checking import strictness
from router.settings.checking.explanation import Place, explained, is_secret_place, place_of, sentence, value_shown

ROUNDS_MAX: Final = 8

Check = Callable[[dict[str, Any]], Any]


def mistakes(document: dict[str, Any], check: Check, exempt: frozenset[Place]) -> dict[Place, str]:
    """Return what is wrong by place, in the order of the document. `check` raises ValidationError.

    `exempt`: places that environment variables have set, which are texts.
    """
    found: dict[Place, str] = dict(_of_other_kinds(document, exempt))
    remaining = copy.deepcopy(document)
    removed = _removed(remaining, found)
    for _ in range(ROUNDS_MAX):
        error = _refusal(remaining, check)
        if error is None:
            break
        for place, text in explained(_independent(error.errors(), removed)).items():
            found.setdefault(place, text)
        wrong = [place_of(item["loc"]) for item in error.errors()]
        taken = _removed(remaining, wrong)
        if not taken:
            break
        removed += taken
    return found


def _removed(document: dict[str, Any], places: Iterable[Place]) -> list[Place]:
    """Take out the values at the places; return what is gone.

    Two mistakes may stand in one value that goes as a whole. It goes once: the second time its table would go, with all that is
    wrong in there.
    """
    taken: list[Place] = []
    for place in places:
        if not any(_covers(gone, place) for gone in taken) and (gone := _remove(document, place)):
            taken.append(gone)
    return taken


def _of_other_kinds(document: dict[str, Any], exempt: frozenset[Place]) -> Iterator[tuple[Place, str]]:
    for place, wanted in strictness.of_other_kinds(document, exempt):
        value = _value(document, place)
        secret = is_secret_place(place, value)
        yield place, sentence(place, "" if secret else value_shown(value), wanted)


def _refusal(document: dict[str, Any], check: Check) -> ValidationError | None:
    try:
        check(document)
    except ValidationError as error:
        return error
    return None


def _independent(items: list[ErrorDetails], removed: list[Place]) -> Iterator[ErrorDetails]:
    """Yield the errors without those that only follow from the places that were removed."""
    for item in items:
        place = place_of(item["loc"])
        if item["type"] in ("missing", "missing_argument") and any(_covers(gone, place) for gone in removed):
            continue
        if item["type"] == "breach":
            base = place[: len(place) - item["ctx"]["depth"]]
            if any(_covers(gone, (*base, *needed)) for needed in item["ctx"]["needs"] for gone in removed):
                continue
        elif item["type"] == "value_error" and any(_covers(place, gone) for gone in removed):
            continue
        yield item


def _covers(above: Place, below: Place) -> bool:
    return below[: len(above)] == above


def _value(document: Any, place: Place) -> Any:
    value: Any = document
    for part in place:
        value = value[part]
    return value


def _remove(document: dict[str, Any], place: Place) -> Place:
    """Take out the value at the place, or the nearest one above it that has a name. Return the place of what is gone.

    An item of a list stays, or the list goes: otherwise the numbers of the items behind it would change.
    """
    above: Any = document
    known: Place = ()
    for part in place:
        inside = part in above if isinstance(above, dict) else isinstance(above, list) and isinstance(part, int)
        if not inside:
            break
        known = (*known, part)
        above = above[part]
    while known and isinstance(known[-1], int):
        known = known[:-1]
    if known:
        del _value(document, known[:-1])[known[-1]]
    return known
