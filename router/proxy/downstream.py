"""One connection of a client: bytes become requests, one after the other, and their responses go back in that order.

The common case, a whole request in one read on a connection that is between requests, costs one look-up of the head.
Requests that arrive while one is being answered wait in `buffer` (RFC 9112 §9.3.2), bounded by pausing the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from router.errors import DownstreamError
from router.proxy import farewell, flow, front_desk, misdirection, pace, request_head
from router.proxy.access_log import Ledger
from router.proxy.chunks import ChunkError
from router.proxy.exchange import Exchange
from router.proxy.intermediary import Intermediary
from router.proxy.networks import UNKNOWN
from router.proxy.peer import Peer, peer_of
from router.proxy.request_body import RequestBody
from router.proxy.request_head import RequestHead
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.plane import Plane

_ACCEPTED: Final = at.LS_ACCEPTED
_EMPTY_LINES_MAX: Final = 4
"""Empty lines before a request line that are ignored (RFC 9112 §2.2 asks for one)."""


class Downstream:
    """`exchange` is the request being answered, None in between; `closing`: the connection ends after this response;
    `congested`: the client takes less than we write, and gets no further answer until it has caught up; `lingering`: all is
    said, and what still comes is dropped; `forwarded`: what backends are told of `client`, its address; `body`: the rest of
    a body that is still to come; `buffer`: a head that has no end yet, or requests that wait; `requests`: how many were begun;
    with number `requests_max` it ends (0: never); `ended`: the client has closed its side; `held`: no further request is begun
    here, because another process takes the connection over (handoff.py); `adopted`: we have taken it over, whatever limits say.

    A protocol of asyncio by its shape, without the base class: a compiled class has none that Python made.
    """

    def __init__(self, plane: Plane, announced: str = "") -> None:
        """`announced` is the client's address if a balancer has said it; else the transport does."""
        self.plane = plane
        self.peer: Peer | None = None
        self._announced = announced
        self.transport: asyncio.Transport | None = None
        self.forwarded = b""
        self.client = UNKNOWN
        self.ledger: Ledger | None = None
        self._translate: Callable[[bytes], RequestHead] = plane.request_head
        self.requests = 0
        self.requests_max = plane.options.requests_per_connection_max
        self.exchange: Exchange | None = None
        self.body: RequestBody | None = None
        self.buffer = b""
        self.closing = False
        self.ended = False
        self.adopted = False
        self.held = False
        self.congested = False
        self.lingering = False
        self.paused = False
        self.silent_at_bytes = self.paced_bytes = 0  # what waited to be taken when pace.py last looked
        self._scheduled = False

    # -- asyncio's callbacks
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        plane = self.plane
        self.closing = self.closing or plane.draining
        self.transport = cast(asyncio.Transport, transport)
        if plane.options.access_log:
            self.ledger = Ledger(self.transport)
            self.transport = cast(asyncio.Transport, self.ledger)
        self.transport.set_write_buffer_limits(high=plane.options.buffer_bytes)
        if self.peer is None:  # else it was adopted, and another process knows
            self.peer = peer_of(transport, self._announced)
        self.forwarded, self.client = plane.forwarding.own_fields(self.peer), self.peer.address
        if plane.forwarding.trusted.covers(self.client):
            self._translate = Intermediary(self, self.peer).request_head
        if self.peer.scheme == "https":
            self._translate = misdirection.guard(self, request_head.over_tls(self._translate))
        if (limit := plane.enter(self)) is not None:
            front_desk.turn_away(self, limit)
        elif plane.handing_on:
            self.hold()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with whatever has arrived."""
        if self.body is not None:
            self._receive_body(self.body, data)
        elif self.lingering:
            return
        elif self.exchange is not None or self._scheduled or self.congested or self.held:
            self.buffer += data
            if len(self.buffer) > self.plane.options.buffer_bytes:
                self.pause()
        else:
            self.plane.keepalive.since.pop(self, None)
            self._receive_head(self.buffer + data if self.buffer else data)

    def eof_received(self) -> bool:
        """Called by the loop when the client has closed its side; True keeps ours open.

        A FIN does not tell a half-close from a departure: a complete request is still answered if the response begins
        within `half_close_grace_s`.
        """
        exchange = self.exchange
        if exchange is None or not exchange.body_complete or exchange.head.upgrade:
            return False
        self.closing = self.ended = True
        self.buffer = b""
        if not exchange.answered:
            self.plane.half_closed.start(self, self.plane.now_s)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, whoever closed."""
        self.transport = None
        self._translate = self.plane.request_head  # an intermediary and its connection know each other
        self.plane.leave(self)
        if self.exchange is not None:
            exchange, self.exchange = self.exchange, None
            exchange.client_gone()

    def pause_writing(self) -> None:
        """Called by the loop when the client takes less than we write."""
        self.congested = True
        flow.offer(self)
        if self.exchange is not None:
            flow.downstream_full(self.exchange)

    def resume_writing(self) -> None:
        """Called by the loop when the client has caught up."""
        self.congested = False
        flow.taken(self)
        if self.exchange is not None:
            flow.downstream_drained(self.exchange)
        elif not self.lingering:
            self._go_on()

    # -- requests
    def _receive_head(self, data: bytes) -> None:
        self.buffer = b""
        if data.startswith(b"\r"):
            came, data = data, self._without_empty_lines(data)
        else:
            came = data
        text = data  # compiled, a char *: slices within the bounds of `data` need no slice object
        end = data.find(b"\r\n\r\n") + 4
        limit = self.plane.head_bytes_max
        if end > limit or end == 3:
            self._incomplete_head(came, data, end)
            return
        self.plane.header_wait.since.pop(self, None)
        try:
            head = self._translate(text[:end])
        except DownstreamError as error:
            front_desk.refuse(self, error)
            return
        self._begin(head, text[end : len(data)])

    def _incomplete_head(self, came: bytes, data: bytes, end: int) -> None:
        """Wait for the rest of a head, or refuse one that is too large or can never be valid."""
        limit = self.plane.options.head_bytes_max
        if end > limit or len(data) > limit:
            line_fits = 0 <= data.find(b"\r\n") < limit
            code = "head_too_large" if line_fits else "target_too_long"
            detail = f"the request head exceeds {limit} bytes"
            front_desk.refuse(self, DownstreamError(431 if line_fits else 414, code, detail))
        elif request_head.incomplete_is_hopeless(data) or request_head.line_is_hopeless(data):
            detail = "the request line is malformed or has a bare CR or LF"
            front_desk.refuse(self, DownstreamError(400, "bad_request", detail))
        else:
            self.buffer = came  # with its empty lines: they count once, however they are cut, and are waited for
            self.plane.header_wait.since.setdefault(self, self.plane.now_s)

    @staticmethod
    def _without_empty_lines(data: bytes) -> bytes:
        for _ in range(_EMPTY_LINES_MAX):
            if data[:2] == b"\r\n":
                data = data[2:]
        return data

    def _begin(self, head: RequestHead, rest: bytes) -> None:
        plane = self.plane
        service = head.service
        length = head.length
        self.requests += 1
        if self.requests == self.requests_max:
            self.closing = True
            plane.count_limit(at.LIMITED_PER_CONNECTION)
        if service is None:
            front_desk.serve(self, head, rest)
            return
        if length > plane.body_bytes_max:
            detail = f"the body of {length} bytes exceeds body_bytes_max ({plane.options.body_bytes_max})"
            front_desk.refuse(self, DownstreamError(413, "body_too_large", detail), head)
            return
        plane.words[service.row + _ACCEPTED] += 1
        self.exchange = exchange = Exchange(plane, service, self, head, head.request_id or plane.new_request_id())
        if length == len(rest):
            exchange.start(rest, True)
        elif 0 <= length < len(rest):
            self.buffer = rest[length:]
            exchange.start(rest[:length], True)
        else:
            self.body = body = RequestBody(length, plane.options)
            self._begin_body(exchange, body, rest)

    def _begin_body(self, exchange: Exchange, body: RequestBody, rest: bytes) -> None:
        try:
            out = body.feed(rest)
        except ChunkError as error:
            self._body_broken(exchange, error)
            return
        self._body_advanced(body)
        if not body.done:
            self.plane.body_pace.start(self, self.plane.now_s)
        exchange.start(out, body.done)

    def _receive_body(self, body: RequestBody, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # answered before the body ended: what still comes is thrown away until the client stops
            return
        try:
            out = body.feed(data)
        except ChunkError as error:
            self._body_broken(exchange, error)
            return
        self._body_advanced(body)
        if out or body.done:
            exchange.receive_body(out, body.done)

    def _body_advanced(self, body: RequestBody) -> None:
        if body.done:
            self.body, self.buffer = None, body.rest
            self.plane.body_wait.since.pop(self, None)
        else:
            self.plane.body_wait.start(self, self.plane.now_s)

    def _body_broken(self, exchange: Exchange, error: ChunkError) -> None:
        status = 413 if error.code == "body_too_large" else 400
        exchange.client_broke(status, error.code, error.detail)

    # -- the exchange's verbs
    def write(self, data: bytes) -> None:
        """Write response bytes."""
        if self.transport is not None:
            self.transport.write(data)

    def hold_body(self) -> None:
        """Take no more of the request's body for now; our waiting is not the client's slowness."""
        if self.body is not None:
            self.plane.body_wait.stop(self)
            self.plane.body_pace.stop(self)
            self.pause()

    def release_body(self) -> None:
        """Take the body again."""
        if self.paused:
            self.resume()
            if self.body is not None:
                self.plane.body_wait.start(self, self.plane.now_s)
                pace.want_body(self)

    def hand_over(self) -> tuple[asyncio.Transport, bytes]:
        """Return the transport, for one who takes over from this protocol, and what the client has sent for him."""
        assert self.transport is not None
        held, self.buffer = self.buffer, b""
        self.resume()
        return self.transport, held

    def exchange_ended(self, close: bool) -> None:
        """The response is written; go on with the next request, or close. Where its head did not say `Connection: close`,
        because nobody knew then, the client may be sending its next request: that one is answered, and told.
        """
        self.exchange = None
        if close or self.ended:
            rest = self.body is not None or bool(self.buffer)
            pipeline = self.closing and not self.ended and self not in self.plane.reserve.guests  # may be on its way
            farewell.close(self, linger=rest or pipeline)
            return
        if self.held:
            self.pause()
            return
        if self.congested:  # the next answer would only pile up: resume_writing goes on
            return
        if self.buffer or self.paused:
            self._go_on()
        else:
            self.plane.keepalive.since[self] = self.plane.now_s

    def _go_on(self) -> None:
        if self.held:
            return
        self.resume()
        if not self.buffer:
            self.plane.keepalive.since[self] = self.plane.now_s
        elif not self._scheduled:
            self._scheduled = True
            self.plane.loop.call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        if self.exchange is None and not self.lingering and not self.held and self.transport is not None:
            self._receive_head(self.buffer)

    # -- another process takes over
    def hold(self) -> None:
        """Begin no further request; what comes from now on is for whoever takes the connection over."""
        if self in self.plane.reserve.guests:  # its one answer is ours
            return
        self.held = True
        if self.exchange is None:
            self.plane.keepalive.stop(self)
            self.plane.header_wait.stop(self)
            self.pause()

    def go_on(self) -> None:
        """Nobody takes it over after all; or we have taken it over, with what is in `buffer`."""
        self.held = False
        self.closing = True
        if self.exchange is None and not self.lingering and self.transport is not None:
            self.plane.header_wait.stop(self)
            self._go_on()

    # -- deadlines
    def header_late(self) -> None:
        """`header_timeout_s` has passed without a whole head."""
        self.plane.count_limit(at.LIMITED_HEADER_TIMEOUT)
        if self.buffer.strip(b"\r\n"):
            detail = "the request head did not arrive in time"
            front_desk.refuse(self, DownstreamError(408, "request_timeout", detail))
        elif self.buffer:
            farewell.close(self, linger=False)
        else:
            self.drain()

    def body_late(self) -> None:
        """The client was silent within its body for `body_timeout_s`."""
        if self.exchange is not None:
            self.plane.count_limit(at.LIMITED_BODY_TIMEOUT)
            self.exchange.client_broke(408, "request_timeout", "the request body did not arrive in time")

    def drain(self) -> None:
        """Close as soon as nothing is being answered; a request that has begun to arrive is answered first."""
        self.closing = True
        idle = self.exchange is None and not self.buffer and not self.lingering and not self.congested
        if idle and not farewell.close_idle(self):
            self.plane.header_wait.start(self, self.plane.now_s)

    def shut(self) -> None:
        """Close now, whatever is under way."""
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
