"""A backend that keeps every byte it got on every connection, and a client's side without a socket.

Two readers judge the bytes: h11, and a plain one of our own that knows nothing but CRLF, Content-Length and chunked.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import h11

from router.proxy.data_plane import DataPlane
from router.proxy.engine.downstream import Downstream
from tests.backends import response
from tests.proxy.waiting import turns

ANSWER = response(200, b"ok")


class Recording(asyncio.Protocol):
    """One connection: `raw` is all that came, `requests` the whole requests in it, `rest` what is not one (yet)."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.raw = b""
        self.requests: list[bytes] = []
        self.rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._recorder.connections.append(self)

    def leave(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.raw += data
        self.rest += data
        self._recorder.moved += 1
        while (size := whole(self.rest)) > 0:
            self.requests.append(self.rest[:size])
            self.rest = self.rest[size:]
            self._transport.write(self._recorder.answer)


def whole(data: bytes) -> int:
    """Return the size of the first request in `data`; 0 if its end has not come."""
    head_end = data.find(b"\r\n\r\n") + 4
    if head_end == 3:
        return 0
    fields = [line.partition(b":") for line in data[: head_end - 4].split(b"\r\n")[1:]]
    lengths = [value.strip() for name, _, value in fields if name.lower() == b"content-length"]
    codings = [value.strip().lower() for name, _, value in fields if name.lower() == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1, data[:head_end]
    if not codings:
        size = head_end + (int(lengths[0]) if lengths else 0)
        return size if size <= len(data) else 0
    assert codings == [b"chunked"]
    at = head_end
    while (line_end := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line_end].split(b";")[0], 16)
        if size == 0:
            if data[line_end : line_end + 4] == b"\r\n\r\n":
                return line_end + 4
            end = data.find(b"\r\n\r\n", line_end)
            return end + 4 if end >= 0 else 0
        at = line_end + 2 + size + 2
        assert data[at - 2 : at] in (b"\r\n", b"\r", b""), data
    return 0


class Recorder:
    """The server; `answer` is written after each whole request."""

    def __init__(self, answer: bytes = ANSWER) -> None:
        self.answer = answer
        self.moved = 0
        self.connections: list[Recording] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Recording(self), "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self.connections:  # uvloop waits for ever for handles that are open when it is closed
            connection.leave()
        await turns(3)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection.requests]

    @property
    def rests(self) -> list[bytes]:
        return [connection.rest for connection in self.connections if connection.rest]

    def clear(self) -> None:
        """Forget what came."""
        for connection in self.connections:
            connection.raw = connection.rest = b""
            connection.requests.clear()


def h11_requests(raw: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], bool]:
    """Return ((method, target, body) of each request, whether the last is whole) as h11 reads them; it raises on the rest."""
    found: list[tuple[bytes, bytes, bytes]] = []
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    reader.receive_data(raw)
    while True:
        event = reader.next_event()
        if isinstance(event, h11.Request):
            found.append((event.method, event.target, b""))
        elif isinstance(event, h11.Data):
            method, target, body = found[-1]
            found[-1] = (method, target, body + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            trailing, _ = reader.trailing_data
            if not trailing:
                return found, True
            reader = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
            reader.receive_data(trailing)
        else:
            return found, not found and not raw


class Wire:
    """A client's connection as a transport that the test holds: what the router writes is in `written`."""

    def __init__(self, data_plane: DataPlane) -> None:
        self._loop = data_plane.context.loop
        self.written = b""
        self.closed = False
        self.ended = False
        self.reset = False
        self.protocol = Downstream(data_plane.context, data_plane.limiter)
        self.protocol.connection_made(self)  # type: ignore[arg-type]

    def feed(self, *pieces: bytes) -> None:
        """Let the client's bytes arrive in these reads."""
        for piece in pieces:
            if not self.closed:
                self.protocol.data_received(piece)

    @property
    def over(self) -> bool:
        """Whether the router will write no more."""
        return self.closed or self.ended

    def leave(self) -> None:
        """The client closes, whatever the router does."""
        self.close()

    # -- asyncio.Transport
    def write(self, data: bytes) -> None:
        assert not self.over, data
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 1), "socket": self, "ssl_object": None}[name]

    def setsockopt(self, *_: object) -> None:
        self.reset = True


def statuses(answers: bytes) -> list[int]:
    """Return the statuses of whole responses with Content-Length; fail if anything else is among them."""
    found = []
    while answers:
        head, end, answers = answers.partition(b"\r\n\r\n")
        assert end, head
        assert head.startswith(b"HTTP/1.1 "), head
        lengths = [line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
        assert len(lengths) == 1, head
        assert len(answers) >= int(lengths[0])
        found.append(int(head[9:12]))
        answers = answers[int(lengths[0]) :]
    return found
