"""Clients of event streams: so many at once, each reads its stream to the end and counts the events."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

import uvloop

from benchmarks.peers.peer import Started
from benchmarks.program import BenchmarkError, cpu_s, tree, wakes

BODY: Final = b'{"model":"fraud","messages":[{"role":"user","content":"Score me."}],"stream":true}'
EVENT: Final = b"data: {"
SPREAD_S: Final = 0.5
"""The streams begin within this time, evenly, so that their events do not come in step."""
PATIENCE_S: Final = 60.0


class Stream(asyncio.Protocol):
    """One connection with one stream. `ended` becomes True at the last chunk, or raises what went wrong."""

    def __init__(self) -> None:
        self.events = 0
        self.ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._tail = b""
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from those of asyncio.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        whole = self._tail + data
        if not self._begun:
            if not whole.startswith(b"HTTP/1.1 200"):
                self._end(BenchmarkError(f"a stream was answered {whole[:200]!r}"))
                return
            self._begun = True
        # What could be the beginning of a marker is looked at again with the next data, never counted twice.
        self.events += whole.count(EVENT) - self._tail.count(EVENT)
        self._tail = whole[-(len(EVENT) - 1) :]
        if whole.endswith(b"0\r\n\r\n"):
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(None if self._begun and error is None else BenchmarkError(f"a stream was cut: {error!r}"))

    def _end(self, error: BenchmarkError | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(True)
        else:
            self.ended.set_exception(error)


def run(peer: str, started: Started, streams: int, chunks: int, interval_ms: int) -> dict[str, float]:
    """Return the CPU time per stream while `streams` run at once; raise unless every event has come."""
    return uvloop.run(_run(peer, started, streams, chunks, interval_ms))


async def _run(peer: str, started: Started, streams: int, chunks: int, interval_ms: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (started.port, len(BODY), BODY)
    )
    clients: list[Stream] = []
    try:
        for _ in range(streams):
            clients.append((await loop.create_connection(Stream, "127.0.0.1", started.port))[1])
        everyone = tree(started.program.pid)
        before, woken, begun = cpu_s(everyone), wakes(everyone), time.monotonic()
        for number, client in enumerate(clients):
            await asyncio.sleep(max(begun + SPREAD_S * number / streams - time.monotonic(), 0))
            assert client.transport is not None
            client.transport.write(request)
        patience_s = chunks * interval_ms / 1000 + PATIENCE_S
        await asyncio.wait_for(asyncio.gather(*(client.ended for client in clients)), patience_s)
        took_s, used_s = time.monotonic() - begun, cpu_s(everyone) - before
        woken = wakes(everyone) - woken
    except TimeoutError:
        raise BenchmarkError(f"{peer}: {sum(not c.ended.done() for c in clients)} streams did not end") from None
    except OSError as error:
        raise BenchmarkError(f"{peer}: {error!r}") from error
    finally:
        for client in clients:
            if client.ended.done() and not client.ended.cancelled():
                client.ended.exception()
            if client.transport is not None:
                client.transport.abort()
    short = sum(client.events < chunks for client in clients)
    if short:
        raise BenchmarkError(f"{peer}: {short} of {streams} streams have fewer than {chunks} events")
    return {
        "figure": round(used_s / streams * 1e6, 1),
        "wakes": round(woken / streams, 3),
        "seconds": round(took_s, 3),
        "late_s": round(took_s - SPREAD_S - (chunks - 1) * interval_ms / 1000, 3),
        "busy": round(used_s / took_s, 3),
    }
