"""Finds values of a kind that a setting does not have, and that a lenient reader would take: "250" for a number, 1 for true.

A text for a number is a typing error or a template that was filled in wrongly. It is refused, so that nothing is guessed.
Environment variables are texts, and are exempt.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from router.settings.sections.address import Address
from router.settings.setting_types import Kinds, inner, is_literal
from router.settings.settings import Settings

Place = tuple[str | int, ...]

_TRUTH: Final = {"true": "true", "false": "false", "yes": "true", "no": "false", "on": "true", "off": "false"}


def of_other_kinds(document: Mapping[str, Any], exempt: frozenset[Place]) -> Iterator[tuple[Place, str]]:
    """Yield (place, what to write instead) of each value of another kind. `exempt`: places that variables have set."""
    yield from _walk((), document, (Settings,), exempt)


def _walk(place: Place, value: Any, kinds: Kinds, exempt: frozenset[Place]) -> Iterator[tuple[Place, str]]:
    if place in exempt and isinstance(value, str):
        return
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk((*place, name), item, inner(kinds, name), exempt)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk((*place, number), item, inner(kinds, number), exempt)
    elif kinds and (wanted := _wanted(value, kinds)):
        yield place, wanted


def _wanted(value: Any, kinds: Kinds) -> str:
    """Return what to write instead of a value; empty if it is of one of the kinds, or of none that a lenient reader takes."""
    if type(value) in kinds or any(_is_one(value, kind) for kind in kinds):
        return ""
    if isinstance(value, str):
        return _for_text(value, kinds)
    if isinstance(value, bool):
        return "must be a number, not true or false" if _has(kinds, int, float) else ""
    if isinstance(value, int):
        return "" if float in kinds or bool not in kinds else "must be true or false, not a number"
    if isinstance(value, float) and float not in kinds:
        if int in kinds:
            return f"must be a whole number: write {int(value)}" if value.is_integer() else ""
        return "must be true or false, not a number" if bool in kinds else ""
    return ""


def _for_text(value: str, kinds: Kinds) -> str:
    if _has(kinds, str, Path, Address):
        return ""
    if _has(kinds, int, float):
        return f"must be a number: write {value.strip()} without quotes" if _is_number(value, kinds) else ""
    if bool in kinds and value.strip().lower() in _TRUTH:
        return f"must be true or false: write {_TRUTH[value.strip().lower()]} without quotes"
    return ""


def _is_number(value: str, kinds: Kinds) -> bool:
    try:
        return bool(int(value) or True) if float not in kinds else bool(float(value) or True)
    except ValueError:
        return False


def _has(kinds: Kinds, *wanted: type) -> bool:
    return any(kind in wanted for kind in kinds)


def _is_one(value: Any, kind: Any) -> bool:
    """Return whether the kind lists the value. 0 and false are equal, and are two values."""
    listed = typing.get_args(kind) if is_literal(kind) else ()
    return any(type(one) is type(value) and one == value for one in listed)
