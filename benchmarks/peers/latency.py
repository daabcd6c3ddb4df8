"""Latency under an open loop: a request is due every 1/rate s whatever became of the earlier ones.

The time of a request runs from when it was due, so a stall counts for all that should have been sent in it (no
coordinated omission). One thread, select(2) with its microseconds; asyncio's timers are rounded up to whole milliseconds.
"""

from __future__ import annotations

import gc
import select
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from benchmarks.figures import quantile
from benchmarks.program import BenchmarkError

CONNECTIONS_MAX: Final = 400
"""More at once means that the peer does not keep up: its latency would be the length of the run."""
PATIENCE_S: Final = 10.0
SHARES: Final = (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))
BODY: Final = (
    b'{"model":"fraud","messages":[{"role":"user","content":"Score 0.12, 1.5, -0.25, 3.75, 0.5, -1.125 for me."}],'
    b'"max_tokens":16,"stream":false}'
)


@dataclass(slots=True)
class Client:
    """One connection; `due_s` is when the request under way should have been sent."""

    socket: socket.socket
    due_s: float = 0.0
    buffer: bytes = b""


@dataclass(slots=True)
class OpenLoop:
    """The load on one port. `latencies_us` in the order in which the answers came."""

    port: int
    rate: float
    path: str = "/v1/chat/completions"
    queueing: bool = False
    """Whether what is due beyond CONNECTIONS_MAX waits for a free connection, its time running, instead of ending the run."""
    latencies_us: list[float] = field(default_factory=list)
    lateness_max_s: float = 0.0
    """How late a request was sent at most: what the generator itself could not do better."""
    _idle: list[Client] = field(default_factory=list)
    _busy: dict[int, Client] = field(default_factory=dict)
    _queue: deque[float] = field(default_factory=deque)

    def run(self, seconds: float) -> None:
        """Send for so long, then wait for the last answers."""
        request = (
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (self.path.encode(), self.port, len(BODY), BODY)
        )
        left = round(self.rate * seconds)
        period_s = 1 / self.rate
        gc.disable()
        try:
            due_s = time.monotonic() + period_s
            while left or self._busy or self._queue:
                now_s = time.monotonic()
                while left and now_s >= due_s:
                    self.lateness_max_s = max(self.lateness_max_s, now_s - due_s)
                    self._send(request, due_s)
                    left -= 1
                    due_s += period_s
                if not left and now_s > due_s + PATIENCE_S:
                    raise BenchmarkError(f"{len(self._busy)} requests were not answered in {PATIENCE_S:g} s")
                wait_s = max(due_s - time.monotonic(), 0) if left else 0.1
                for number in select.select(list(self._busy), [], [], wait_s)[0]:
                    self._read(number)
                while self._queue and len(self._busy) < CONNECTIONS_MAX:
                    self._send(request, self._queue.popleft())
        finally:
            gc.enable()
            for client in [*self._idle, *self._busy.values()]:
                client.socket.close()

    def _send(self, request: bytes, due_s: float) -> None:
        if len(self._busy) >= CONNECTIONS_MAX:
            if self.queueing:
                self._queue.append(due_s)
                return
            raise BenchmarkError(f"does not keep up with {self.rate:g} requests/s: {CONNECTIONS_MAX} wait")
        client = self._idle.pop() if self._idle else self._connect()
        client.due_s, client.buffer = due_s, b""
        self._busy[client.socket.fileno()] = client
        client.socket.sendall(request)

    def _connect(self) -> Client:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(connection)

    def _read(self, number: int) -> None:
        client = self._busy[number]
        data = client.socket.recv(65536)
        if not data:
            raise BenchmarkError(f"a request was not answered: {client.buffer[:100]!r}, then the end")
        client.buffer += data
        if complete(client.buffer):
            self.latencies_us.append((time.monotonic() - client.due_s) * 1e6)
            del self._busy[number]
            self._idle.append(client)


def complete(response: bytes) -> bool:
    """Say whether a response is there as a whole; raise on a status other than 200."""
    end = response.find(b"\r\n\r\n")
    if end < 0:
        return False
    if not response.startswith(b"HTTP/1.1 200"):
        raise BenchmarkError(f"a request was answered {response[:100]!r}")
    head = response[: end + 2].lower()
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if found:
        return len(response) >= end + 4 + int(rest.partition(b"\r\n")[0])
    return response.endswith(b"0\r\n\r\n")


def run(port: int, rate: float, seconds: float) -> dict[str, float]:
    """Warm up for half a second, then return the quantiles in µs of `seconds` at `rate` requests per second."""
    OpenLoop(port, rate).run(0.5)
    load = OpenLoop(port, rate)
    load.run(seconds)
    values = {name: round(quantile(load.latencies_us, share), 1) for name, share in SHARES}
    return values | {"lateness_max_us": round(load.lateness_max_s * 1e6, 1)}


def added(through: dict[str, float], direct: dict[str, float]) -> dict[str, float]:
    """Return the quantiles with what each is above the direct one of the same round; the figure is the added p99."""
    more = {f"added_{name}": round(through[name] - direct[name], 1) for name, _ in SHARES}
    return {"figure": more["added_p99_us"], **more, **through}
