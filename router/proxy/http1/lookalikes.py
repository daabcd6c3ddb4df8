"""Field names that a backend may read as the name of a field that the router sets, checks or reads.

CGI, WSGI and PHP turn `X-Request-ID` into a variable: they write `-` as `_`, and some every character that is no letter and no
digit (RFC 3875 §4.1.18; Apache before 2.4 and lighttpd do the latter). `X_Request_ID` and `X.Request.ID` then become the same
variable. So a client could set what the router has checked or replaced. Such a field is left out of the request, or the
request is refused (`lookalike_fields`). Other names with such characters are forwarded unchanged.
"""

from __future__ import annotations

import re
from typing import Final

from router.proxy.http1.fields import HOP_BY_HOP, NEVER_REMOVED, ROUTER_FIELDS

FOLDED: Final = bytes(byte if chr(byte).isalnum() and byte < 0x80 else 0x2D for byte in bytes(range(256)).lower())
"""A table for `bytes.translate`: letters in lower case, digits, and `-` for every other byte."""
PROTECTED: Final = (
    HOP_BY_HOP
    | ROUTER_FIELDS
    | NEVER_REMOVED
    | frozenset(b"expect max-forwards via trailer content-encoding sec-websocket-key sec-websocket-version".split())
)
"""Fields of requests that the router sets, checks or reads."""


def is_lookalike(name: bytes, removed: frozenset[bytes] | set[bytes]) -> bool:
    """Return whether `name`, in lower case, can be read as a protected field, or as one of those `removed` from the request."""
    folded = name.translate(FOLDED)
    return folded != name and (folded in PROTECTED or folded in removed)


def pattern_of(name: str) -> bytes:
    """Return a regular expression, for use without regard to case, of `name` and of all names that can be read as it."""
    folded = name.encode().translate(FOLDED)
    return b"".join(rb"[^a-z0-9:\r\n]" if byte == 0x2D else re.escape(bytes((byte,))) for byte in folded)
