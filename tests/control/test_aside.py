"""Calls that may hang."""

from __future__ import annotations

import asyncio
import threading

import pytest

from router.control.bulkhead import Bulkhead, BulkheadFull
from router.errors import InternalError


async def test_a_call_returns_or_raises_what_it_does() -> None:
    aside = Bulkhead("a test", 1)
    assert await aside.call(lambda: threading.current_thread().name) == "a test"
    with pytest.raises(OSError, match="no such"):
        await aside.call(lambda: _raise(OSError("no such")))
    with pytest.raises(ValueError, match="bad"):
        await aside.call(lambda: _raise(ValueError("bad")))
    assert await aside.call(lambda: 1) == 1


async def test_a_bug_is_told_and_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(repr(args.exc_value)))
    with pytest.raises(InternalError, match="call_crashed"):
        await Bulkhead("a test", 1).call(lambda: _raise(KeyError("x")))
    async with asyncio.timeout(5):
        while not told:
            await asyncio.sleep(0.002)
    assert told == ["KeyError('x')"]


async def test_calls_that_hang_are_counted_until_they_return() -> None:
    aside, go_on = Bulkhead("a test", 2), threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await aside.call(go_on.wait)
    with pytest.raises(BulkheadFull):
        await aside.call(go_on.wait)
    go_on.set()
    async with asyncio.timeout(5):
        while not await _free(aside):
            await asyncio.sleep(0.002)


async def _free(aside: Bulkhead) -> bool:
    try:
        return await aside.call(lambda: True)
    except BulkheadFull:
        return False


def _raise(error: Exception) -> None:
    raise error
