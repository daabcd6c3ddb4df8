"""How tests wait: for a condition, or for turns of the event loop. No other code of these tests sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Return as soon as `condition` is true."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.002)


async def turns(number: int = 1) -> None:
    """Let the event loop take so many turns. In one, bytes are written; in the next, the other side reads them."""
    for _ in range(number):
        await asyncio.sleep(0)
