"""Field names that a backend may read as the name of a field that the router sets, checks or reads.

CGI, WSGI and PHP turn `X-Request-ID` into a variable: they write `-` as `_` (RFC 3875 §4.1.18). `X_Request_ID` then becomes the
same variable. So a client could set what the router has checked or replaced. Such a field is left out of the request, or the
request is refused (`lookalike_fields`). Other names with underscores are forwarded unchanged. So are names with a dot or
another sign: servers that fold every sign (Apache before 2.4, lighttpd) do not serve models.
"""

from __future__ import annotations

import re
from typing import Final

from router.proxy.http1.fields import HOP_BY_HOP, NEVER_REMOVED, ROUTER_FIELDS

FOLDED: Final = bytes(range(256)).lower().replace(b"_", b"-")
"""A table for `bytes.translate`: letters in lower case, and `-` for `_`."""
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
    return b"".join(rb"[\-_]" if byte == 0x2D else re.escape(bytes((byte,))) for byte in folded)
