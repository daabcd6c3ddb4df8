"""One connection to an endpoint: splits bytes from the backend into a response head, a body and its end.

The common case, a whole response with a Content-Length in one read, costs one look-up of the head and one comparison. If the
backend breaks HTTP (a malformed head, conflicting lengths, an early end, bytes after the end), the response never looks whole:
the exchange fails, and the connection is not used again.
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import TYPE_CHECKING, Final, cast

from router.errors import UpstreamError
from router.proxy.engine import flow_control, tunnel
from router.proxy.fair_queue import LARGE_READ_BYTES
from router.proxy.http1 import request_head, response_head
from router.proxy.http1.chunked import ChunkedBody, ChunkError
from router.proxy.http1.fields import CHUNKED, UNTIL_CLOSE
from router.proxy.http1.response_head import ResponseHead
from router.proxy.tls.transport import TlsTransport

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.pool import Pool

_REMAINS_READ_BYTES: Final = 65536
_REMAINS_READS_MAX: Final = 64
_LARGE_READ_BYTES: Final = LARGE_READ_BYTES


class Upstream:
    """One backend connection. `exchange` is None while it is idle; `used` counts the exchanges that it has finished.

    It has the methods of asyncio.Protocol without the base class: a compiled class cannot inherit from a Python class.
    """

    def __init__(self, context: WorkerContext, pool: Pool) -> None:
        # shared
        self._context = context
        self.pool = pool
        # per connection
        self.used = 0
        self.idle_since_s = 0.0
        self.idle_max_s = context.options.upstream_idle_s
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._reading_deferred = False  # it reads nothing until its turn of the loop (fair_queue.py)
        # per exchange
        self.exchange: Exchange | None = None
        self._buffer = b""
        self._head: ResponseHead | None = None
        self._remaining = 0
        self._chunks: ChunkedBody | None = None
        self._interim = 0
        self.first_read = b""  # of the body, while the exchange decides about the head that came with it

    # -- asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop once the connection is established."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=self._context.options.buffer_bytes)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with the bytes that have arrived."""
        exchange = self.exchange
        if exchange is None:  # no request was sent, so these bytes are no response
            self.pool.remove(self)
            self.close()
            return
        if len(data) >= _LARGE_READ_BYTES:
            self._defer_reading()
        try:
            if self._head is None:
                self._receive_head(exchange, self._buffer + data if self._buffer else data)
            else:
                self._receive_body(exchange, data)
        except (UpstreamError, ChunkError) as error:
            if exchange.attempt is not None:
                exchange.service.refused_answers.record(exchange.attempt, error)
            self._detach().lost(error.detail, stale=False)

    def eof_received(self) -> bool:
        """Called by the loop when the backend has closed its side; the transport then closes itself."""
        if self.exchange is not None and self._head is not None and self._remaining == UNTIL_CLOSE:
            self._finish(self.exchange, b"", reusable=False)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, after either side has closed."""
        transport, self._transport = self._transport, None
        if (
            self.exchange is not None
            and error is not None
            and transport is not None
            and not isinstance(transport, TlsTransport)
        ):
            self._receive_remains(transport)
        if self.exchange is None:
            self.pool.remove(self)
            return
        untouched = self._head is None and not self._buffer and not self._interim
        self._detach().lost(
            str(error) if error else "the backend closed the connection", stale=untouched and self.used > 0
        )

    def _receive_remains(self, transport: asyncio.Transport) -> None:
        """Read the response that is still in the socket after a failed write. A backend may answer before it has read the
        request, and close (RFC 9112 §9.6). Then our write fails, and the loop gives up without reading. The descriptor is
        still open: uvloop closes it after `connection_lost` has returned (`UVBaseTransport._call_connection_lost`).
        """
        descriptor = transport.get_extra_info("socket").fileno()
        for _ in range(_REMAINS_READS_MAX):
            try:
                data = os.read(descriptor, _REMAINS_READ_BYTES)
            except OSError:
                return
            if not data or self.exchange is None:
                return
            self.data_received(data)

    def pause_writing(self) -> None:
        """Called by the loop when the backend reads slower than we write."""
        if self.exchange is not None:
            flow_control.upstream_full(self.exchange)

    def resume_writing(self) -> None:
        """Called by the loop when the backend has caught up."""
        if self.exchange is not None:
            flow_control.upstream_drained(self.exchange)

    # -- called by the exchange
    def send(self, data: bytes) -> None:
        """Write request bytes."""
        if self._transport is not None:
            self._transport.write(data)

    def pause(self) -> None:
        """Stop reading: the client is slower than the backend."""
        if self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._paused = False
        if self._transport is not None and not self._reading_deferred:
            self._transport.resume_reading()

    def _defer_reading(self) -> None:
        """Read no more in this turn of the loop."""
        if self._transport is not None and not self._reading_deferred and not self._transport.is_closing():
            self._reading_deferred = True
            self._transport.pause_reading()
            self._context.fair_queue.enqueue(self)

    @property
    def greedy(self) -> bool:
        """False: a backend sends only what a client has requested."""
        return False

    def take_turn(self) -> None:
        """Read again: its turn of the loop has come."""
        self._reading_deferred = False
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Leave the exchange and close at once; bytes in transit are dropped."""
        self.exchange = None
        if self._transport is not None:
            self._transport.abort()

    def hand_over(self) -> asyncio.Transport:
        """Return the transport for a protocol that replaces this one."""
        assert self._transport is not None
        if self._reading_deferred:
            self._paused = True  # the new protocol decides when to read
            self._transport.resume_reading()
        return self._transport

    def shows_eof(self) -> bool:
        """Return whether the idle connection has anything to read: its end, or bytes without a request."""
        if self._transport is None or self._transport.is_closing():
            return True
        if isinstance(self._transport, TlsTransport):
            return self._transport.shows_eof()
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLRDHUP)
        return bool(poll.poll(0))

    # -- the response
    def _receive_head(self, exchange: Exchange, data: bytes) -> None:
        text = data  # compiled, a char *: slices within the bounds of `data` need no slice object
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > (limit := self._context.options.head_bytes_max):
                raise UpstreamError("response_head_too_large", f"the response head exceeds {limit} bytes")
            if not response_head.begins_like_http(data):
                raise response_head.not_http(data)
            if request_head.can_never_be_valid(data):
                raise UpstreamError("response_head_malformed", "the response head has a bare CR or LF")
            self._buffer = data
            return
        end += 4
        if end > (limit := self._context.head_bytes_max):
            raise UpstreamError("response_head_too_large", f"the response head exceeds {limit} bytes")
        head = self._context.response_head(text[:end])
        self._buffer = b""
        if head.status < 200:
            if head.upgrade and exchange.head.upgrade and head.length == UNTIL_CLOSE:  # RFC 9110 §8.6: it has no length
                tunnel.open_tunnel(exchange, self, head, data[end:])
                return
            self._interim_response(exchange, head)
            if len(data) > end:
                self._receive_head(exchange, data[end:])
            return
        self._head = head
        bodyless = exchange.head.method == b"HEAD" or head.status in (204, 304)
        self._remaining = 0 if bodyless else head.length
        if self._remaining == len(data) - end:  # the whole response is here
            exchange.respond(head, text[end : len(data)] if self._remaining else b"", True)
            # A length without a body (HEAD): if the body comes after all, the next request must not get it.
            self._end(exchange, reusable=self._remaining == head.length or head.length == UNTIL_CLOSE)
            return
        if bodyless or 0 <= self._remaining < len(data) - end:  # bytes after the end: answer, and drop the connection
            exchange.respond(head, data[end : end + self._remaining], True)
            self._end(exchange, reusable=False)
            return
        if self._remaining == CHUNKED:
            limits = self._context.options
            self._chunks = ChunkedBody(1 << 62, limits.trailer_bytes_max, decode=not exchange.head.http11)
        self.first_read = rest = data[end:]
        exchange.respond(head, b"", False)
        self.first_read = b""
        if rest and self.exchange is exchange:
            self._receive_body(exchange, rest)

    def _interim_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self._interim += 1
        if head.status == 101 or self._interim > self._context.options.interim_responses_max:
            raise UpstreamError(
                "response_interim_unexpected", f"unexpected interim response {head.status} (number {self._interim})"
            )
        exchange.interim(head.status, head.downstream + b"\r\n")

    def _receive_body(self, exchange: Exchange, data: bytes) -> None:
        if self._chunks is not None:
            out = self._chunks.feed(data)
            if self._chunks.done:
                self._finish(exchange, out, reusable=self._chunks.end == len(self._chunks.data))
            elif out:
                exchange.relay(out)
        elif self._remaining == UNTIL_CLOSE:
            exchange.relay(data)
        elif len(data) < self._remaining:
            self._remaining -= len(data)
            exchange.relay(data)
        else:
            self._finish(exchange, data[: self._remaining], reusable=len(data) == self._remaining)

    def _finish(self, exchange: Exchange, data: bytes, *, reusable: bool) -> None:
        exchange.relay_last(data)
        self._end(exchange, reusable=reusable)

    def _end(self, exchange: Exchange, *, reusable: bool) -> None:
        """Return the connection to the pool, then end the exchange: the response is complete."""
        head = self._head
        if head is None or self.exchange is not exchange:  # the client left while its response was written
            return
        reusable = reusable and head.keep_alive and exchange.request_sent
        self._reset()
        if reusable and self._transport is not None and not self._transport.is_closing():
            self.used += 1
            if self._paused:  # paused for a slow client; the next exchange has another client
                self.resume()
            if head.idle_timeout_s is not None:
                self.idle_max_s = min(head.idle_timeout_s, 60.0)
            self.pool.release(self, exchange.last_byte_s)
        else:
            self.abort()
        exchange.completed()

    def _detach(self) -> Exchange:
        exchange = self.exchange
        assert exchange is not None
        self._reset()
        self.abort()
        return exchange

    def _reset(self) -> None:
        self.exchange = None
        self._head = None
        self._chunks = None
        self._buffer = b""
        self._remaining = 0
        self._interim = 0
