"""Waiting for what another task, thread or process does. Tests wait for conditions and never for a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    """Return once `condition`, or what it returns to be awaited, is true; raise TimeoutError after `within_s`."""
    async with asyncio.timeout(within_s):
        while True:
            result = condition()
            if await result if inspect.isawaitable(result) else result:
                return
            await asyncio.sleep(0.002)
