"""Explains what pydantic found wrong in the settings: place, value, source and remedy, one line. No secret is repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from router.runtime.text.secret_text import masked_urls

VALUE_CHARS_MAX: Final = 200
_FORM: Final = re.compile(r"Probe|constrained-\w+|literal\[.*\]")
"""What pydantic adds to the place of a value that may have several forms."""
_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_HINTS: Final = {
    **dict.fromkeys(_UNKNOWN, "there is no such setting"),
    "model_type": "Input should be a table",
}
_SECRET: Final = frozenset({"url", "proxy", "sha256", "body", "tokens", "notify"})
"""Settings that may be secrets, or stand where a user may write one."""


def explained(error: ValidationError, source: Callable[[tuple[int | str, ...]], str]) -> str:
    """Return one line about every wrong value. `source` names the environment variable of a place; empty: another source."""
    found: dict[str, list[str]] = {}
    for item in error.errors():
        if item["type"] == "literal_error" and isinstance(item["input"], dict):
            continue  # the errors inside the table are listed
        place, value = _place(item["loc"]), item["input"]
        hint = _HINTS.get(item["type"], item["msg"]).removeprefix("Value error, ")
        origin = source(item["loc"])
        shown = f" = {value!r}"[:VALUE_CHARS_MAX]
        if isinstance(value, (dict, BaseModel)):
            shown = ""  # a whole table would hide the hint, which names the wrong member
        elif _is_secret(item["type"], item["loc"], value):
            shown, hint = "", _without(hint, value)
        found.setdefault(f"{place}{shown}{f' ({origin})' if origin else ''}", []).append(hint)
    return masked_urls("; ".join(f"{where}: {' or '.join(_alternatives(hints))}" for where, hints in found.items()))


def _place(loc: tuple[int | str, ...]) -> str:
    parts = [str(part) for at, part in enumerate(loc) if at < 2 or not _FORM.fullmatch(str(part))]
    return ".".join(parts) or "settings"


def _is_secret(kind: str, loc: tuple[int | str, ...], value: Any) -> bool:
    """Return whether the value may be a secret. A text under an unknown name may be a password that the user has put there."""
    names = [part for part in loc if isinstance(part, str)]
    if (kind in _UNKNOWN and isinstance(value, (str, list))) or (names and names[-1] in _SECRET):
        return True
    return any("://" in text and ("@" in text or "?" in text) for text in _texts(value))


def _without(hint: str, value: Any) -> str:
    for text in filter(None, _texts(value)):
        hint = hint.replace(repr(text), "(hidden)")
    return hint


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _alternatives(hints: list[str]) -> list[str]:
    """Return the hints about one value, the beginning that they share only once."""
    return [hints[0], *(hint.removeprefix("Input should be ") for hint in hints[1:])]
