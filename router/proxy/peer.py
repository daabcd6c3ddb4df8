"""Who the client of a connection is, and what the backend is told of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """`address` is an IP address or `unknown`; `scheme` is that of the connection, `http` or `https`."""

    address: str
    scheme: str

    @property
    def forwarded(self) -> bytes:
        """The forwarding fields of every request on this connection; made once, when it is."""
        return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n" % (self.address.encode(), self.scheme.encode())


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Return who is at the other end, as the kernel says."""
    name = transport.get_extra_info("peername")
    return Peer(name[0] if name else "unknown", "https" if transport.get_extra_info("ssl_object") else "http")
