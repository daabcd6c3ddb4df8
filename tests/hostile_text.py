"""Texts that a client may send, and the parts that are dangerous on a terminal, in a log and on a page."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

ESCAPED: Final = (
    *range(0x20), *range(0x7F, 0xA0), 0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x180E, *range(0x200B, 0x2010),
    *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0x2800, 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF9, 0xFFFB,
    0xE000, 0xFFFE, 0xD800, 0xDC9B, 0xDFFF, 0x1D173, 0xE0001, 0xE0041, 0xE007F, 0xE0100, 0xF0000, 0x10FFFF, 0x378,
)  # fmt: skip
"""Code points that are never shown: C0, DEL, C1, bidi, separators, zero-width, tags, surrogates, private, unassigned, unseen."""
HOSTILE: Final = (
    "\x1b[31m\x1b]0;owned\x07\x9b2J\x85\x7f\x08\r\u202e\u2066\u2028\u2029\u200b\ufeff\u00ad\U000e0041[bold]x[/x]:bomb:"
)
"""Without a line feed and without a lone surrogate; with markup of rich and the name of an emoji."""
MARK: Final = "mark-of-the-hostile"
ORDINARY: Final = (
    "plain", "Grüße, señor Øystein", "日本語　全角", "한국어", "עברית العربية", "हिन्दी", "naïve café e\u0301", "5\u00a0%",
    "12\u202f345", "→ ≤ µ × „“ …", "👍", "👩‍💻", "👩🏽‍🚀", "🏳️‍🌈", "❤️", "❤️‍🔥", "1️⃣", "#️⃣", "🇩🇪", "‼️", "a\\b", "[bold]", "{%x%}",
)  # fmt: skip
_OWN_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")
"""What rich writes to colour a text; on a terminal alone."""


def is_harmless(text: str, *, terminal: bool = False) -> bool:
    """Whether every character of `text` is printable, but for line feeds; with `terminal` colours are allowed."""
    return not found_in(text, terminal=terminal)


def found_in(text: str, *, terminal: bool = False) -> list[str]:
    """Return the characters of `text` that must not be there."""
    text = _OWN_STYLE.sub("", text).replace("\r\n", "\n") if terminal else text
    bad = [
        char
        for char in text
        if char not in "\n\u200d" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    ]
    return [hex(ord(char)) for char in bad]
