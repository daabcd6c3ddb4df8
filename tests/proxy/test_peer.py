"""Who is at the other end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from router.proxy.addresses import UNIX, UNKNOWN, peer_address, peer_host


class Socket:
    """One of this family."""

    def __init__(self, family: int) -> None:
        self.family = family


class Transport(asyncio.BaseTransport):
    """It knows these facts, and fails if it is asked for another."""

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__()
        self._facts = facts

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._facts[name]


TCP, LOCAL = Socket(socket.AF_INET6), Socket(socket.AF_UNIX)
PEERS: dict[str, tuple[dict[str, Any], str]] = {
    "plain": ({"peername": ("192.0.2.1", 4711)}, "192.0.2.1"),
    "version 6": ({"peername": ("2001:db8::1", 4711, 0, 0)}, "2001:db8::1"),
    "4 in 6": ({"peername": ("::ffff:192.0.2.1", 4711, 0, 0)}, "192.0.2.1"),
    "with a zone": ({"peername": ("fe80::1%eth0", 4711, 0, 2)}, "fe80::1"),
    "already gone": ({"peername": None, "socket": TCP}, UNKNOWN),
    "Unix socket": ({"peername": "", "socket": LOCAL}, UNIX),
    "Unix socket with a name": ({"peername": b"\0x", "socket": LOCAL}, UNIX),
}


@pytest.mark.parametrize(("facts", "address"), PEERS.values(), ids=PEERS)
def test_the_transport_knows(facts: dict[str, Any], address: str) -> None:
    """Where there is a name, nothing asks for the socket: uvloop makes a Python object for it."""
    assert peer_address(peer_host(Transport(facts))) == address
