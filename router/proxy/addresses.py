"""Addresses of peers, and the networks that contain them.

An address is a text without port and zone. It is UNIX for a peer on a Unix socket, and UNKNOWN if the peer has disconnected.
IPv4 in IPv6 (`::ffff:192.0.2.1`, as a socket for both shows it) is IPv4 everywhere: 192.0.2.0/24 covers these clients too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from router.tls.certificate_names import PresentedCertificate

UNIX: Final = "unix"
"""The address of every peer on a Unix socket, and in a list of networks: all of them."""

UNKNOWN: Final = "unknown"
"""The address of a peer that disconnected before its address was read; no network covers it."""

_V6: Final = rb"([0-9A-Fa-f.]*+:[0-9A-Fa-f:.]*)(?:%[0-9A-Za-z._~\-]{1,32})?"

_MEMBER: Final = re.compile(rb"([0-9.]{7,15})(?::\d{1,5})?|\[" + _V6 + rb"\](?::\d{1,5})?|" + _V6)
"""How proxies write an address: bare, or with a port (then IPv6 in brackets), perhaps with a zone (RFC 4007 §11)."""

_MAPPED: Final = bytes(10) + b"\xff\xff"


def address_of(member: bytes) -> str | None:
    """Return the address in one member of X-Forwarded-For, without its port, brackets and zone; None if it is malformed."""
    found = _MEMBER.fullmatch(member)
    if found is None:
        return None
    text = (found[1] or found[2] or found[3]).decode("ascii")
    packed = packed_of(text)
    return None if packed is None else text_of(packed)


def plain_address(text: str) -> str:
    """Return an address as the system writes it, without its zone, as IPv4 if it is IPv4 in IPv6; UNKNOWN if it is none."""
    packed = packed_of(text.partition("%")[0])
    return UNKNOWN if packed is None else text_of(packed)


def packed_of(text: str) -> bytes | None:
    """Return the four or sixteen bytes of an address in its strict form, IPv4 in IPv6 as IPv4; None if it is none."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed


def client_of(address: str) -> str:
    """Return the client of an address: an IPv4 address, the /64 of an IPv6 address, or any other text unchanged. A /64 is the
    least that one subscriber gets (RFC 6177 §2), and a single host may use any address of it.
    """
    packed = packed_of(address) if ":" in address else None
    return address if packed is None or len(packed) == 4 else f"{text_of(packed[:8] + bytes(8))}/64"


def text_of(packed: bytes) -> str:
    """Return the text of four or sixteen bytes."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


class Networks:
    """A list of CIDR networks and perhaps `unix`. An empty list covers no address."""

    def __init__(self, members: Iterable[str] = ()) -> None:
        """Raise ValueError for a member that is neither."""
        self._unix = False
        self._prefixes: list[tuple[int, int, int]] = []
        """(bytes of an address, number of bits that are not compared, value of the compared bits)."""
        for member in members:
            if member == UNIX:
                self._unix = True
                continue
            network = ipaddress.ip_network(member)
            size = network.max_prefixlen // 8
            free = network.max_prefixlen - network.prefixlen
            self._prefixes.append((size, free, int(network.network_address) >> free))

    def __bool__(self) -> bool:
        return self._unix or bool(self._prefixes)

    def covers(self, address: str) -> bool:
        """Return whether one of the networks contains this address."""
        if address == UNIX:
            return self._unix
        if not self._prefixes:
            return False
        packed = packed_of(address)
        if packed is None:
            return False
        size, number = len(packed), int.from_bytes(packed, "big")
        return any(size == width and number >> free == prefix for width, free, prefix in self._prefixes)


@dataclass(frozen=True, slots=True)
class Peer:
    """`address` is an IP address, UNIX or UNKNOWN; `scheme` is that of the connection, `http` or `https`. `shown`: the
    certificate with which another process made the connection, if this process has adopted it. `sender`: the address that sent
    the PROXY header with `address`; empty without a header.
    """

    address: str
    scheme: str
    shown: PresentedCertificate | None = None
    sender: str = ""


def peer_host(transport: asyncio.BaseTransport) -> str:
    """Return a peer's host as the kernel writes it, perhaps with a zone; UNIX or UNKNOWN if it has none. A TCP peer that has
    disconnected has no name either; it must not be mistaken for a Unix peer.
    """
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple) and name:
        return str(name[0])
    sock = transport.get_extra_info("socket")  # asked last: uvloop makes a Python object for it
    return UNIX if sock.family == socket.AF_UNIX else UNKNOWN


def peer_address(host: str) -> str:
    """Return the address of a peer with this `peer_host`."""
    return UNIX if host == UNIX else plain_address(host)
