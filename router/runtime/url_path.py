"""Compares the path of a request with a prefix from the settings."""

from __future__ import annotations


def is_under(path: bytes, prefix: bytes) -> bool:
    """Return whether `path` begins with `prefix` and the prefix ends at a border of segments: /a covers /a/b, and not /ab.

    Both are compared as they are: nothing is decoded.
    """
    return path.startswith(prefix) and (prefix.endswith(b"/") or path[len(prefix) :][:1] in (b"", b"/"))
