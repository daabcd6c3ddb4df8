"""Names of others (webhooks, MLflow), resolved aside: a name server that hangs for them must not take the threads of the gate."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from router.control.aside import Aside, Hanging


class AsideResolver(AbstractResolver):
    """What an aiohttp connector asks; `aside` bounds how many calls may hang."""

    def __init__(self, aside: Aside) -> None:
        self._aside = aside

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raise OSError."""
        try:
            found = await self._aside.call(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except Hanging:
            raise OSError(None, "the name server hangs") from None
        return [
            ResolveResult(hostname=host, host=str(where[0]), port=int(where[1]), family=kind, proto=proto, flags=0)
            for kind, _, proto, _, where in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""
