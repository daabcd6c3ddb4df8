"""What can go wrong with a model server, chosen when it is started. It lives in that process alone."""

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


def note(event: str, **facts: object) -> None:
    """Write one JSON line to standard output: what happened, and when (`monotonic_ns`, one clock on this machine)."""
    sys.stdout.write(json_bytes({"event": event, "monotonic_ns": clock.now_ns(), **facts}).decode() + "\n")
    sys.stdout.flush()


class Fault:
    """Off until `begin`, unless told otherwise. Only inference suffers: the health page goes on saying that all is well.

    `share` (0 to 1) is the part of requests that suffer; which ones is drawn from a seeded generator.
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
        """From now on inference suffers; the change is noted. A crash ends the process here, as a fault in C would."""
        if self.begun or self._kind == "none":
            return
        self.begun = True
        note("fault_begun", fault=self._kind)
        if self._kind == "crash":
            self._end_process(CRASH_EXIT_CODE)

    async def suffer(self) -> web.Response | None:
        """Return the failed answer to give instead of the model's, or None: go on (perhaps later than one would like)."""
        if not self.begun or self._draw.random() >= self._share:
            return None
        if self._kind == "errors":
            return web.json_response({"error": "the model could not be evaluated (demo fault: errors)"}, status=500)
        if self._kind == "slow":
            await asyncio.sleep(self._slow_by_s)
        elif self._kind == "hang":
            await asyncio.Event().wait()
        return None
