"""Many busy connections, a process of its own: `python -m benchmarks.soak.busy PORT CONNECTIONS RATE SECONDS`.

The connections ask in turns, open loop: request number n is due at n/RATE s on connection n mod CONNECTIONS, whatever became of
the earlier ones, and its time runs from then. Says one line of JSON at the end: latencies in ms, errors by kind.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter, deque
from typing import Final, cast

import uvloop

from benchmarks.figures import quantile
from benchmarks.load import INFERENCE
from benchmarks.program import allow_many_files

SOURCE: Final = "127.0.0.3"
"""A loopback address of our own, so that its ports are: 28,000 of them."""
PATIENCE_S: Final = 20.0
TICK_S: Final = 0.001


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests that are due while one is under way wait, and their time runs."""

    def __init__(self, load: Busy) -> None:
        self._load = load
        self._due: deque[float] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from those of asyncio.
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, due_s: float) -> None:
        self._due.append(due_s)
        if len(self._due) == 1:
            self._send()

    def _send(self) -> None:
        if self._transport is None or self._transport.is_closing():
            self._end("reset")
        else:
            self._transport.write(self._load.request)

    def _end(self, error: str = "") -> None:
        due_s = self._due.popleft()
        self._load.ended(time.monotonic() - due_s, error)
        if self._due:
            self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        if end == 3:
            return
        head = self._buffer[:end].lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._buffer) >= end + length:
            status = self._buffer[9:12].decode("latin-1")
            self._buffer = self._buffer[end + length :]
            self._end("" if status == "200" else status)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._due:
            self._end("cut")

    def late(self) -> int:
        """Return how many requests were never answered."""
        return len(self._due)

    def abort(self) -> None:
        self._due.clear()
        if self._transport is not None:
            self._transport.abort()


class Busy:
    """The load of one run."""

    def __init__(self, port: int, rate: float) -> None:
        self._port = port
        self._rate = rate
        self.request = (
            b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (port, len(INFERENCE), INFERENCE)
        )
        self._latencies_s: list[float] = []
        self._errors: Counter[str] = Counter()
        self._under_way = 0

    def ended(self, seconds: float, error: str) -> None:
        """Note one request."""
        self._under_way -= 1
        self._latencies_s.append(seconds)
        if error:
            self._errors[error] += 1

    async def run(self, connections: int, seconds: float) -> dict[str, object]:
        """Open the connections, load, return the figures."""
        loop = asyncio.get_running_loop()
        opened = []
        for _ in range(connections):
            made = loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port, local_addr=(SOURCE, 0))
            opened.append((await made)[1])
        begun_s, number, lateness_s = time.monotonic() + 0.1, 0, 0.0
        total = round(self._rate * seconds)
        while number < total:
            now_s = time.monotonic()
            while number < total and (due_s := begun_s + number / self._rate) <= now_s:
                lateness_s = max(lateness_s, now_s - due_s)
                self._under_way += 1
                opened[number % connections].ask(due_s)
                number += 1
            await asyncio.sleep(TICK_S)
        until_s = time.monotonic() + PATIENCE_S
        while self._under_way and time.monotonic() < until_s:
            await asyncio.sleep(0.01)
        self._errors["unanswered"] += sum(connection.late() for connection in opened)
        for connection in opened:
            connection.abort()
        return self._figures(lateness_s)

    def _figures(self, lateness_s: float) -> dict[str, object]:
        shares = (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999), ("max_ms", 1.0))
        found: dict[str, object] = {name: round(quantile(self._latencies_s, share) * 1000, 3) for name, share in shares}
        errors = {name: count for name, count in self._errors.items() if count}
        return found | {
            "requests": len(self._latencies_s),
            "errors": errors,
            "lateness_max_ms": round(lateness_s * 1000, 3),
        }


if __name__ == "__main__":
    allow_many_files()
    port, connections, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    sys.stdout.write(json.dumps(uvloop.run(Busy(port, rate).run(connections, seconds))) + "\n")
