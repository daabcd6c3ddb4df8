"""Shared by request and response heads: fields, framing, and hop-by-hop fields (RFC 9110 §7.6.1)."""

from __future__ import annotations

import re
from typing import Final

from router.errors import RouterError

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
PLAIN, EVENT_STREAM, JSON_LINES, JSON, ENCODED_STREAM = range(5)
"""Kinds of response bodies, by Content-Type. Of an encoded body only a stream is told from the rest."""
PSEUDONYM: Final = b"rollback-router"
VIA: Final = b"Via: 1.1 %b\r\n" % PSEUDONYM
"""The field that a proxy adds to each message, with the received version (RFC 9110 §7.6.3), as a line of its own."""

CHUNKED_LINE: Final = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r\n")
CANONICAL_CHUNKED: Final = b"\r\nTransfer-Encoding: chunked\r\n"
"""The forwarded form of the coding. It is for one hop (RFC 9112 §6.1), and some recipients do not accept tabs or capitals."""
LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n")

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te upgrade http2-settings".split()
)
"""RFC 9110 §7.6.1. Transfer-Encoding is hop-by-hop, too, but the router keeps the framing, so it forwards the field in canonical
form. Trailer is not hop-by-hop (§6.6.2), and trailers are forwarded.
"""
ROUTER_FIELDS: Final = frozenset(
    b"""forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-real-ip
    x-served-version x-router-error""".split()
)
"""Fields that only the router sets. `forwarding.py` reads those of trusted proxies; a translation does not depend on trust."""
ROUTER_FIELDS_IN_RESPONSES: Final = frozenset((b"x-served-version", b"x-router-error"))
"""In a response only these are the router's; the others belong to the backend and are forwarded."""
NEVER_REMOVED: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type", b"x-request-id"))
"""Framing and routing fields, and the request ID: a Connection field cannot remove them."""
FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
LIST_MEMBERS_MAX: Final = 100
"""Largest number of members of Connection, Upgrade and Via, which are read member by member. It equals the number of fields,
because Connection names fields. A recipient need not accept many empty members (RFC 9110 §5.6.1.2).
"""
WEBSOCKET: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
"""The only upgrade that is forwarded (RFC 9110 §7.8, RFC 6455 §4). h2c would bypass every check of the router."""
WIRE: Final = object()
"""The protocol object of llhttp's passes. It has no callbacks, so httptools calls none."""


def canonical(raw: bytes) -> tuple[bytes, bytes]:
    """Return the head with a well-formed Transfer-Encoding in canonical form, and the same in lower case."""
    lower = raw.lower()
    if b"\r\ntransfer-encoding:" in lower and (found := CHUNKED_LINE.search(lower)) is not None:
        raw = raw[: found.start()] + CANONICAL_CHUNKED + raw[found.end() :]
        lower = raw.lower()
    return raw, lower


def fields_of(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Return (lower-cased name, whole line with its CRLF) of each field of a head that llhttp has accepted."""
    return [(line.partition(b":")[0].lower(), line + b"\r\n") for line in raw.split(b"\r\n")[1:-2]]


class ListTooLongError(RouterError):
    """A list field has more than LIST_MEMBERS_MAX members."""


def check_list(field: str, values: list[bytes]) -> None:
    """Raise ListTooLongError if these values of `field` together have too many members, including empty ones.

    Reading a member costs 20 times as much as the same bytes elsewhere.
    """
    if sum(value.count(b",") for value in values) >= LIST_MEMBERS_MAX:
        raise ListTooLongError("list_too_long", f"more than {LIST_MEMBERS_MAX} members of {field}")


def tokens_of(fields: list[tuple[bytes, bytes]], field: bytes) -> set[bytes]:
    """Return the members of a list-valued field, lower-cased (RFC 9110 §5.6.1); raise ListTooLongError."""
    values = [line[len(field) + 1 :] for name, line in fields if name == field]
    check_list(field.decode().title(), values)
    return {token.strip().lower() for value in values for token in value.split(b",")}


def names_websocket(fields: list[tuple[bytes, bytes]], tokens: set[bytes]) -> bool:
    """Return whether Upgrade has WebSocket and Connection names Upgrade: the upgrade is requested, or granted."""
    return b"upgrade" in tokens and b"websocket" in tokens_of(fields, b"upgrade")
