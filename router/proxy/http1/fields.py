"""What request and response heads have in common: fields, framing, and what is for one hop only (RFC 9110 §7.6.1)."""

from __future__ import annotations

import re
from typing import Final

from router.errors import RouterError

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
PSEUDONYM: Final = b"rollback-router"
VIA: Final = b"Via: 1.1 %b\r\n" % PSEUDONYM
"""What a proxy adds to each message, with the version it received (RFC 9110 §7.6.3). A line of its own ends the list."""

CHUNKED_LINE: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n")
CANONICAL_CHUNKED: Final = b"\r\nTransfer-Encoding: chunked\r\n"
"""How the coding is handed on: it is for one hop (RFC 9112 §6.1), and not everybody takes tabs or capitals for what they are."""
LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n")

HOP_BY_HOP: Final = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"),
        *(b"te", b"upgrade", b"http2-settings"),
    )
)
"""RFC 9110 §7.6.1. Transfer-Encoding is one too, but the framing may stay as it is, so it is kept, as everybody writes it.
Trailer is none (§6.6.2), and trailers are handed on.
"""
OURS: Final = frozenset(
    (
        *(
            b"forwarded",
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-real-ip",
        ),
        *(b"x-served-version", b"x-router-error"),
    )
)
"""Set by us alone. What a trusted proxy says in them is read by `forwarding.py`; a translation knows nothing of trust."""
OURS_IN_RESPONSES: Final = frozenset((b"x-served-version", b"x-router-error"))
"""The other fields that are ours in a request are the backend's own in a response, and pass."""
NEVER_REMOVED: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type", b"x-request-id"))
"""Framing and routing fields, and the one that names the request: a Connection field cannot take them away."""
FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
LIST_MEMBERS_MAX: Final = 100
"""Of Connection, Upgrade and Via, which are read member by member; as many as fields, which is what Connection names. A
recipient need not take more empty ones than common mistakes make (RFC 9110 §5.6.1.2).
"""
WEBSOCKET: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
"""The one upgrade that passes (RFC 9110 §7.8, RFC 6455 §4). Never h2c: it would go past every check we make."""
WIRE: Final = object()
"""The protocol of llhttp's passes: httptools calls only the callbacks that it has, none."""


def canonical(raw: bytes) -> tuple[bytes, bytes]:
    """Return the head with its field for chunks, if it has one in form, as everybody writes it; and that in lower case."""
    lower = raw.lower()
    if b"\r\ntransfer-encoding:" in lower and (found := CHUNKED_LINE.search(lower)) is not None:
        raw = raw[: found.start()] + CANONICAL_CHUNKED + raw[found.end() :]
        lower = raw.lower()
    return raw, lower


def fields_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return (lower-cased name, whole line with its CRLF) of each field of a head that llhttp has accepted."""
    return [(line.partition(b":")[0].lower(), line + b"\r\n") for line in raw.split(b"\r\n")[1:-2]]


class ListTooLongError(RouterError):
    """A list that we have to read has more than LIST_MEMBERS_MAX members."""


def check_list(field: str, values: list[bytes]) -> None:
    """Raise ListTooLongError if these values of `field` together have too many members, empty ones counted: to read each of
    them costs 20 times what its bytes cost elsewhere.
    """
    if sum(value.count(b",") for value in values) >= LIST_MEMBERS_MAX:
        raise ListTooLongError("list_too_long", f"more than {LIST_MEMBERS_MAX} members of {field}")


def tokens_of(fields: list[tuple[bytes, bytes]], wanted: bytes) -> set[bytes]:
    """Return the members of a list-valued field, lower-cased (RFC 9110 §5.6.1); raise ListTooLongError."""
    values = [line[len(wanted) + 1 :] for name, line in fields if name == wanted]
    check_list(wanted.decode().title(), values)
    return {token.strip().lower() for value in values for token in value.split(b",")}


def names_websocket(fields: list[tuple[bytes, bytes]], tokens: set[bytes]) -> bool:
    """Return whether the fields ask for, or grant, the upgrade to WebSocket and to nothing unnamed by Connection."""
    return b"upgrade" in tokens and b"websocket" in tokens_of(fields, b"upgrade")
