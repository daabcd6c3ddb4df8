"""Expressions over label values with bounded cost: the sender of an alert chooses the values, so a pattern must not backtrack.

Allowed are literals, `.`, escapes, classes, alternatives, and GROUPS_MAX group, not repeated. A quantifier
follows a single character, and there are at most REPEATS_MAX. A value of VALUE_CHARS_MAX characters takes 0.3 ms with usual
patterns, and 3 ms with the worst pattern found.
"""

from __future__ import annotations

import re
from typing import Final

PATTERN_CHARS_MAX: Final = 200
VALUE_CHARS_MAX: Final = 256
REPEATS_MAX: Final = 2
GROUPS_MAX: Final = 1

_ONE: Final = r"(?:\\[dwsDWS]|\\[^\w\s]|\[\^?(?:\\.|[^\]\\\[])+\]|[^()*+?{}|\[\]\\^$])"
_REPEAT: Final = r"(?:[*+?]|\{\d{1,3}(?:,\d{0,3})?\})"
_SEQUENCE: Final = rf"(?:{_ONE}{_REPEAT}?)*+"
_GROUP: Final = rf"\((?:\?:)?{_SEQUENCE}(?:\|{_SEQUENCE})*+\)"
_PATTERN: Final = re.compile(rf"(?:{_GROUP}|{_ONE}{_REPEAT}?|\|)*+", re.DOTALL)
_PART: Final = re.compile(rf"{_ONE}|{_REPEAT}|[(|)]", re.DOTALL)


def bounded(pattern: str) -> str:
    """Return `pattern` if its cost is bounded; raise ValueError that names the part that is not allowed."""
    if len(pattern) > PATTERN_CHARS_MAX:
        raise ValueError(f"an expression has at most {PATTERN_CHARS_MAX} characters, this one {len(pattern)}")
    if not _PATTERN.fullmatch(pattern):
        raise ValueError(
            f"{pattern!r} is not an expression of bounded cost: literals, classes, '.', alternatives and groups without "
            "a quantifier are; it always matches the whole value"
        )
    parts = [found[0] for found in _PART.finditer(pattern)]
    for what, most, count in (
        ("quantifiers", REPEATS_MAX, sum(re.fullmatch(_REPEAT, part) is not None for part in parts)),
        ("groups", GROUPS_MAX, parts.count("(")),
    ):
        if count > most:
            raise ValueError(f"{pattern!r} has {count} {what}; more than {most} can be made slow")
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no expression: {error}") from None
    return pattern


def matches(pattern: str, value: str) -> bool:
    """Return whether the whole `value` matches; a value longer than VALUE_CHARS_MAX never does."""
    return len(value) <= VALUE_CHARS_MAX and re.fullmatch(pattern, value) is not None
