r"""Printable text: unprintable characters are escaped as in JSON (RFC 8259 §7). Text from outside can then not move the
cursor, hide or reverse the text beside it, or forge a line.

These characters are escaped: control characters (C0, DEL, C1), format characters (bidi controls, zero-width characters, tags),
line and paragraph separators, surrogates, private use, unassigned code points, and letters without a visible mark. Letters of
every script, symbols, spaces and emoji stay, with a joiner (U+200D) between two emoji and a variation selector (U+FE0F) behind
a symbol. A backslash stays as it is, so the text cannot be decoded again; JSON, which escapes a backslash, can.

    printable("\x1b[2J")         \u001b[2J

Why: docs/decisions.md#escaping-at-the-outputs.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category

_SUSPECT: Final = re.compile(r"[^ -~]")
_JOINER: Final = "\u200d"
_SELECTORS: Final = "\ufe0e\ufe0f"
_KEYCAP: Final = "\u20e3"
_UNSEEN: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode that str.isprintable accepts, and the blank Braille pattern."""
_EMOJI: Final = ("So", "Sm", "Sk")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def printable(text: str) -> str:
    """Return `text` as one printable line."""
    if text.isascii() and text.isprintable():
        return text
    return _SUSPECT.sub(_replacement, text)


def printable_lines(text: str) -> str:
    """Return `text` with its line feeds and everything else printable. For the router's own texts of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def _replacement(match: re.Match[str]) -> str:
    char, text, at = match[0], match.string, match.start()
    if (char.isprintable() or category(char) == "Zs") and not _UNSEEN.match(char):
        return char
    if (char == _JOINER or char in _SELECTORS) and at and _makes_emoji(text, at):
        return char
    return _escaped(char)


def _makes_emoji(text: str, at: int) -> bool:
    """Whether the joiner or selector at `at` (not 0) makes one emoji of the characters before and behind it."""
    before, behind = text[at - 1], text[at + 1 : at + 2]
    if text[at] == _JOINER:
        if before in _SELECTORS and at > 1:  # a symbol in its emoji form
            before = text[at - 2]
        return bool(behind) and category(before) in _EMOJI and category(behind) in _EMOJI
    return category(before) in _EMOJI or before in "‼⁉〰" or (before in "0123456789#*" and behind == _KEYCAP)


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x10000:
        return f"\\u{code:04x}"
    high, low = divmod(code - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
