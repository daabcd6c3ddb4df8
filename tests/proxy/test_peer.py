"""Who is at the other end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from router.proxy.addresses import UNIX, UNKNOWN, Peer, peer_of


class Socket:
    """One of this family."""

    def __init__(self, family: int) -> None:
        self.family = family


TCP, LOCAL = Socket(socket.AF_INET6), Socket(socket.AF_UNIX)
PEERS: dict[str, tuple[dict[str, Any], Peer]] = {
    "plain": ({"peername": ("192.0.2.1", 4711), "socket": TCP}, Peer("192.0.2.1", "http")),
    "version 6": ({"peername": ("2001:db8::1", 4711, 0, 0), "socket": TCP}, Peer("2001:db8::1", "http")),
    "4 in 6": ({"peername": ("::ffff:192.0.2.1", 4711, 0, 0), "socket": TCP}, Peer("192.0.2.1", "http")),
    "with a zone": ({"peername": ("fe80::1%eth0", 4711, 0, 2), "socket": TCP}, Peer("fe80::1", "http")),
    "encrypted": (
        {"peername": ("192.0.2.1", 4711), "ssl_object": object(), "socket": TCP},
        Peer("192.0.2.1", "https"),
    ),
    "already gone": ({"socket": TCP}, Peer(UNKNOWN, "http")),
    "Unix socket": ({"peername": "", "socket": LOCAL}, Peer(UNIX, "http")),
    "Unix socket with a name": ({"peername": b"\0x", "socket": LOCAL}, Peer(UNIX, "http")),
}


@pytest.mark.parametrize(("facts", "peer"), PEERS.values(), ids=PEERS)
def test_the_transport_knows(facts: dict[str, Any], peer: Peer) -> None:
    assert peer_of(asyncio.BaseTransport(facts)) == peer
