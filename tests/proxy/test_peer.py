"""Who the client is, and what the backend is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.proxy.peer import Peer, peer_of


class Transport(asyncio.BaseTransport):
    """One with these facts."""


PEERS = {
    "plain": ({"peername": ("192.0.2.1", 4711)}, Peer("192.0.2.1", "http")),
    "version 6": ({"peername": ("2001:db8::1", 4711, 0, 0)}, Peer("2001:db8::1", "http")),
    "encrypted": ({"peername": ("192.0.2.1", 4711), "ssl_object": object()}, Peer("192.0.2.1", "https")),
    "already gone": ({}, Peer("unknown", "http")),
}


@pytest.mark.parametrize(("facts", "peer"), PEERS.values(), ids=PEERS)
def test_the_transport_knows(facts: dict[str, Any], peer: Peer) -> None:
    assert peer_of(Transport(facts)) == peer


def test_the_backend_is_told() -> None:
    assert Peer("192.0.2.1", "https").forwarded == b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n"
