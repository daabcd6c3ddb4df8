"""Removes secrets from a captured request before it is stored: values by JSON pointer, texts by pattern.

A redacted value keeps its type, so the model still accepts the request: a text becomes `[redacted]`, a number 0, a truth value
false. If a rule cannot be applied, because a body is not JSON or was cut off, the whole body is dropped.

The client chooses the text, so it chooses the cost of a pattern, and a search blocks the interpreter and with it the judge. A
pattern for mail addresses takes 27 s for 64 KiB of the letter a, and 9 ms for 1,024 of them. So a text longer than TEXT_CHARS_MAX
is not searched: if there are patterns, it is redacted as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from router.rollout import json_pointer
from router.rollout.json_pointer import start, step

REDACTED: Final = "[redacted]"
TEXT_CHARS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class Redaction:
    """`paths`: JSON pointers in bodies; `patterns`: regular expressions for all texts; `query`: names of the query parameters
    whose values are kept.
    """

    paths: tuple[tuple[str, ...], ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    query: frozenset[str] = frozenset()

    @property
    def rules(self) -> bool:
        """Whether there are rules for bodies."""
        return bool(self.paths or self.patterns)


def redaction(paths: Sequence[str], patterns: Sequence[str], query: Sequence[str]) -> Redaction:
    """Return the rules; raise ValueError that names an invalid one."""
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return Redaction(
        tuple(json_pointer.parse(path, any_depth=True) for path in paths), tuple(compiled), frozenset(query)
    )


def text(rules: Redaction, value: str) -> str:
    """Return `value` with all matches replaced; REDACTED if it is too long to search."""
    if rules.patterns and len(value) > TEXT_CHARS_MAX:
        return REDACTED
    for pattern in rules.patterns:
        value = pattern.sub(REDACTED, value)
    return value


def target(rules: Redaction, value: str) -> str:
    """Return a request target with all matches replaced, and without the values of other query parameters than `query`."""
    path, mark, query = value.partition("?")
    kept = []
    for part in query.split("&") if query else ():
        name, equals, content = part.partition("=")
        if name in rules.query:
            kept.append(text(rules, part))
        elif equals:
            kept.append(f"{text(rules, name)}={_in_query(content)}")
        else:  # it may be a value, for example a token
            kept.append(_in_query(part))
    return _path(rules, path) + mark + "&".join(kept)


def _path(rules: Redaction, path: str) -> str:
    """Return the redacted path; it still begins with a slash, so that it can be sent again."""
    found = text(rules, path)
    return f"/{found}" if path.startswith("/") and not found.startswith("/") else found


def _in_query(content: str) -> str:
    return "redacted" if content else ""


def body(rules: Redaction, content: bytes, *, complete: bool) -> bytes | None:
    """Return the redacted body; None if the rules cannot be applied to it. `complete`: the body was not cut off."""
    if not rules.rules or not content:
        return content
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None if rules.paths or not complete else _plain(rules, content)
    cleaned, changed = _cleaned(rules, document)
    if not changed:
        return content
    try:
        return orjson.dumps(cleaned)
    except orjson.JSONEncodeError:  # deeper than can be written
        return None


def _plain(rules: Redaction, content: bytes) -> bytes | None:
    try:
        decoded = content.decode()
        return text(rules, decoded).encode() if len(decoded) <= TEXT_CHARS_MAX else None
    except UnicodeDecodeError:
        return None


def _cleaned(rules: Redaction, document: Any) -> tuple[Any, bool]:
    """Return a redacted copy of `document`, and whether it differs. A stack, not recursion: the client chooses the depth."""
    changed = False
    result: list[Any] = [None]
    top = tuple(start(path) for path in rules.paths)
    stack: list[tuple[Any, Any, Any, tuple[frozenset[int], ...], bool]] = [(result, 0, document, top, False)]
    while stack:
        parent, key, value, reached, hidden = stack.pop()
        hidden = hidden or any(len(path) in ends for path, ends in zip(rules.paths, reached, strict=True))
        if isinstance(value, dict):
            copy: dict[str, Any] = {text(rules, name): None for name in value}
            changed = changed or copy.keys() != value.keys()
            parent[key] = copy
            stack.extend(
                (copy, text(rules, name), inner, _inside(rules, reached, name), hidden) for name, inner in value.items()
            )
        elif isinstance(value, list):
            items = [None] * len(value)
            parent[key] = items
            stack.extend(
                (items, number, inner, _inside(rules, reached, str(number)), hidden)
                for number, inner in enumerate(value)
            )
        else:
            parent[key] = _blank(value) if hidden else text(rules, value) if isinstance(value, str) else value
            changed = changed or parent[key] != value
    return result[0], changed


def _inside(rules: Redaction, reached: tuple[frozenset[int], ...], part: str) -> tuple[frozenset[int], ...]:
    return tuple(step(path, ends, part) for path, ends in zip(rules.paths, reached, strict=True))


def _blank(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return None if value is None else False
    return 0 if isinstance(value, (int, float)) else REDACTED
