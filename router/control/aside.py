"""A call that may hang, on a thread of its own: neither control's loop nor the threads that others share wait for it.

Names are resolved, and secrets read, for probes and for the gate by the loop's own few threads; a name server that hangs for
a webhook must not take these. The threads are daemons: control leaves without them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from router.errors import InternalError

EXPECTED: Final = (OSError, ValueError, RuntimeError)
"""What a call may raise to its caller; anything else is a bug, and its traceback goes to the log."""
Result = TypeVar("Result")


class Hanging(Exception):
    """An earlier call has not returned yet."""


class Aside:
    """At most `calls_max` calls under way; one that was given up counts until it returns."""

    def __init__(self, name: str, calls_max: int) -> None:
        self._name = name
        self._free = threading.Semaphore(calls_max)

    async def call(self, function: Callable[[], Result]) -> Result:
        """Return what `function` returns, or raise what it raises; raise Hanging if too many earlier ones hang."""
        if not self._free.acquire(blocking=False):
            raise Hanging
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
