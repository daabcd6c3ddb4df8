"""A data plane that stays for many examples, on a loop of its own: one costs a millisecond instead of fifty."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from tests.proxy.recorder import Wire
from tests.proxy.rig import Rig
from tests.proxy.waiting import turns

QUIET_TURNS = 25
"""Turns of the loop without a byte after which nothing more will come: all sockets are this loop's own."""
Result = TypeVar("Result")


class PersistentRig:
    """`rig` before `backend`, whose `moved` grows with each byte; what goes wrong in a callback fails the next `run`."""

    def __init__(self, backend: Any, rig: Rig) -> None:
        self.backend = backend
        self.rig = rig
        self._loop = uvloop.new_event_loop()
        self._errors: list[dict[str, Any]] = []
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._loop.set_exception_handler(lambda _, context: self._errors.append(context))
        self._loop.run_until_complete(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.close()

    async def _open(self) -> None:
        await self._stack.enter_async_context(self.backend)
        await self._stack.enter_async_context(self.rig)
        self.rig.serve(self.backend.url)

    def run(self, example: Coroutine[Any, Any, Result]) -> Result:
        """Run one example to its end."""
        found = self._loop.run_until_complete(example)
        assert self._errors == []
        return found

    async def still(self, wire: Wire) -> None:
        """Return when nothing has moved for a while."""
        quiet, before = 0, (-1, -1)
        while quiet < QUIET_TURNS:
            await turns()
            now = len(wire.written), self.backend.moved
            quiet = quiet + 1 if now == before else 0
            before = now
