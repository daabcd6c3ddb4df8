"""Scripted model servers on loopback: each does exactly one thing to its clients and keeps every raw request it got.

A behaviour is a coroutine function of one connection. It may be exchanged while the backend runs (`backend.behaviour = …`);
connections that are open keep the old one, so `answering` asks for the present one at each request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request as it arrived. `head` ends with the empty line; `body` is undecoded (chunks and all); `connection` counts."""

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    def field(self, name: str) -> bytes | None:
        """Return the first value of a header field, None without it."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip()
        return None


class Connection:
    """One connection of a client, as a behaviour sees it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, backend: Backend
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.backend = backend

    async def read_head(self) -> bytes:
        """Return the next head; raise IncompleteReadError when the client has closed instead."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def read_body(self, head: bytes) -> bytes:
        """Return the body that belongs to `head`, undecoded."""
        request = RawRequest(head, b"", self.number)
        if (length := request.field("content-length")) is not None:
            return await self.reader.readexactly(int(length))
        if request.field("transfer-encoding") is None:
            return b""
        body = b""
        while True:
            line = await self.reader.readuntil(b"\r\n")
            body += line
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while (trailer := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                    body += trailer
                return body + b"\r\n"
            body += await self.reader.readexactly(size + 2)

    async def read_request(self) -> RawRequest:
        """Return the next whole request; it is also recorded by the backend."""
        head = await self.read_head()
        request = RawRequest(head, await self.read_body(head), self.number)
        self.backend.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def closed(self) -> None:
        """Return when the client has closed."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """End with a RST instead of a FIN."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None:  # it is None once the other side has ended the connection
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Send FIN; go on reading."""
        self.writer.write_eof()


Behaviour = Callable[[Connection], Awaitable[None]]
Answer = Callable[[Connection, RawRequest], Awaitable[None]]


@dataclass
class Backend:
    """A server with a behaviour. `requests` are whole requests in order of arrival; `connections` ever accepted."""

    behaviour: Behaviour
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    open: set[Connection] = field(default_factory=set)
    port: int = 0
    tls: ssl.SSLContext | None = None
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Self:
        """Listen on a free port, or again on the one it had."""
        where = ("127.0.0.1", self.port)
        self._server = await asyncio.start_server(self._serve, *where, backlog=1024, limit=1 << 22, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Refuse new connections and reset the open ones."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self.open):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(reader, writer, self.connections, self)
        self.open.add(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.behaviour(connection)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open.discard(connection)
            self._tasks.discard(task)
            writer.close()


# -- answers
def response(
    status: int = 200, body: bytes = b"ok", *fields: str, reason: str = "X", content_type: str = "text/plain"
) -> bytes:
    """Return a whole response with Content-Length; `fields` are further header lines."""
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


# -- behaviours that answer each request of a connection
def answering(answer: Answer) -> Behaviour:
    """Answer each request; as soon as the backend has another behaviour, the connection goes on with that one."""

    async def behave(connection: Connection) -> None:
        while True:
            request = await connection.read_request()
            present = connection.backend.behaviour
            await getattr(present, "answer", answer)(connection, request)
            if (request.field("connection") or b"").lower() == b"close":
                return

    behave.answer = answer  # type: ignore[attr-defined]
    return behave


def ok(body: bytes = b"ok", *fields: str) -> Behaviour:
    return status(200, body, *fields)


def status(code: int, body: bytes = b"answer", *fields: str) -> Behaviour:
    async def answer(connection: Connection, request: RawRequest) -> None:
        bodiless = request.line.startswith(b"HEAD ") or code in (204, 304)
        whole = response(code, body, *fields)
        await connection.send(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if bodiless else whole)

    return answering(answer)


def bodiless(code: int = 204) -> Behaviour:
    """Answer with a status that has no body and no Content-Length (RFC 9112 §6.3)."""
    return sending(b"HTTP/1.1 %d X\r\n\r\n" % code)


def echo() -> Behaviour:
    """Answer with the raw request as the body."""

    async def answer(connection: Connection, request: RawRequest) -> None:
        await connection.send(response(200, request.raw, content_type="application/octet-stream"))

    return answering(answer)


def sending(raw: bytes) -> Behaviour:
    """Answer each request with these bytes and keep the connection open: garbage, two lengths, 1xx, extra bytes, …"""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(raw)

    return answering(answer)


def slow(seconds: float, body: bytes = b"ok") -> Behaviour:
    async def answer(connection: Connection, _: RawRequest) -> None:
        await asyncio.sleep(seconds)
        await connection.send(response(200, body))

    return answering(answer)


def failing_share(share: float, body: bytes = b"ok", code: int = 500) -> Behaviour:
    """Fail evenly: of each hundred requests `100 × share` get `code`."""
    due = 0.0

    async def answer(connection: Connection, _: RawRequest) -> None:
        nonlocal due
        due += share
        failed = due >= 1.0
        due -= failed
        await connection.send(response(code, b"failed") if failed else response(200, body))

    return answering(answer)


def tokens(count: int, interval_s: float, text: bytes = b"data: token\n\n", end: bytes = LAST_CHUNK) -> Behaviour:
    """Stream `count` events, one each `interval_s`."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(CHUNKED)
        for _number in range(count):
            await connection.send(chunk(text))
            await asyncio.sleep(interval_s)
        await connection.send(end)

    return answering(answer)


