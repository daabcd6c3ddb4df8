"""A call that may hang, on a thread of its own: neither control's loop nor the threads that others share wait for it.

Names are resolved, and secrets read, for probes and for the gate by the loop's own few threads; a name server that hangs for
a webhook must not take these. The threads are daemons: control leaves without them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp.abc import AbstractResolver, ResolveResult

from router.errors import InternalError

EXPECTED: Final = (OSError, ValueError, RuntimeError)
"""What a call may raise to its caller; anything else is a bug, and its traceback goes to the log."""

Result = TypeVar("Result")


class BulkheadFull(Exception):
    """An earlier call has not returned yet."""


class Bulkhead:
    """At most `calls_max` calls under way; one that was given up counts until it returns."""

    def __init__(self, name: str, calls_max: int) -> None:
        self._name = name
        self._free = threading.Semaphore(calls_max)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns, or raise what it raises; raise Hanging if too many earlier ones hang."""
        if not self._free.acquire(blocking=False):
            raise BulkheadFull
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def settle(error: Exception | None, result: Result | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # the same call has set it

        def work() -> None:
            error: Exception | None = InternalError("call_crashed", f"{self._name}: the log has its traceback")
            result: Result | None = None
            try:
                result = function()
                error = None
            except EXPECTED as caught:
                error = caught
            finally:
                self._free.release()
                try:
                    loop.call_soon_threadsafe(settle, error, result)
                except RuntimeError:  # the loop has ended: nobody waits any more
                    pass

        threading.Thread(target=work, name=self._name, daemon=True).start()
        return await answer


class BulkheadResolver(AbstractResolver):
    """What an aiohttp connector asks; `aside` bounds how many calls may hang."""

    def __init__(self, aside: Bulkhead) -> None:
        self._aside = aside

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`; raise OSError."""
        try:
            found = await self._aside.call(lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except BulkheadFull:
            raise OSError(None, "the name server hangs") from None
        return [
            ResolveResult(hostname=host, host=str(where[0]), port=int(where[1]), family=kind, proto=proto, flags=0)
            for kind, _, proto, _, where in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""
