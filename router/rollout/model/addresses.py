"""The addresses of a version: those of all its endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from router.rollout.model.endpoint import Endpoint

ADDRESSES_MAX: Final = 64
"""Addresses of a version that are used."""


class KnownNames(Protocol):
    """Knows addresses of names, as `Resolver`."""

    def known(self, host: str) -> list[str]:
        """Return the addresses of `host` as far as they are known."""


def addresses_of(endpoints: Sequence[Endpoint], names: KnownNames) -> list[tuple[Endpoint, str]]:
    """Return (endpoint, address) of each address that is used, at most ADDRESSES_MAX: of each endpoint as many as of the others,
    as far as it has them. The address is empty for a Unix socket, and for a name that is not resolved yet.
    """
    found = [names.known(endpoint.host) if endpoint.host else [] for endpoint in endpoints]
    longest = max((len(addresses) for addresses in found), default=0)
    pairs = [
        (number, endpoint, addresses[turn] if turn < len(addresses) else "")
        for turn in range(max(longest, 1))
        for number, (endpoint, addresses) in enumerate(zip(endpoints, found, strict=True))
        if turn < len(addresses) or turn == 0
    ]
    return [(endpoint, address) for _, endpoint, address in sorted(pairs[:ADDRESSES_MAX], key=lambda pair: pair[0])]


def family(address: str) -> int:
    """Return 4 or 6."""
    return 6 if ":" in address else 4
