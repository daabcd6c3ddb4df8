"""The files of the dashboard in the form in which they are sent.

Each reference from one file to another gets a hash of all files as its query. So a browser may keep a file for good, and a page
of one release never runs with a module of another one. No other step lies between the file and the browser.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "files"
INDEX: Final = "index.html"
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_DIGITS: Final = 12
"""Hexadecimal digits of the hash in a query: two releases have the same one with a probability of 2^-48."""
_REFERENCE: Final = re.compile(r"""(?<=["'])((?:\./|dashboard/)[a-z-]+\.(?:css|js|svg))(?=["'])""")


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file. `etag` is the entity tag without quotes, of both forms."""

    media_type: str
    plain: bytes
    compressed: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files by name, and their common hash."""

    files: Mapping[str, StaticFile]
    version: str


@cache
def load(folder: Path = FOLDER) -> StaticFiles:
    """Read and compress every file of the folder."""
    texts = {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir()) if path.suffix in MEDIA_TYPES}
    content = "\0".join(part for item in texts.items() for part in item)
    version = hashlib.sha256(content.encode()).hexdigest()[:_DIGITS]
    return StaticFiles({name: _prepared(name, text, version) for name, text in texts.items()}, version)


def _prepared(name: str, text: str, version: str) -> StaticFile:
    plain = _REFERENCE.sub(rf"\1?v={version}", text).encode()
    media_type = MEDIA_TYPES[Path(name).suffix]
    return StaticFile(
        media_type, plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[: 2 * _DIGITS]
    )
