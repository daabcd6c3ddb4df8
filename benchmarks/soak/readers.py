"""Clients of event streams that note each gap, a process of its own: `python -m benchmarks.soak.readers PORT STREAMS`.

Says `{"begun": N}` when each stream has begun, and one line of JSON when all have ended: the gaps
between the events of a stream, in ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Final, cast

import uvloop

from benchmarks.figures import quantile
from benchmarks.program import allow_many_files

BODY: Final = b'{"model":"fraud","messages":[{"role":"user","content":"Score me."}],"stream":true}'
SOURCE: Final = "127.0.0.4"
SPREAD_S: Final = 1.0
"""The streams begin within this time, evenly, so that their events do not come in step."""


class Reader(asyncio.Protocol):
    """One stream."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self.whole = False
        self.gaps_s: list[float] = []
        self._last_s = 0.0
        self._tail = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from those of asyncio.
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        if not self.begun.done():
            if not data.startswith(b"HTTP/1.1 200"):
                self._end()
                return
            self.begun.set_result(None)
        elif b"data: {" in data:
            self.gaps_s.append(now_s - self._last_s)
        self._last_s = now_s
        self._tail = (self._tail + data)[-5:]
        if self._tail == b"0\r\n\r\n":
            self.whole = True
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        for future in (self.begun, self.over):
            if not future.done():
                future.set_result(None)


def say(document: dict[str, object]) -> None:
    """Write one line that the benchmark reads."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def run(port: int, streams: int) -> None:
    """Read them all to their ends."""
    loop = asyncio.get_running_loop()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (port, len(BODY), BODY)
    )
    readers: list[Reader] = []
    for _ in range(streams):
        readers.append((await loop.create_connection(Reader, "127.0.0.1", port, local_addr=(SOURCE, 0)))[1])
    for reader in readers:
        assert reader.transport is not None
        reader.transport.write(request)
        await asyncio.sleep(SPREAD_S / streams)
    await asyncio.gather(*(reader.begun for reader in readers))
    say({"begun": streams})
    await asyncio.gather(*(reader.over for reader in readers))
    gaps_ms = [gap_s * 1000 for reader in readers for gap_s in reader.gaps_s]
    say(
        {
            "broken": sum(not reader.whole for reader in readers),
            "events": len(gaps_ms) + streams,
            "gap_p50_ms": round(quantile(gaps_ms, 0.5), 2),
            "gap_p99_ms": round(quantile(gaps_ms, 0.99), 2),
            "gap_max_ms": round(max(gaps_ms), 2),
        }
    )


if __name__ == "__main__":
    allow_many_files()
    uvloop.run(run(int(sys.argv[1]), int(sys.argv[2])))
