"""Compares the path of a request with a prefix from the settings, and replaces one."""

from __future__ import annotations


def is_under(path: bytes, prefix: bytes) -> bool:
    """Return whether `path` begins with `prefix` and the prefix ends at a border of segments: /a covers /a/b, and not /ab.

    Both are compared as they are: nothing is decoded.
    """
    return path.startswith(prefix) and (prefix.endswith(b"/") or path[len(prefix) :][:1] in (b"", b"/"))


def with_prefix(target: bytes, prefix: bytes, new: bytes) -> bytes:
    """Return a request target (path and query) whose path is under `prefix`, with `new` in the place of the prefix.

    A target that is not under it, such as `*`, stays as it is. The rest of the path and the query keep every byte.
    """
    if not is_under(target.partition(b"?")[0], prefix):
        return target
    replaced = new.rstrip(b"/") + target[len(prefix.rstrip(b"/")) :]
    return replaced if replaced.startswith(b"/") else b"/" + replaced
