"""Resolves names of endpoints to addresses, off the loop. The last good answer is kept while the name server does not answer."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable

log = logging.getLogger(__name__)


class Resolver:
    """The addresses of each name; a literal address resolves to itself."""

    def __init__(self) -> None:
        self._known: dict[str, list[str]] = {}

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of `host`, from the cache if it has resolved before; empty if it does not resolve."""
        known = self._known.get(host)
        return known if known is not None else await self._look_up(host)

    async def refresh(self, hosts: Iterable[str]) -> None:
        """Resolve each of these names again; forget all others."""
        wanted = set(hosts)
        for host in [host for host in self._known if host not in wanted]:
            del self._known[host]
        await asyncio.gather(*(self._look_up(host) for host in wanted if not _literal(host)))

    async def _look_up(self, host: str) -> list[str]:
        if _literal(host):
            self._known[host] = [host]
            return [host]
        try:
            answers = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            log.warning("name %s does not resolve, kept=%s: %s", host, self._known.get(host), error)
            return self._known.get(host, [])
        found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        if found != self._known.get(host):
            log.info("name %s resolves to %s", host, found)
        self._known[host] = found
        return found


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
