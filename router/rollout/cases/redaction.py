"""What is taken out of a captured request before anything of it is kept: values by their place, texts by pattern.

A redacted value keeps its kind, so that a request stays one that a model accepts: a text becomes `[redacted]`, a number 0, a
truth value false. Where a rule cannot be applied, because a body is no JSON or was cut, the body is dropped: better no case
than a secret in one.

What a pattern costs is the client's to choose, and it holds the interpreter, so that the judge waits: one for addresses of
mail takes 27 s for 64 KiB of the letter a, and 9 ms for 1,024 characters of it. A text that is longer than TEXT_CHARS_MAX is
not searched: where there are patterns it goes as a whole.
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
    """`paths` are places in JSON bodies, `patterns` regular expressions for texts anywhere, `query` the names of those
    parameters whose values may stay.
    """

    paths: tuple[tuple[str, ...], ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    query: frozenset[str] = frozenset()

    @property
    def rules(self) -> bool:
        """Whether bodies are to be looked at."""
        return bool(self.paths or self.patterns)


def redaction(paths: Sequence[str], patterns: Sequence[str], query: Sequence[str]) -> Redaction:
    """Return the rules; raise ValueError naming the one that is none."""
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
    """Return `value` without what the patterns find; without anything of it, if it is too long for them."""
    if rules.patterns and len(value) > TEXT_CHARS_MAX:
        return REDACTED
    for pattern in rules.patterns:
        value = pattern.sub(REDACTED, value)
    return value


def target(rules: Redaction, value: str) -> str:
    """Return a request target without what the patterns find, and without the values of parameters that may not stay."""
    path, mark, query = value.partition("?")
    kept = []
    for part in query.split("&") if query else ():
        name, equals, content = part.partition("=")
        if name in rules.query:
            kept.append(text(rules, part))
        elif equals:
            kept.append(f"{text(rules, name)}={_in_query(content)}")
        else:  # it may be a name or a value, a token for example
            kept.append(_in_query(part))
    return _path(rules, path) + mark + "&".join(kept)


def _path(rules: Redaction, path: str) -> str:
    """Return a path that is one still: without its first slash it could not be sent again."""
    found = text(rules, path)
    return f"/{found}" if path.startswith("/") and not found.startswith("/") else found


def _in_query(content: str) -> str:
    return "redacted" if content else ""


def body(rules: Redaction, content: bytes, *, complete: bool) -> bytes | None:
    """Return a body that may be kept; None if the rules cannot be applied to it. `complete`: nothing of it was cut off."""
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
        told = content.decode()
        return text(rules, told).encode() if len(told) <= TEXT_CHARS_MAX else None
    except UnicodeDecodeError:
        return None


def _cleaned(rules: Redaction, document: Any) -> tuple[Any, bool]:
    """Return a copy of `document`, and whether it is another one; by a list of what is still to be copied, for depth is the
    client's to choose.
    """
    changed = False
    result: list[Any] = [None]
    top = tuple(start(path) for path in rules.paths)
    stack: list[tuple[Any, Any, Any, tuple[frozenset[int], ...], bool]] = [(result, 0, document, top, False)]
    while stack:
        holder, key, value, reached, hidden = stack.pop()
        hidden = hidden or any(len(path) in ends for path, ends in zip(rules.paths, reached, strict=True))
        if isinstance(value, dict):
            copy: dict[str, Any] = {text(rules, name): None for name in value}
            changed = changed or copy.keys() != value.keys()
            holder[key] = copy
            stack.extend(
                (copy, text(rules, name), inner, _inside(rules, reached, name), hidden) for name, inner in value.items()
            )
        elif isinstance(value, list):
            items = [None] * len(value)
            holder[key] = items
            stack.extend(
                (items, number, inner, _inside(rules, reached, str(number)), hidden)
                for number, inner in enumerate(value)
            )
        else:
            holder[key] = _blank(value) if hidden else text(rules, value) if isinstance(value, str) else value
            changed = changed or holder[key] != value
    return result[0], changed


def _inside(rules: Redaction, reached: tuple[frozenset[int], ...], part: str) -> tuple[frozenset[int], ...]:
    return tuple(step(path, ends, part) for path, ends in zip(rules.paths, reached, strict=True))


def _blank(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return None if value is None else False
    return 0 if isinstance(value, (int, float)) else REDACTED
