"""Resolves names of endpoints to addresses, off the loop. The last good answer is kept while the name server does not answer.

A name server may give a few of many addresses in each answer, in any order. So an address leaves only once ABSENT_ANSWERS
answers in a row were without it, or all answers for ABSENT_S, and the log has a line only if the set changes.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from router.runtime import clock

log = logging.getLogger(__name__)

ABSENT_ANSWERS: Final = 3
ABSENT_S: Final = 60.0
ADDRESSES_MAX: Final = 64
"""Addresses of a name that are used."""
LOOK_UP_TIMEOUT_S: Final = 10.0


@dataclass(slots=True)
class _Name:
    """The addresses of one name: the time of the last answer that had it, and how many answers since were without it."""

    seen: dict[str, tuple[float, int]] = field(default_factory=dict)

    def update(self, answer: Sequence[str], now_s: float) -> bool:
        """Add an answer; return whether the set of addresses has changed."""
        before = set(self.seen)
        for address, (seen_s, absent) in list(self.seen.items()):
            if address not in answer:
                self.seen[address] = (seen_s, absent + 1)
                if absent + 1 >= ABSENT_ANSWERS or now_s - seen_s >= ABSENT_S:
                    del self.seen[address]
        for address in answer:
            if address in self.seen or len(self.seen) < ADDRESSES_MAX:
                self.seen[address] = (now_s, 0)
        return set(self.seen) != before


class Resolver:
    """The addresses of each name; a literal address resolves to itself. `changes` counts changes of any set of addresses."""

    def __init__(self) -> None:
        self.changes = 0
        self._names: dict[str, _Name] = {}

    def known(self, host: str) -> list[str]:
        """Return the addresses of `host` as far as they are known, the preferred family first; without a look-up."""
        if _literal(host):
            return [host]
        name = self._names.get(host)
        return list(name.seen) if name is not None else []

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of `host`, from the cache if it has resolved before; empty if it does not resolve."""
        return self.known(host) or await self._look_up(host)

    async def refresh(self, hosts: Iterable[str]) -> None:
        """Resolve each of these names again; forget all others."""
        wanted = set(hosts)
        for host in [host for host in self._names if host not in wanted]:
            del self._names[host]
        await asyncio.gather(*(self._look_up(host) for host in wanted if not _literal(host)))

    async def _look_up(self, host: str) -> list[str]:
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:  # TimeoutError is one
            log.warning("name %s does not resolve, kept=%s: %s", host, self.known(host), error)
            return self.known(host)
        found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        name = self._names.setdefault(host, _Name())
        if name.update(found, clock.now_s()):
            self.changes += 1
            log.info("name %s resolves to %s", host, self.known(host))
        return self.known(host)


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
