"""Hosts in the form in which they are compared: in requests, settings, SNI and certificates (RFC 3986 §3.2.2, §6.2.2).

Capitals, a final dot, percent-encoded letters, digits, `-`, `.`, `_` and `~`, and the notation of an IPv6 address make no
difference. A port makes none either: a balancer or a forwarded port may change it. Nothing else is converted: a name in Unicode
is no host, its `xn--` form is (RFC 5890), and `127.1` is a name.
"""

from __future__ import annotations

import re
import socket
from typing import Final

AUTHORITY_BYTES_MAX: Final = 1024
"""A DNS name has at most 255 bytes (RFC 1035 §2.3.4), each perhaps percent-encoded."""
_AUTHORITY: Final = re.compile(
    rb"((?:[A-Za-z0-9._~!$&'()*+;=\-]++|%[0-9A-Fa-f]{2})++|\[([0-9A-Fa-f:.]{2,45})\])(?::(\d{0,5}))?"
)
_PORT_MAX: Final = 65535
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_ORIGIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^\s/?#@\\]{1,300})/?")
_ENCODED: Final = re.compile(r"%([0-9a-f]{2})")
_UNRESERVED: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._~")


def host_of(authority: bytes) -> bytes | None:
    """Return the host of `HOST[:PORT]` in the form for comparison, an IPv6 address without brackets; None if it is malformed.

    A user (`user@host`) and an empty host are malformed (RFC 9110 §4.2.4, §4.2.1).
    """
    found = _AUTHORITY.fullmatch(authority) if len(authority) <= AUTHORITY_BYTES_MAX else None
    if found is None or int(found[3] or 0) > _PORT_MAX:
        return None
    if found[2] is None:
        return comparable(found[1].decode()).encode()
    address = _ipv6(found[2].decode())
    return None if address is None else address.encode()


def comparable(host: str) -> str:
    """Return a name, or an address without brackets, in the form for comparison. At most one final dot is removed."""
    host = host.lower()
    if ":" in host:
        return _ipv6(host) or host
    if "%" in host:
        host = _ENCODED.sub(_decoded, host)
    return host[:-1] if len(host) > 1 and host.endswith(".") else host


def _decoded(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16)).lower()
    return character if character in _UNRESERVED else found[0]


def _ipv6(text: str) -> str | None:
    """Return an IPv6 address in its canonical notation (RFC 5952); None if it is none."""
    try:
        return socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, text))
    except (OSError, ValueError):
        return None


def setting_host(value: str) -> str:
    """Return a host of the settings, as it is compared, IPv6 in brackets; raise ValueError with the right spelling."""
    if not value.isascii():
        raise ValueError(f"{value!r} is not in ASCII: write it as clients send it, in its xn-- form")
    host = host_of(value.encode())
    if host is None:
        hint = f"write it as [{value}]" if _ipv6(value) else "write it as fraud.example.com or [2001:db8::1]"
        raise ValueError(f"{value!r} is not a host name: {hint}")
    if value.rpartition("]")[2].count(":"):
        raise ValueError(f"{value!r} has a port, and a host answers on every port: leave it out")
    if not re.fullmatch(rb"[a-z0-9._\-]+|[0-9a-f:.]+", host):
        raise ValueError(f"{value!r} is not a host name: use letters, digits, '.', '_' and '-'")
    return f"[{host.decode()}]" if b":" in host else host.decode()


def origin_of(scheme: str, authority: str) -> str:
    """Return the origin of a page as its browser sends it: in lower case, without the default port (RFC 6454 §6.2)."""
    scheme, authority = scheme.lower(), authority.lower()
    return f"{scheme}://{authority.removesuffix(_DEFAULT_PORTS.get(scheme, ''))}"


def setting_origin(value: str) -> str:
    """Return an origin of the settings as browsers send it; raise ValueError with the right spelling."""
    found = _ORIGIN.fullmatch(value) if value.isascii() else None
    if found is None:
        shown = "it" if "@" in value else repr(value)
        raise ValueError(f"{shown} is no origin: write it as https://ops.example.com, with a port but without a path")
    return origin_of(found[1], found[2])
