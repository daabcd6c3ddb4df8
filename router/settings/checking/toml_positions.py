"""Finds line and column of each key, table and list item in a TOML document that tomllib has accepted.

tomllib gives values without their positions. This scan follows the grammar of TOML 1.0 and skips over values; it relies on
tomllib having refused everything that is not TOML.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Final

Place = tuple[str | int, ...]

_BLANK: Final = re.compile(r"[ \t]*")
_NOTHING: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r"[A-Za-z0-9_\-]+|'[^'\n]*'|\"(?:[^\"\\\n]|\\.)*\"")
_TEXT: Final = re.compile(
    r"\"\"\"(?:[^\"\\]|\\.|\"(?!\"\")|\"\"(?!\"))*\"{3,5}|'''(?:[^']|'(?!'')|''(?!'))*'{3,5}"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'",
    re.DOTALL,
)
_PLAIN: Final = re.compile(r"[^,\]}#\n]*")


def positions(text: str) -> dict[Place, tuple[int, int]]:
    """Return (line, column) by place, both from 1: (32, 1) by ("services", "fraud", "active"), of an item by its index."""
    scan = _Scan(text)
    try:
        scan.document()
    except RecursionError:  # tomllib may nest deeper; a mistake then has no position
        return {}
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    lines = {place: bisect_right(starts, offset) for place, offset in scan.offsets.items()}
    return {place: (line, scan.offsets[place] - starts[line - 1] + 1) for place, line in lines.items()}


class _Scan:
    def __init__(self, text: str) -> None:
        self.offsets: dict[Place, int] = {}
        self._text = text
        self._at = 0
        self._items: dict[Place, int] = {}

    def document(self) -> None:
        table: Place = ()
        self._skip(_NOTHING)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._member(table)
            self._skip(_NOTHING)

    def _header(self) -> Place:
        several = self._text.startswith("[[", self._at)
        self._at += 1 + several
        place: Place = ()
        keys = self._keys()
        for number, (key, offset) in enumerate(keys):
            place = (*place, key)
            self.offsets.setdefault(place, offset)
            if several and number == len(keys) - 1:
                self._items[place] = self._items.get(place, -1) + 1
            if place in self._items:
                place = (*place, self._items[place])
                self.offsets.setdefault(place, offset)
        self._at += 1 + several
        return place

    def _member(self, table: Place) -> None:
        """Read KEY = VALUE."""
        for key, offset in self._keys():
            table = (*table, key)
            self.offsets.setdefault(table, offset)
        self._at += 1  # the sign
        self._skip(_BLANK)
        self._value(table)

    def _keys(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        while True:
            self._skip(_BLANK)
            raw = self._take(_KEY)
            key = next(iter(tomllib.loads(f"{raw} = 0"))) if raw[:1] in ("'", '"') else raw
            found.append((key, self._at - len(raw)))
            self._skip(_BLANK)
            if not self._text.startswith(".", self._at):
                return found
            self._at += 1

    def _value(self, place: Place) -> None:
        first = self._text[self._at : self._at + 1]
        if first == "[":
            self._list(place)
        elif first == "{":
            self._inline_table(place)
        elif first in ('"', "'"):
            self._take(_TEXT)
        else:
            self._take(_PLAIN)

    def _list(self, place: Place) -> None:
        self._at += 1
        number = 0
        while not self._ends("]"):
            item = (*place, number)
            self.offsets[item] = self._at
            self._value(item)
            number += 1

    def _inline_table(self, place: Place) -> None:
        self._at += 1
        while not self._ends("}"):
            self._member(place)

    def _ends(self, end: str) -> bool:
        """Skip what stands between two values; return whether the list or table ends, and skip its end."""
        self._skip(_NOTHING)
        if self._text.startswith(",", self._at):
            self._at += 1
            self._skip(_NOTHING)
        if self._at < len(self._text) and not self._text.startswith(end, self._at):
            return False
        self._at += 1
        return True

    def _skip(self, what: re.Pattern[str]) -> None:
        self._take(what)

    def _take(self, what: re.Pattern[str]) -> str:
        found = what.match(self._text, self._at)
        if found is None:  # tomllib knows a form that this scan does not
            self._at = len(self._text)
            return ""
        self._at = found.end()
        return found[0]
