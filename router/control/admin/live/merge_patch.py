"""The difference of two JSON documents as a merge patch (RFC 7396).

In a merge patch null removes a member, so a patch cannot set one to null. A reader has to take a missing member for null; then
the patched document equals the new one. A list is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping

from router.control.addon import Document


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> Document:
    """Return the patch that turns `before` into `after`; empty if they are equal. Both hold what JSON can express."""
    patch: Document = {name: None for name, value in before.items() if value is not None and after.get(name) is None}
    for name, value in after.items():
        known = before.get(name)
        if value is None or (value == known and type(value) is type(known)):  # 0 == False
            continue
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        patch[name] = difference(known, value) if both else value  # type: ignore[arg-type]  # checked in `both`
    return patch
