from __future__ import annotations

import socket
import threading

import pytest

from router.control.bulkhead import Bulkhead, BulkheadResolver


async def test_addresses_as_a_connector_wants_them() -> None:
    [found] = await BulkheadResolver(Bulkhead("test", 1)).resolve("127.0.0.1", 80)
    assert (found["hostname"], found["host"], found["port"], found["family"]) == (
        "127.0.0.1",
        "127.0.0.1",
        80,
        socket.AF_INET,
    )


async def test_a_name_server_that_hangs_takes_no_thread_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def asked(*_: object) -> list[object]:
        seen.append(threading.current_thread().name)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    aside = Bulkhead("test", 1)
    assert await BulkheadResolver(aside).resolve("models.example") == []
    assert seen == ["test"]
    aside._free.acquire()  # an earlier call has not returned
    with pytest.raises(OSError, match="the name server hangs"):
        await BulkheadResolver(aside).resolve("models.example")
