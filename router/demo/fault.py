"""The faults of the demo's model server. One is chosen when the server is started."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable
from typing import Final, Literal, get_args

from aiohttp import web

from router.runtime import clock
from router.runtime.printable_json import json_bytes

Kind = Literal["none", "errors", "slow", "hang", "crash"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
CRASH_EXIT_CODE: Final = 70


def write_event(event: str, **facts: object) -> None:
    """Write an event as one JSON line to standard output, with its time (`monotonic_ns`, one clock on this machine)."""
    sys.stdout.write(json_bytes({"event": event, "monotonic_ns": clock.now_ns(), **facts}).decode() + "\n")
    sys.stdout.flush()


class Fault:
    """A fault that is off until `begin`. It affects inference only: the health page stays good.

    `share` (0 to 1) is the share of affected requests. They are drawn by a seeded generator.
    """

    def __init__(
        self, kind: Kind, *, share: float = 1.0, slow_by_s: float = 0.4, end_process: Callable[[int], None] = os._exit
    ) -> None:
        self._kind = kind
        self._share = share
        self._slow_by_s = slow_by_s
        self._end_process = end_process
        self._draw = random.Random(0)
        self.begun = False

    def begin(self) -> None:
        """Start the fault and write an event. A crash ends the process here, as a fault in C code would."""
        if self.begun or self._kind == "none":
            return
        self.begun = True
        write_event("fault_begun", fault=self._kind)
        if self._kind == "crash":
            self._end_process(CRASH_EXIT_CODE)

    async def apply(self) -> web.Response | None:
        """Return the answer to send instead of the model's; None to go on, possibly after a delay."""
        if not self.begun or self._draw.random() >= self._share:
            return None
        if self._kind == "errors":
            return web.json_response({"error": "the model could not be evaluated (demo fault: errors)"}, status=500)
        if self._kind == "slow":
            await asyncio.sleep(self._slow_by_s)
        elif self._kind == "hang":
            await asyncio.Event().wait()
        return None
