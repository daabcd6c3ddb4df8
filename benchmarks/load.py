"""Open-loop load: a request every 1/rate s, independent of earlier responses (no coordinated omission).

Keep-alive connections as clients keep them: an idle one is used again, a further one is opened when none is idle. VARIANTS
different requests come from several ADDRESSES of 127.0.0.0/8: one request that fails, or one client, is no version that fails.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.backend import BODY, DONE, chunks

TIMEOUT_S: Final = 20.0
"""A client that has waited so long for its answer gives up."""
INFERENCE: Final = (
    b'{"id":"a5f1","inputs":[{"name":"features","shape":[1,8],"datatype":"FP32",'
    b'"data":[0.12,1.5,-0.25,3.75,0.5,-1.125,2.25,0.875]}],"top":[1,22]}'
)
VARIANTS: Final = 120
ADDRESSES: Final = tuple(f"127.0.0.{number}" for number in range(2, 8))
STREAM_END: Final = chunks(DONE) + b"0\r\n\r\n"
PENDING: Final = "pending"
OK: Final = "ok"


@dataclass(slots=True)
class Record:
    """One request. `begun_ns` is when it was due; outcome `ok` means 200 with the whole expected body.

    `served` is the version that the answer names.
    """

    begun_ns: int
    ended_ns: int = 0
    outcome: str = PENDING
    served: str = ""


class Load:
    """POSTs to 127.0.0.1:port/path at `rate` per second from `start` to `stop`; `records` in the order of beginning."""

    def __init__(
        self,
        port: int,
        path: str,
        rate: float,
        *,
        body: bytes = INFERENCE,
        addresses: tuple[str, ...] = ADDRESSES,
        variants: int = VARIANTS,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.records: list[Record] = []
        self.lateness_max_s = 0.0
        self._port = port
        self._period_s = 1 / rate
        self._timeout_s = timeout_s
        self._addresses = addresses
        self._opened = 0
        self._requests = [_request(port, path, body + b" " * number) for number in range(variants)]
        self._idle: list[_Connection] = []
        self._waiting: deque[tuple[Record, _Connection]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = True
        self._keep(self._fire_all())
        self._keep(self._give_up())

    async def stop(self) -> None:
        """Begin no more, wait until all have ended, close."""
        self._running = False
        while any(record.outcome == PENDING for record in self.records[-10_000:]):
            await asyncio.sleep(0.1)
        for task in self._tasks:
            task.cancel()
        for connection in self._idle:
            connection.abort()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fire_all(self) -> None:
        due = time.monotonic()
        while self._running:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            while (now := time.monotonic()) >= due:
                self.lateness_max_s = max(self.lateness_max_s, now - due)
                self._fire(Record(int(due * 1e9)))
                due += self._period_s

    def _fire(self, record: Record) -> None:
        self.records.append(record)
        if self._idle:
            self._send(self._idle.pop(), record)
        else:
            self._keep(self._connect(record))

    async def _connect(self, record: Record) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._opened += 1
            address = self._addresses[self._opened % len(self._addresses)]
            _, connection = await loop.create_connection(
                lambda: _Connection(self._idle), "127.0.0.1", self._port, local_addr=(address, 0)
            )
        except OSError:
            record.outcome, record.ended_ns = "connect_failed", time.monotonic_ns()
        else:
            self._send(connection, record)

    def _send(self, connection: _Connection, record: Record) -> None:
        self._waiting.append((record, connection))
        connection.ask(self._requests[len(self.records) % len(self._requests)], record)

    async def _give_up(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            oldest_ns = time.monotonic_ns() - int(self._timeout_s * 1e9)
            while self._waiting and (self._waiting[0][0].ended_ns or self._waiting[0][0].begun_ns < oldest_ns):
                record, connection = self._waiting.popleft()
                if record.outcome == PENDING:
                    connection.end("client_gave_up")
                    connection.abort()


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, idle: list[_Connection]) -> None:
        self._idle = idle
        self._record: Record | None = None
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self, request: bytes, record: Record) -> None:
        """Send one request; `record` learns how it ends."""
        self._record = record
        self._buffer = b""
        if self._transport is None or self._transport.is_closing():
            self.end("reset")
        else:
            self._transport.write(request)

    def end(self, outcome: str, served: str = "") -> None:
        """Note how the request under way ended, if there is one."""
        if self._record is not None:
            self._record.outcome, self._record.ended_ns = outcome, time.monotonic_ns()
            self._record.served = served
            self._record = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].decode("latin-1")
        fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in head.split("\r\n")[1:])}
        body = self._buffer[end + 4 :]
        if "transfer-encoding" in fields:
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif len(body) < int(fields.get("content-length", "0")):
            return
        self.end(_outcome(head, fields, body), fields.get("x-served-version", ""))
        if fields.get("connection", "").lower() == "close":
            self.abort()
        else:
            self._idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.end("cut" if self._buffer else "reset")
        if self in self._idle:
            self._idle.remove(self)


def _outcome(head: str, fields: dict[str, str], body: bytes) -> str:
    """Return `ok`, or the status and its origin: `500 by the backend`, `503 saturated by the router`."""
    status = head[9:12]
    if status == "200":
        return OK if body == BODY or (body.endswith(STREAM_END) and b'"content"' in body) else "wrong_body"
    code = fields.get("x-router-error")
    return f"{status} {code} by the router" if code else f"{status} by the backend"


def _request(port: int, path: str, body: bytes) -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), port, len(body), body)
    )
