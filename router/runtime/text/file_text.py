"""Text of files and environment variables: UTF-8, with or without a byte order mark.

Editors of Windows begin a file with a byte order mark, or write UTF-16. The mark is skipped. Another encoding is named with
the remedy, because a parser would only report the first byte that it cannot use.
"""

from __future__ import annotations

import codecs
from typing import Final

_REMEDY: Final = "save it as UTF-8"
_OTHER_MARKS: Final = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UTF16_BYTES_MIN: Final = 4
_NUL_SHARE_MIN: Final = 0.2
"""UTF-16 writes every ASCII character with a NUL. With a smaller share of NULs, one NUL is in a text."""


def decoded(raw: bytes) -> str:
    """Return the text without its byte order mark; raise ValueError that names the encoding or the place, and the remedy.

    The error never repeats the text, which may be a secret.
    """
    raw = without_mark(raw)
    for mark, name in _OTHER_MARKS:
        if raw.startswith(mark):
            raise ValueError(f"it is {name}, not UTF-8: {_REMEDY}")
    nuls = raw.count(0)
    if len(raw) >= _UTF16_BYTES_MIN and nuls > _NUL_SHARE_MIN * len(raw):
        raise ValueError(f"it seems to be UTF-16, not UTF-8: {_REMEDY}")
    if nuls:
        raise ValueError(f"it holds a NUL {_place(raw, raw.index(0))}: remove it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 {_place(raw, error.start)}: {_REMEDY}") from None


def without_mark(raw: bytes) -> bytes:
    """Return the bytes of a document without the byte order mark of UTF-8 (RFC 8259 §8.1 allows to ignore it)."""
    return raw.removeprefix(codecs.BOM_UTF8)


def _place(raw: bytes, offset: int) -> str:
    start = raw.rfind(b"\n", 0, offset) + 1
    return f"(at line {raw.count(10, 0, offset) + 1}, byte {offset - start + 1})"
