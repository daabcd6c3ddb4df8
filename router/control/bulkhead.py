"""Bulkheads: bounded threads of their own for calls that may hang (the pattern of that name in "Release It!").

The event loop has a few shared threads, which resolve names and read files for probes and the gate. A name server or a disk
that hangs for a webhook must not occupy them. The threads are daemons: control exits without waiting for them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

from router.control.loop_calls import answering

EXPECTED: Final = (OSError, ValueError, RuntimeError)
"""Errors that a call may raise to its caller; any other is a bug, and its traceback goes to the log."""

Result = TypeVar("Result")


class BulkheadFull(Exception):
    """All threads of the bulkhead are in calls that have not returned."""


class Bulkhead:
    """At most `calls_max` calls at a time; a cancelled call counts until its function returns."""

    def __init__(self, name: str, calls_max: int) -> None:
        self._name = name
        self._free = threading.Semaphore(calls_max)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Return the result of `function`, or raise its error; raise BulkheadFull if `calls_max` calls have not returned."""
        if not self._free.acquire(blocking=False):
            raise BulkheadFull
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def releasing() -> Result:
            try:
                return function()
            finally:
                self._free.release()

        threading.Thread(target=answering(answer, releasing, EXPECTED), name=self._name, daemon=True).start()
        return await answer


class BulkheadResolver(AbstractResolver):
    """The resolver of an aiohttp connector, which resolves names in a bulkhead."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self._bulkhead = bulkhead

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raise OSError."""
        try:
            found = await self._bulkhead.call(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except BulkheadFull:
            raise OSError(None, "the name server hangs") from None
        return [
            ResolveResult(hostname=host, host=str(where[0]), port=int(where[1]), family=kind, proto=proto, flags=0)
            for kind, _, proto, _, where in found
        ]

    async def close(self) -> None:
        """Nothing to close."""
