"""A client's connection: splits bytes into requests, one after the other, and writes their responses in that order.

The common case, a whole request in one read on a connection between requests, costs one look-up of the head. Requests that
arrive while one is being answered wait in `buffer` (RFC 9112 §9.3.2). While more than `buffer_bytes` wait, the connection is not
read, so it holds at most that and one read. Requests are taken from the front of the buffer by moving `at`, never by cutting
them off, one request in a turn of the loop (fair_queue.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, cast

from router.errors import DownstreamError
from router.proxy.addresses import UNKNOWN, Peer, peer_address, peer_host
from router.proxy.engine import closing, flow_control, local_replies, misdirection
from router.proxy.engine.exchange import Exchange
from router.proxy.engine.trusted_proxy import TrustedProxy
from router.proxy.fair_queue import GREEDY_STEPS, LARGE_READ_BYTES
from router.proxy.http1 import request_head
from router.proxy.http1.chunked import ChunkError, RequestBody
from router.proxy.http1.forwarding import PeerTrust
from router.proxy.http1.request_head import RequestHead
from router.proxy.tap.access_log import CountingTransport
from router.shm import layout

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.local_service import LocalService

_ACCEPTED: Final = layout.LS_ACCEPTED
_LARGE_READ_BYTES: Final = LARGE_READ_BYTES


class Admission(Protocol):
    """The limits on connections (accept/connection_limiter.py)."""

    def admit(self, downstream: Downstream) -> int | None:
        """Admit a connection; return the limit (`layout.LIMITED_…`) that it would exceed, None if it is admitted."""

    def release(self, downstream: Downstream) -> None:
        """Remove a connection that has ended."""


class Downstream:
    """One client connection.

    `exchange`: the request being answered, None in between. `body`: the rest of its body that is still to come. `buffer`: a
    head without its end yet, or bytes that wait, from `at` on. `requests`: how many have begun; the connection ends with number
    `requests_max` (0: never). `client`: the client's address; `client_print`: its fingerprint, once it was needed
    (affected/fingerprints.py); `forwarded`: the fields that name it to backends.

    `closing`: the connection ends after this response. `ended`: the client has closed its side. `lingering`: the last response
    is written, and further input is dropped. `congested`: the client reads slower than we write, and no further request is
    begun. `body_paused`: the backend takes no more of the body, so nothing is read. `queued`: the connection waits in
    the fair queue. `reading_deferred`: nothing is read until its turn. `handoff_pending`: another process takes the
    connection over, so no further request is begun (accept/handoff.py). `adopted`: another process handed the
    connection to this one, and limits on connections do not apply.

    It has the methods of asyncio.Protocol without the base class: a compiled class cannot inherit from a Python class.
    """

    def __init__(self, context: WorkerContext, admission: Admission, announced: str = "", scheme: str = "http") -> None:
        """`announced` is the client's address from a PROXY header; if empty, the transport has the address. `scheme` is that
        of the connection.
        """
        self.context = context
        self._admission = admission
        self.peer: Peer | None = None
        self._source = announced
        self._scheme = scheme
        self.transport: asyncio.Transport | None = None
        self.forwarded = b""
        self.client = UNKNOWN
        self.client_print = 0
        self.counting: CountingTransport | None = None
        self._translate: Callable[[bytes], RequestHead] = context.request_head
        self.requests = 0
        self.requests_max = context.options.requests_per_connection_max
        self.exchange: Exchange | None = None
        self.body: RequestBody | None = None
        self.buffer = b""
        self.at = 0
        self.searched = 0  # this much of `buffer` contains no end of a head
        self.steps = 0  # since the buffer was last empty
        self.buffer_bytes_max = context.options.buffer_bytes
        self.closing = False
        self.ended = False
        self.adopted = False
        self.handoff_pending = False
        self.congested = False
        self.lingering = False
        self.paused = False
        self.unwritten_bytes = self.rate_mark_bytes = 0  # unwritten at the last checks of min_rate.py
        self.queued = self.reading_deferred = self.body_paused = False

    # -- asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        context = self.context
        self.closing = self.closing or context.draining
        self.transport = cast(asyncio.Transport, transport)
        if context.options.access_log:
            self.counting = CountingTransport(self.transport)
            self.transport = cast(asyncio.Transport, self.counting)
        self.transport.set_write_buffer_limits(high=context.options.buffer_bytes)
        trust = self._trust_in_peer(transport)
        self._apply_trust(trust)
        if (limit := self._admission.admit(self)) is not None:
            local_replies.reject_connection(self, limit)
        elif context.handing_on:
            self.prepare_handoff()
        elif trust.peer.sender and not context.allowed_senders.covers(trust.peer.sender):  # since its PROXY header came
            self.reconsider_trust()

    def _trust_in_peer(self, transport: asyncio.BaseTransport) -> PeerTrust:
        """Decide by the present settings. Connections from one address share what was decided for the first of them."""
        forwarding = self.context.forwarding
        if self.peer is not None:  # an adopted connection has its peer from the other process
            return forwarding.decide(self.peer)
        if self._source:
            return forwarding.decide(Peer(self._source, self._scheme, sender=peer_address(peer_host(transport))))
        return forwarding.trust_of(peer_host(transport), self._scheme)

    def _apply_trust(self, trust: PeerTrust) -> None:
        """Set which fields of the next requests are trusted, and who the client is."""
        self.peer, self.forwarded, trusted = trust
        peer = trust.peer
        self.client = peer.address
        self.client_print = 0
        self._translate = self.context.request_head
        if trusted:
            self._translate = TrustedProxy(self, peer).request_head
        if peer.scheme == "https":
            self._translate = misdirection.guard(self, request_head.over_tls(self._translate))

    def reconsider_trust(self) -> None:
        """Decide anew at the next request: the settings have changed. A request in flight keeps what was decided for it.

        If the sender of its PROXY header is not allowed any more, the connection counts as that sender's, and closes after the
        response in flight.
        """
        peer = self.peer
        if peer is None or self.transport is None:
            return
        self._translate = self._translate_anew
        if peer.sender and not self.context.allowed_senders.covers(peer.sender):
            self.peer = Peer(peer.sender, peer.scheme, peer.shown)
            self.drain()

    def _translate_anew(self, raw: bytes) -> RequestHead:
        if self.peer is not None:
            self._apply_trust(self.context.forwarding.decide(self.peer))
        return self._translate(raw)

    def data_received(self, data: bytes) -> None:
        """Called by the loop with the bytes that have arrived."""
        if len(data) >= _LARGE_READ_BYTES:
            self.defer_reading()
        if self.body is not None:
            if self.buffer:
                self._append(data)
            else:
                self._receive_body(self.body, data, 0)
        elif self.lingering:
            return
        elif self.exchange is not None or self.congested or self.buffer or self.queued or self.handoff_pending:
            self._append(data)
        else:
            self.context.keepalive.since.pop(self, None)
            self._receive_head(data, 0)

    def _append(self, data: bytes) -> None:
        """Keep bytes that cannot be handled now; continue at once if they belong to a head that lacks its end."""
        self.buffer = self.buffer[self.at :] + data if self.buffer else data
        self.at = 0
        if self.body is None and self.exchange is None and not (self.congested or self.queued or self.handoff_pending):
            self._receive_head(self.buffer, 0)
        elif len(self.buffer) > self.buffer_bytes_max:
            self.pause()

    def eof_received(self) -> bool:
        """Called by the loop when the client has closed its side; True keeps ours open.

        A FIN can mean a half-close or that the client has left. A complete request is still answered, as long as bytes can be
        written to the client at least every `half_close_grace_s`: a client that has left answers them with a reset.
        """
        exchange = self.exchange
        if exchange is None or not exchange.body_complete or exchange.head.upgrade:
            return False
        self.closing = self.ended = True
        self.keep(b"", 0)
        self.context.half_closed.start(self, self.context.now_s)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, after either side has closed."""
        self.transport = None
        self._translate = self.context.request_head  # a TrustedProxy and its connection refer to each other
        self._admission.release(self)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        """Called by the loop when the client reads slower than we write."""
        self.congested = True
        flow_control.start_write_timers(self)
        if self.exchange is not None:
            flow_control.downstream_full(self.exchange)

    def resume_writing(self) -> None:
        """Called by the loop when the client has caught up."""
        self.congested = False
        flow_control.stop_write_timers(self)
        if self.ended:
            self.context.half_closed.start(self, self.context.now_s)
        if self.exchange is not None:
            flow_control.downstream_drained(self.exchange)
        elif not self.lingering:
            self._next_request()

    # -- requests
    def _receive_head(self, data: bytes, start: int) -> None:
        """Begin the request whose head begins at `start`, if the head is whole; bytes behind the request wait."""
        begin = start
        if data.startswith(b"\r", start):
            begin = local_replies.skip_empty_lines(data, start)
        text = data  # compiled, a char *: slices within the bounds of `data` need no slice object
        end = data.find(b"\r\n\r\n", begin if begin > start + self.searched else start + self.searched) + 4
        limit = self.context.head_bytes_max
        if end - begin > limit or end == 3:
            local_replies.wait_for_head(self, data, start, begin, end)
            return
        self.searched = 0
        self.context.header_wait.since.pop(self, None)
        try:
            head = self._translate(text[begin:end])
        except DownstreamError as error:
            local_replies.reject_request(self, error)
            return
        self._begin(head, data, end)

    def keep(self, data: bytes, start: int) -> None:
        """Keep `data` from `start` on for later."""
        if start < len(data):
            self.buffer, self.at = data, start
        else:
            self.buffer, self.at = b"", 0

    def _begin(self, head: RequestHead, data: bytes, end: int) -> None:
        """Begin the request with this head, which ends at `end`."""
        text = data
        context = self.context
        service: LocalService | None = head.service  # type: ignore[assignment]  # an object to http1, which lies below
        length, left = head.length, len(data) - end
        self.requests += 1
        if self.requests == self.requests_max:
            self.closing = True
            context.count_limit(layout.LIMITED_PER_CONNECTION)
        if service is None:
            self.keep(data, end)
            local_replies.answer_locally(self, head)
            return
        if length > context.body_bytes_max:
            detail = f"the body of {length} bytes exceeds body_bytes_max ({context.options.body_bytes_max})"
            local_replies.reject_request(self, DownstreamError(413, "body_too_large", detail), head)
            return
        context.words[service.row + _ACCEPTED] += 1
        self.exchange = exchange = Exchange(context, service, self, head, head.request_id or context.new_request_id())
        if length == left:
            self.buffer = b""
            self.at = 0
            exchange.start(text[end : len(data)], True)
        elif 0 <= length < left:
            self.buffer = data
            self.at = end + length
            exchange.start(text[end : end + length], True)
            if left - length > self.buffer_bytes_max:
                self.update_reading()
        else:
            self.body = body = RequestBody(length, context.options)
            self._begin_body(exchange, body, data, end)

    def _begin_body(self, exchange: Exchange, body: RequestBody, data: bytes, start: int) -> None:
        try:
            out = body.feed(data, start)
        except ChunkError as error:
            exchange.request_aborted(413 if error.code == "body_too_large" else 400, error.code, error.detail)
            return
        self._body_advanced(body)
        if not body.done:
            self.context.body_rate.start(self, self.context.now_s)
        exchange.start(out, body.done)
        self.update_reading()

    def _receive_body(self, body: RequestBody, data: bytes, start: int) -> None:
        exchange = self.exchange
        if exchange is None:  # answered before the body ended: the rest of the body is dropped
            self.keep(b"", 0)
            return
        try:
            out = body.feed(data, start)
        except ChunkError as error:
            exchange.request_aborted(413 if error.code == "body_too_large" else 400, error.code, error.detail)
            return
        self._body_advanced(body)
        if out or body.done:
            exchange.receive_body(out, body.done)

    def _body_advanced(self, body: RequestBody) -> None:
        """Keep the bytes that were not processed: the next request, or the rest of a body that takes several turns."""
        self.keep(body.data, body.end)
        if body.done:
            self.body = None
            self.context.body_wait.since.pop(self, None)
        else:
            self.context.body_wait.start(self, self.context.now_s)
            if self.buffer:
                self.defer_reading()

    # -- called by the exchange
    def write(self, data: bytes) -> None:
        """Write response bytes."""
        if self.transport is not None:
            self.transport.write(data)
            if self.ended:
                self.context.half_closed.start(self, self.context.now_s)

    def drop_input(self) -> None:
        """Drop the input that was not handled, and read again."""
        self.body = None
        self.keep(b"", 0)
        self.body_paused = self.reading_deferred = False
        self.update_reading()

    def exchange_ended(self, close: bool) -> None:
        """Begin the next request, or close: the response is written.

        If the decision to close came after the response's head, the head has no `Connection: close`, and the client may
        be sending its next request. That request is answered, and its response has `Connection: close`.
        """
        self.exchange = None
        if close or self.ended:
            rest = self.body is not None or bool(self.buffer)
            # The client's next request may be on the way.
            pipeline = self.closing and not self.ended and self not in self.context.reserved
            closing.close(self, linger=rest or pipeline)
            return
        if self.handoff_pending:
            self.keep(self.buffer[self.at :], 0)
            self.pause()
            return
        self.body_paused = False
        if self.congested:  # the next response would only pile up; resume_writing continues
            return
        self._next_request()

    # -- turns of the loop
    @property
    def greedy(self) -> bool:
        """Whether its buffer has not been empty for GREEDY_STEPS steps (fair_queue.py)."""
        return self.steps > GREEDY_STEPS

    def _next_request(self) -> None:
        """Enqueue for a turn if bytes wait, else wait for a request."""
        if self.handoff_pending:
            return
        if self.buffer:
            self._enqueue()
        else:
            self.steps = 0
            self.context.keepalive.since[self] = self.context.now_s
        if self.paused or self.buffer:
            self.update_reading()

    def defer_reading(self) -> None:
        """Read no more in this turn of the loop."""
        self.reading_deferred = True
        self.pause()
        self._enqueue()

    def _enqueue(self) -> None:
        if not self.queued:
            self.queued = True
            self.context.fair_queue.enqueue(self)

    def take_turn(self) -> None:
        """Take one step in this turn of the loop: one request, or one part of a body."""
        self.queued = self.reading_deferred = False
        if self.transport is None or self.transport.is_closing():
            return
        if self.buffer and not self.lingering:
            self.steps += 1
            if self.body is not None:
                if not self.body_paused:
                    self._receive_body(self.body, self.buffer, self.at)
            elif self.exchange is None and not (self.congested or self.handoff_pending):
                self._receive_head(self.buffer, self.at)
        self.update_reading()

    def update_reading(self) -> None:
        """Read, or pause reading, as the state of the connection requires."""
        if (
            self.body_paused
            or self.reading_deferred
            or (self.handoff_pending and self.exchange is None)
            or len(self.buffer) - self.at > self.buffer_bytes_max
        ):
            self.pause()
        elif self.paused:
            self.resume()

    # -- handoff to another process
    def prepare_handoff(self) -> None:
        """Begin no further request: bytes that arrive from now on belong to the process that takes the connection over."""
        if self in self.context.reserved:  # this process sends its only response
            return
        self.handoff_pending = True
        if self.exchange is None:
            self.keep(self.buffer[self.at :], 0)
            self.context.keepalive.stop(self)
            self.context.header_wait.stop(self)
            self.pause()

    def resume_requests(self) -> None:
        """Begin requests again: the handoff did not happen, or this process has adopted the connection with its `buffer`."""
        self.handoff_pending = False
        self.closing = True
        if self.exchange is None and not self.lingering and self.transport is not None:
            self.context.header_wait.stop(self)
            self._next_request()

    # -- deadlines
    def drain(self) -> None:
        """Close as soon as no request is being answered; a request that has begun to arrive is answered first."""
        self.closing = True
        idle = self.exchange is None and not self.buffer and not self.lingering and not self.congested
        if idle and not closing.close_idle(self):
            self.context.header_wait.start(self, self.context.now_s)

    def abort(self) -> None:
        """Close now; a request in flight is cut."""
        if self.exchange is not None:
            self.exchange.cut()
        if self.transport is not None:
            self.transport.abort()

    # -- flow
    def pause(self) -> None:
        """Read no more for now."""
        if not self.paused and self.transport is not None and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self.paused:
            return
        self.paused = False
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()
