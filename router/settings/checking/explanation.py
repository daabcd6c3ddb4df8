"""Explains what pydantic found wrong in a document: the place, the value and the remedy. No secret is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from router.runtime.text.secret_text import masked_urls
from router.settings.checking.key_hints import meant
from router.settings.checking.wording import worded
from router.settings.setting_types import Kinds, inner
from router.settings.settings import Settings

Place = tuple[str | int, ...]

VALUE_CHARS_MAX: Final = 200
_FORM: Final = re.compile(r"constrained-\w+|literal\[.*\]")
"""What pydantic adds to the place of a value that may have several forms."""
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_SECRET: Final = frozenset({"url", "proxy", "sha256", "body", "tokens", "notify"})
"""Settings that may be secrets, or stand where a user may write one."""
_URLS: Final = frozenset({"collector", "endpoints", "public_url", "tracking_uri"})
"""Settings whose values are URLs, which may have user information or a query, also if they lack a scheme."""


def explained(items: Iterable[ErrorDetails]) -> dict[Place, str]:
    """Return what is wrong, with the value, by place; one text for each place."""
    found: dict[tuple[Place, str], list[str]] = {}
    for item in items:
        if (
            item["type"] == "literal_error"
            and isinstance(item["input"], dict)
            and _FORM.fullmatch(str(item["loc"][-1]))
        ):
            continue  # the errors inside the table are listed
        place, value = place_of(item["loc"]), item["input"]
        hint = f"there is no such setting: {meant(place)}" if item["type"] in _UNKNOWN else worded(item)
        shown = value_shown(value)
        if item["type"] in ("breach", "missing") or _has_table(value):
            shown = ""  # a whole table would hide the hint, which names the wrong member
        elif _is_secret(item["type"], item["loc"], value):
            shown, hint = "", _without(hint, value)
        found.setdefault((place, shown), []).append(hint)
    return {place: sentence(place, shown, _alternatives(hints)) for (place, shown), hints in found.items()}


def value_shown(value: Any) -> str:
    """Return " = VALUE", cut to a bounded length."""
    return f" = {value!r}"[:VALUE_CHARS_MAX]


def sentence(place: Place, shown: str, hint: str) -> str:
    """Return "PLACE = VALUE: what is wrong" without secrets in URLs."""
    return masked_urls(f"{'.'.join(map(str, place)) or 'settings'}{shown}: {hint}")


def place_of(loc: tuple[int | str, ...]) -> Place:
    """Return the place in the document: without the forms of values that may have several."""
    kinds: Kinds = (Settings,)
    place: Place = ()
    for part in loc:
        if following := inner(kinds, part):
            kinds = following
        elif _FORM.fullmatch(str(part)) or part in {kind.__name__ for kind in kinds if isinstance(kind, type)}:
            continue
        place = (*place, part)
    return place


def is_secret_place(place: Place, value: Any) -> bool:
    """Return whether the value of a known setting may be a secret."""
    names = [part for part in place if isinstance(part, str)]
    if names and names[-1] in _SECRET:
        return True
    mark = "" if names and names[-1] in _URLS else "://"
    return any(mark in text and ("@" in text or "?" in text) for text in _texts(value))


def _is_secret(kind: str, loc: tuple[int | str, ...], value: Any) -> bool:
    """Return whether the value may be a secret. A text under an unknown name may be a password that the user has put there."""
    return (kind in _UNKNOWN and isinstance(value, (str, list))) or is_secret_place(loc, value)


def _has_table(value: Any) -> bool:
    return isinstance(value, (dict, BaseModel)) or (isinstance(value, list) and any(map(_has_table, value)))


def _without(hint: str, value: Any) -> str:
    for text in filter(None, _texts(value)):
        hint = hint.replace(repr(text), "(hidden)")
    return hint


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _alternatives(hints: list[str]) -> str:
    """Return the hints about one value as one, the beginning that they share only once."""
    return " or ".join((hints[0], *(hint.removeprefix("must be ") for hint in dict.fromkeys(hints[1:]))))
