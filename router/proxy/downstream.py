"""One connection of a client: bytes become requests, one after the other, and their responses go back in that order.

The common case, a whole request in one read on a connection that is between requests, costs one look-up of the head.
Requests that arrive while one is being answered wait in `_buffer` (RFC 9112 §9.3.2), bounded by pausing the client.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final, cast

from router.errors import DownstreamError
from router.proxy import replies, request_head
from router.proxy.chunks import ChunkError, Chunks
from router.proxy.exchange import Exchange
from router.proxy.fields import CHUNKED
from router.proxy.request_head import RequestHead
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.plane import Plane
    from router.proxy.view import ServiceView

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_EMPTY_LINES_MAX: Final = 4
"""Empty lines before a request line that are ignored (RFC 9112 §2.2 asks for one)."""


class Downstream(asyncio.Protocol):
    """`exchange` is the request being answered, None in between; `closing`: the connection ends after this response;
    `congested`: the client takes less than we write, and gets no further answer until it has caught up.
    """

    exchange: Exchange | None = None
    closing = False
    congested = False
    forwarded = b""
    _transport: asyncio.Transport | None = None
    _buffer = b""
    _left = 0
    _chunks: Chunks | None = None
    _paused = False
    _lingering = False
    _scheduled = False

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    # -- asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        plane = self._plane
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=plane.options.buffer_bytes)
        peer = transport.get_extra_info("peername")
        address = peer[0] if peer else "unknown"
        self.forwarded = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % address.encode()
        if not plane.enter(self):
            self.write(replies.reply(503, "connections", "this worker has no room for another connection", close=True))
            self._close(linger=True)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with whatever has arrived."""
        if self._left or self._chunks is not None:
            self._receive_body(data)
        elif self._lingering:
            return
        elif self.exchange is not None or self._scheduled or self.congested:
            self._buffer += data
            if len(self._buffer) > self._plane.options.buffer_bytes:
                self._pause()
        else:
            self._plane.keepalive.since.pop(self, None)
            self._receive_head(self._buffer + data if self._buffer else data)

    def eof_received(self) -> bool:
        """Called by the loop when the client has closed its side; True keeps ours open.

        A FIN does not tell a half-close from a departure: a complete request is still answered if the response begins
        within `half_close_grace_s`.
        """
        exchange = self.exchange
        if exchange is None or not exchange.body_complete or exchange.head.upgrade:
            return False
        self.closing = True
        self._buffer = b""
        if not exchange.answered:
            self._plane.half_closed.start(self, self._plane.now_s)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, whoever closed."""
        self._transport = None
        self._plane.leave(self)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        """Called by the loop when the client takes less than we write."""
        self.congested = True
        self._plane.write_wait.start(self, self._plane.now_s)
        if self.exchange is not None:
            self.exchange.downstream_full()

    def resume_writing(self) -> None:
        """Called by the loop when the client has caught up."""
        self.congested = False
        self._plane.write_wait.stop(self)
        if self.exchange is not None:
            self.exchange.downstream_drained()
        elif not self._lingering:
            self._go_on()

    # -- requests
    def _receive_head(self, data: bytes) -> None:
        self._buffer = b""
        if data[:1] == b"\r":
            came, data = data, self._without_empty_lines(data)
        else:
            came = data
        end = data.find(b"\r\n\r\n") + 4
        limit = self._plane.options.head_bytes_max
        if end > limit or (end == 3 and len(data) > limit):
            line_fits = 0 <= data.find(b"\r\n") < limit
            code = "head_too_large" if line_fits else "target_too_long"
            self._refuse(DownstreamError(431 if line_fits else 414, code, f"the request head exceeds {limit} bytes"))
            return
        if end == 3:
            if request_head.incomplete_is_hopeless(data) or request_head.line_is_hopeless(data):
                self._refuse(
                    DownstreamError(400, "bad_request", "the request line is malformed or has a bare CR or LF")
                )
                return
            self._buffer = came  # with its empty lines: they count once, however they are cut, and are waited for
            self._plane.header_wait.since.setdefault(self, self._plane.now_s)
            return
        self._plane.header_wait.since.pop(self, None)
        try:
            head, service = self._plane.request_head(data[:end])
        except DownstreamError as error:
            self._refuse(error)
            return
        self._begin(head, service, data[end:])

    @staticmethod
    def _without_empty_lines(data: bytes) -> bytes:
        for _ in range(_EMPTY_LINES_MAX):
            if data[:2] == b"\r\n":
                data = data[2:]
        return data

    def _begin(self, head: RequestHead, service: ServiceView | None, rest: bytes) -> None:
        plane = self._plane
        length = head.length
        if service is None:
            self._serve_unmatched(head, rest)
            return
        if length > plane.options.body_bytes_max:
            detail = f"the body of {length} bytes exceeds body_bytes_max ({plane.options.body_bytes_max})"
            self._refuse(DownstreamError(413, "body_too_large", detail), head)
            return
        plane.words[service.row + at.LS_ACCEPTED] += 1
        exchange = Exchange(plane, service, self, head, head.request_id or plane.new_request_id())
        self.exchange = exchange
        if 0 <= length <= len(rest):
            self._buffer = rest[length:]
            exchange.start(rest[:length] if length else b"", True)
        elif length == CHUNKED:
            self._chunks = Chunks(plane.options.body_bytes_max, plane.options.trailer_bytes_max)
            self._first_chunks(exchange, rest)
        else:
            self._left = length - len(rest)
            plane.body_wait.start(self, plane.now_s)
            exchange.start(rest, False)

    def _first_chunks(self, exchange: Exchange, rest: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        try:
            out = chunks.feed(rest)
        except ChunkError as error:
            self._body_broken(exchange, error)
            return
        if chunks.done:
            self._buffer, self._chunks = chunks.rest, None
        else:
            self._plane.body_wait.start(self, self._plane.now_s)
        exchange.start(out, chunks.done)

    def _receive_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # answered before the body ended: what still comes is thrown away until the client stops
            return
        chunks = self._chunks
        if chunks is not None:
            try:
                out = chunks.feed(data)
            except ChunkError as error:
                self._body_broken(exchange, error)
                return
            if chunks.done:
                self._chunks = None
                self._body_ended(chunks.rest)
            else:
                self._plane.body_wait.start(self, self._plane.now_s)
            if out or chunks.done:
                exchange.receive_body(out, chunks.done)
        elif len(data) < self._left:
            self._left -= len(data)
            self._plane.body_wait.start(self, self._plane.now_s)
            exchange.receive_body(data, False)
        else:
            body, rest = data[: self._left], data[self._left :]
            self._left = 0
            self._body_ended(rest)
            exchange.receive_body(body, True)

    def _body_ended(self, rest: bytes) -> None:
        self._plane.body_wait.since.pop(self, None)
        self._buffer = rest

    def _body_broken(self, exchange: Exchange, error: ChunkError) -> None:
        status = 413 if error.code == "body_too_large" else 400
        exchange.client_broke(status, error.code, error.detail)

    def _serve_unmatched(self, head: RequestHead, rest: bytes) -> None:
        """The readiness page, a request for us alone, or one that no service answers."""
        plane = self._plane
        if head.path == plane.options.ready_path and head.method in (b"GET", b"HEAD") and head.length == 0:
            self._buffer = rest
            close = self.closing or not head.keep_alive
            self.write(plane.readiness(close=close, head_only=head.method == b"HEAD"))
            self.exchange_ended(close=close)
            return
        if head.final:
            close = self.closing or not head.keep_alive or head.length != 0
            self.write(replies.allow(close=close))
            if head.length:
                self._close(linger=True)
                return
            self._buffer = rest
            self.exchange_ended(close=close)
            return
        self._refuse(DownstreamError(404, "no_service", "no service answers this host and path"), head)

    def _refuse(self, error: DownstreamError, head: RequestHead | None = None) -> None:
        """Answer without a claim and close: nothing of this request reaches a backend, nor what stands behind it."""
        self._plane.count_refused()
        self.write(
            replies.reply(
                error.status,
                error.code,
                error.detail,
                request_id=(head and head.request_id) or self._plane.new_request_id(),
                path=head.path if head else b"",
                close=True,
                head_only=head is not None and head.method == b"HEAD",
            )
        )
        self._close(linger=True)

    # -- the exchange's verbs
    def write(self, data: bytes) -> None:
        """Write response bytes."""
        if self._transport is not None:
            self._transport.write(data)

    def hold_body(self) -> None:
        """Take no more of the request's body for now; our waiting is not the client's slowness."""
        if self._left or self._chunks is not None:
            self._plane.body_wait.stop(self)
            self._pause()

    def release_body(self) -> None:
        """Take the body again."""
        if self._paused:
            self._resume()
            if self._left or self._chunks is not None:
                self._plane.body_wait.start(self, self._plane.now_s)

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Return the transport, for one who takes over from this protocol, and what the client has sent for him."""
        assert self._transport is not None
        held, self._buffer = self._buffer, b""
        if self._paused:
            self._resume()
        return self._transport, held

    def exchange_ended(self, *, close: bool) -> None:
        """The response is written; go on with the next request, or close."""
        self.exchange = None
        if close or self.closing:
            self._close(linger=bool(self._left or self._chunks is not None or self._buffer))
            return
        if self.congested:  # the next answer would only pile up: resume_writing goes on
            return
        if self._buffer or self._paused:
            self._go_on()
        else:
            self._plane.keepalive.since[self] = self._plane.now_s

    def _go_on(self) -> None:
        if self._paused:
            self._resume()
        if not self._buffer:
            self._plane.keepalive.since[self] = self._plane.now_s
        elif not self._scheduled:
            self._scheduled = True
            self._plane.loop.call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if self.exchange is None and not self._lingering and self._transport is not None:
            self._receive_head(self._buffer)

    def cut(self, *, reset: bool) -> None:
        """End in the middle of a response, visibly: no last chunk, fewer bytes than announced, or a reset where only the
        end of the connection would have told the end of the body.
        """
        self.exchange = None
        if self._transport is None:
            return
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        else:
            self._transport.close()

    # -- deadlines
    def header_late(self) -> None:
        """`header_timeout_s` has passed without a whole head."""
        if self._buffer.strip(b"\r\n"):
            self._refuse(DownstreamError(408, "request_timeout", "the request head did not arrive in time"))
        else:
            self._close(linger=False)

    def body_late(self) -> None:
        """The client was silent within its body for `body_timeout_s`."""
        if self.exchange is not None:
            self.exchange.client_broke(408, "request_timeout", "the request body did not arrive in time")

    def gone(self) -> None:
        """The client takes nothing, or closed its side and nothing began: it is taken for gone."""
        if self.exchange is not None and (self._transport is None or self._must_go()):
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()
        if self._transport is not None and self.exchange is None:
            self._transport.abort()

    def _must_go(self) -> bool:
        return self.exchange is None or not self.exchange.answered or bool(self.exchange.paused_at_s)

    def drain(self) -> None:
        """Close as soon as nothing is being answered; a request whose head has begun to arrive is answered first."""
        self.closing = True
        if self.exchange is None and not self._buffer and not self._lingering:
            self._close(linger=False)

    def shut(self) -> None:
        """Close now, whatever is under way."""
        if self.exchange is not None:
            self.exchange.cut()
        if self._transport is not None:
            self._transport.abort()

    # -- flow
    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _close(self, *, linger: bool) -> None:
        """Close after what is written has left. With `linger` only our side: bytes of the client that still come are read
        and dropped for a while, lest a reset destroy the answer before the client reads it (RFC 9112 §9.6).
        """
        if self._transport is None or self._transport.is_closing() or self._lingering:
            return
        self._plane.forget_waits(self)
        if not linger:
            if self._transport.get_write_buffer_size():
                self._plane.write_wait.start(self, self._plane.now_s)
            self._transport.close()
            return
        self._lingering = True
        self._left, self._chunks, self._buffer = 0, None, b""
        if self._paused:
            self._resume()
        self._transport.write_eof()
        self._plane.linger.start(self, self._plane.now_s)