def event_stream(*events: bytes, every_s: float = 0.0, ends: bool = True) -> Behaviour:
    """Stream these events, one each `every_s`; then end the stream, or repeat the last one until the client leaves."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(CHUNKED)
        for event in events:
            await connection.send(chunk(event))
            await asyncio.sleep(every_s)
        while not ends:
            await _pause(connection, every_s or 3600)
            await connection.send(chunk(events[-1] if events else b": keep-alive\n\n"))
        await connection.send(LAST_CHUNK)

    return answering(answer)


async def _pause(connection: Connection, seconds: float) -> None:
    """Wait, but no longer than the client stays."""
    try:
        async with asyncio.timeout(seconds):
            await connection.closed()
    except TimeoutError:
        return
    raise ConnectionResetError


def keep_alive(every_s: float = 0.2) -> Behaviour:
    """Stream nothing but comments until the client leaves."""
    return event_stream(b": keep-alive\n\n", every_s=every_s, ends=False)


def silent_stream() -> Behaviour:
    """Send the head of an event stream, then nothing."""
    return event_stream(ends=False)


def by_path(default: Behaviour, **others: Behaviour) -> Behaviour:
    """Answer requests whose target holds `name` as `others[name]` does, all else as `default` does."""

    async def answer(connection: Connection, request: RawRequest) -> None:
        target = request.line.split(b" ")[1]
        chosen = next((found for name, found in others.items() if name.encode() in target), default)
        await chosen.answer(connection, request)  # type: ignore[attr-defined]

    return answering(answer)


def poisoned(rest: Behaviour, mark: bytes = b"poison") -> Behaviour:
    """Answer requests whose body holds `mark` with 500, all else as `rest` does."""

    async def answer(connection: Connection, request: RawRequest) -> None:
        chosen = status(500) if mark in request.body else rest
        await chosen.answer(connection, request)  # type: ignore[attr-defined]

    return answering(answer)


def interim(code: int = 103, times: int = 1, body: bytes = b"ok") -> Behaviour:
    """Send 1xx responses before the final one (RFC 9110 §15.2)."""
    return sending(b"HTTP/1.1 %d Interim\r\nLink: </a>\r\n\r\n" % code * times + response(200, body))


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Answer the first request as the first behaviour does, and so on; then always as the last one."""
    waiting = list(behaviours)

    async def answer(connection: Connection, request: RawRequest) -> None:
        chosen = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        await chosen.answer(connection, request)  # type: ignore[attr-defined]

    return answering(answer)


# -- behaviours of the connection
def never() -> Behaviour:
    """Accept, read, never answer."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.closed()

    return answering(answer)


def reset_at_accept() -> Behaviour:
    async def behave(connection: Connection) -> None:
        connection.reset()

    return behave


def cut_after(raw: bytes, at: int, *, reset: bool = False) -> Behaviour:
    """Send the first `at` bytes of `raw`, then close, or reset."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(raw[:at])
        if reset:
            await asyncio.sleep(0.02)  # let the bytes leave: a reset discards what is still queued
            connection.reset()
        connection.writer.close()
        raise ConnectionResetError

    return answering(answer)


def drip(raw: bytes, pause_s: float) -> Behaviour:
    """Send `raw` a byte at a time, with a pause after each."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        for at in range(len(raw)):
            await connection.send(raw[at : at + 1])
            await asyncio.sleep(pause_s)
        await connection.closed()

    return answering(answer)


def stall_after(raw: bytes, at: int) -> Behaviour:
    """Send the first `at` bytes of `raw`, then nothing."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(raw[:at])
        await connection.closed()

    return answering(answer)


def half_closing(raw: bytes) -> Behaviour:
    """Answer, send FIN at once, keep reading."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(raw)
        connection.half_close()
        await connection.closed()

    return answering(answer)


def close_delimited(body: bytes) -> Behaviour:
    """Answer without a length: the end of the connection is the end of the body (RFC 9112 §6.3)."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body
    return cut_after(raw, len(raw))


def closing_idle(body: bytes = b"ok", idle_s: float = 0.0, fields: tuple[str, ...] = ()) -> Behaviour:
    """Promise keep-alive, then close `idle_s` after each answer unless the next request came first."""

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        while True:
            await connection.send(response(200, body, *fields))
            try:
                await asyncio.wait_for(connection.read_request(), idle_s)
            except TimeoutError:
                return

    return behave


def early(raw: bytes, *, then_close: bool = True) -> Behaviour:
    """Answer after the head, before the body was read (RFC 9110 §10.1.1 lets it)."""

    async def behave(connection: Connection) -> None:
        head = await connection.read_head()
        connection.backend.requests.append(RawRequest(head, b"", connection.number))
        await connection.send(raw)
        if not then_close:
            await connection.closed()

    return behave


def continuing(body: bytes = b"ok", after_s: float = 0.0) -> Behaviour:
    """Say 100 Continue after the head, read the body, answer."""

    async def behave(connection: Connection) -> None:
        while True:
            head = await connection.read_head()
            if (RawRequest(head, b"", 0).field("expect") or b"").lower() == b"100-continue":
                await asyncio.sleep(after_s)
                await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.backend.requests.append(RawRequest(head, await connection.read_body(head), connection.number))
            await connection.send(response(200, body))

    return behave


# -- raw answers that break the protocol
GARBAGE = b"\x00\x01\x02 not HTTP at all\r\n\r\n"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\nhello"
LENGTH_AND_CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)
UNKNOWN_CODING = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"
CHUNKED_TWICE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
HUGE_HEAD = b"HTTP/1.1 200 OK\r\nX-Huge: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"
UNASKED_SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n"
