"""Who is at the other end of a connection."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from router.certificate_names import Shown
from router.proxy.networks import UNIX, UNKNOWN, plain_address


@dataclass(frozen=True, slots=True)
class Peer:
    """`address` is an IP address, UNIX or UNKNOWN; `scheme` is that of the connection, `http` or `https`. `shown`: with which
    certificate another process made the connection, if we have taken it over.
    """

    address: str
    scheme: str
    shown: Shown | None = None


def peer_of(transport: asyncio.BaseTransport, announced: str = "") -> Peer:
    """Return who is at the other end: the `announced` address, or what the kernel says."""
    scheme = "https" if transport.get_extra_info("ssl_object") else "http"
    if announced:
        return Peer(announced, scheme)
    return Peer(socket_address(transport.get_extra_info("socket"), transport.get_extra_info("peername")), scheme)


def socket_address(sock: socket.socket, name: object) -> str:
    """Return the address in `name`, what the kernel calls the peer of `sock`. One that is gone already has no name, and must
    not pass for one on a Unix socket, which never has.
    """
    if isinstance(name, tuple) and name:
        return plain_address(str(name[0]))
    return UNIX if sock.family == socket.AF_UNIX else UNKNOWN
