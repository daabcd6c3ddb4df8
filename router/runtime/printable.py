r"""Text as it may be printed: whatever is not printable is escaped as in JSON (RFC 8259 §7), so that no text of a stranger
moves a cursor, hides or reverses what stands beside it, or forges a line.

Escaped are control characters (C0, DEL, C1), format characters (bidi controls, zero-width ones, tags), line and paragraph
separators, surrogates, private use, what Unicode does not assign, and characters that leave no mark though they count as
letters. Letters of every script, symbols, spaces and emoji stay: a joiner (U+200D) between two emoji, a variation selector
(U+FE0F) behind a symbol. A backslash stays as it is, so an escape is for people; JSON, which escapes a backslash, keeps the
value.

    printable("\x1b[2J")         \u001b[2J
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
    """Return `text` in one line, all of it printable."""
    if text.isascii() and text.isprintable():
        return text
    return _SUSPECT.sub(_shown, text)


def printable_lines(text: str) -> str:
    """Return `text` with its line feeds, all else of it printable. For texts of ours that have several lines."""
    return "\n".join(map(printable, text.split("\n")))


def _shown(found: re.Match[str]) -> str:
    char, text, at = found[0], found.string, found.start()
    if (char.isprintable() or category(char) == "Zs") and not _UNSEEN.match(char):
        return char
    if (char == _JOINER or char in _SELECTORS) and at and _makes_emoji(text, at):
        return char
    return _escaped(char)


def _makes_emoji(text: str, at: int) -> bool:
    """Whether the joiner or selector at `at`, not the first character, makes one emoji of what stands before and behind it."""
    before, behind = text[at - 1], text[at + 1 : at + 2]
    if text[at] == _JOINER:
        if before in _SELECTORS and at > 1:  # a symbol in its coloured form
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
