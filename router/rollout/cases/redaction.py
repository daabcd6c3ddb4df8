"""Removes secrets from a captured request before it is stored: values by JSON pointer, texts by pattern.

A redacted value keeps its type, so the model still accepts the request: a text becomes `[redacted]`, a number 0, a truth value
false. If a rule cannot be applied, because a body is not JSON or was cut off, the whole body is dropped.

The client chooses the text, so it chooses the cost of a pattern. A pattern for mail addresses takes 27 s for 64 KiB of the
letter a, and 9 ms for 1,024 of them. So a text longer than TEXT_CHARS_MAX is not searched: if there are patterns, it is redacted
as a whole.
Some patterns, like `(a+)+$`, take ages for 30 characters, so control does not search texts itself: a process does, and gives a
search little time (control/cases/search_limit.py). What was not searched to its end is redacted as a whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from router.rollout import json_pointer
from router.rollout.json_pointer import start, step

REDACTED: Final = "[redacted]"
TEXT_CHARS_MAX: Final = 1024
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")


def substitute(pattern: re.Pattern[str], value: str) -> str:
    """Return `value` with all matches of `pattern` replaced. Takes as long as the pattern takes."""
    return pattern.sub(REDACTED, value)


@dataclass(frozen=True, slots=True)
class Redaction:
    """`paths`: JSON pointers in bodies; `patterns`: regular expressions for all texts; `query`: names of the query parameters
    whose values are kept. `substitute` applies a pattern to a text; it returns REDACTED for a text that it has not searched to
    its end. `hide_all`: every text and every body is redacted as a whole.
    """

    paths: tuple[tuple[str, ...], ...] = ()
    patterns: tuple[re.Pattern[str], ...] = ()
    query: frozenset[str] = frozenset()
    substitute: Callable[[re.Pattern[str], str], str] = substitute
    hide_all: bool = False

    @property
    def rules(self) -> bool:
        """Whether there are rules for bodies."""
        return bool(self.paths or self.patterns or self.hide_all)


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


HIDDEN: Final = Redaction(hide_all=True)
"""The rules for what could not be searched in time: nothing of it is kept."""


def text(rules: Redaction, value: str) -> str:
    """Return `value` with all matches replaced.

    REDACTED if it is too long to search, if a search took too long, or if there is a match that shows only without its escapes.
    """
    if rules.hide_all or (rules.patterns and len(value) > TEXT_CHARS_MAX):
        return REDACTED
    value = _searched(rules, value)
    if rules.patterns and (plain := _unescaped(value)) != value and _searched(rules, plain) != plain:
        return REDACTED
    return value


def _searched(rules: Redaction, value: str) -> str:
    for pattern in rules.patterns:
        value = rules.substitute(pattern, value)
    return value


def _unescaped(value: str) -> str:
    """Return a text without the escapes of JSON, HTML and URLs, which may be in a text of any kind."""
    if "\\u" in value:
        value = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), value)
    if "&" in value:
        value = html.unescape(value)
    return unquote(value) if "%" in value else value


def target(rules: Redaction, value: str) -> str:
    """Return a request target with all matches replaced, and without the values of other query parameters than `query`."""
    path, mark, query = value.partition("?")
    kept = []
    for part in query.split("&") if query else ():
        name, equals, content = part.partition("=")
        if name in rules.query and not rules.hide_all:
            kept.append(encoded(rules, part, unquote_plus))
        elif equals:
            kept.append(f"{encoded(rules, name, unquote_plus)}={_in_query(content)}")
        else:  # it may be a value, for example a token
            kept.append(_in_query(part))
    return _path(rules, path) + mark + "&".join(kept)


def encoded(rules: Redaction, value: str, decode: Callable[[str], str]) -> str:
    """Return a percent-encoded text with all matches replaced; REDACTED if there are some that show only after `decode`."""
    found = text(rules, value)
    if not rules.patterns or (plain := decode(found)) == found:
        return found
    return found if text(rules, plain) == plain else REDACTED


def _path(rules: Redaction, path: str) -> str:
    """Return the redacted path; it still begins with a slash, so that it can be sent again."""
    found = encoded(rules, path, unquote)
    return f"/{found}" if path.startswith("/") and not found.startswith("/") else found


def _in_query(content: str) -> str:
    return "redacted" if content else ""


def document(rules: Redaction, value: Any) -> tuple[Any, bool]:
    """Return a redacted copy of a JSON document, and whether it differs. A stack, not recursion: the client chooses the depth."""
    changed = False
    result: list[Any] = [None]
    top = tuple(start(path) for path in rules.paths)
    stack: list[tuple[Any, Any, Any, tuple[frozenset[int], ...], bool]] = [(result, 0, value, top, False)]
    while stack:
        parent, key, value, reached, hidden = stack.pop()
        hidden = hidden or any(len(path) in ends for path, ends in zip(rules.paths, reached, strict=True))
        if isinstance(value, dict):
            names = {name: text(rules, name) for name in value}
            copy: dict[str, Any] = dict.fromkeys(names.values())
            changed = changed or copy.keys() != value.keys()
            parent[key] = copy
            stack.extend(
                (copy, names[name], inner, _inside(rules, reached, name), hidden) for name, inner in value.items()
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
