"""Calls that may hang, in threads of their own."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from router.control.bulkhead import Bulkhead, BulkheadFull, BulkheadResolver
from router.errors import InternalError
from tests.waiting import until


async def test_a_call_returns_or_raises_what_it_does() -> None:
    bulkhead = Bulkhead("a test", 1)
    assert await bulkhead.call(lambda: threading.current_thread().name) == "a test"
    with pytest.raises(OSError, match="no such"):
        await bulkhead.call(lambda: _raise(OSError("no such")))
    with pytest.raises(ValueError, match="bad"):
        await bulkhead.call(lambda: _raise(ValueError("bad")))
    assert await bulkhead.call(lambda: 1) == 1


async def test_a_bug_is_raised_and_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: logged.append(repr(args.exc_value)))
    with pytest.raises(InternalError, match="call_crashed"):
        await Bulkhead("a test", 1).call(lambda: _raise(KeyError("x")))
    await until(lambda: logged)
    assert logged == ["KeyError('x')"]


async def test_calls_that_hang_are_counted_until_they_return() -> None:
    bulkhead, go_on = Bulkhead("a test", 2), threading.Event()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await bulkhead.call(go_on.wait)
    with pytest.raises(BulkheadFull):
        await bulkhead.call(go_on.wait)
    go_on.set()
    await until(lambda: _free(bulkhead))


async def test_the_resolver_returns_addresses() -> None:
    [found] = await BulkheadResolver(Bulkhead("test", 1)).resolve("127.0.0.1", 80)
    assert (found["hostname"], found["host"], found["port"], found["family"]) == (
        "127.0.0.1",
        "127.0.0.1",
        80,
        socket.AF_INET,
    )


async def test_the_resolver_uses_the_threads_of_its_bulkhead(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def getaddrinfo(*_: object) -> list[object]:
        seen.append(threading.current_thread().name)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    bulkhead = Bulkhead("test", 1)
    assert await BulkheadResolver(bulkhead).resolve("models.example") == []
    assert seen == ["test"]
    answered = threading.Event()
    earlier = asyncio.ensure_future(bulkhead.call(lambda: answered.wait(10)))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="the name server hangs"):
        await BulkheadResolver(bulkhead).resolve("models.example")
    answered.set()
    assert await earlier


async def _free(bulkhead: Bulkhead) -> bool:
    try:
        return await bulkhead.call(lambda: True)
    except BulkheadFull:
        return False


def _raise(error: Exception) -> None:
    raise error
