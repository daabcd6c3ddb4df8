"""A WebSocket: after the backend's 101 bytes pass as they come, in both directions, until a side ends (RFC 9110 §7.8).

The exchange goes on: it is in flight on the version that it began on, survives switches, and is cut by drain and shutdown
like any other. Its protocols are replaced, so the request path does not know of tunnels. Neither side's bytes are looked at.

How it ends: a side that closes ends it well, once the other has closed too or is silent for `half_close_grace_s`; a reset is
`client_gone` or `truncated`; a limit of ours is `cut`. Being quiet is never a fault.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from router.proxy.engine import flow_control
from router.proxy.fair_queue import LARGE_READ_BYTES
from router.proxy.tls.transport import EndedWithoutNotice
from router.runtime import clock

if TYPE_CHECKING:
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.upstream import Upstream
    from router.proxy.http1.response_head import ResponseHead

_KEEPALIVE: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6),
)
"""A quiet tunnel has no clock of its own, so the kernel asks whether the other side still exists (two minutes)."""


def open_tunnel(exchange: Exchange, upstream: Upstream, head: ResponseHead, data: bytes) -> Tunnel:
    """The backend has agreed with `head`, and `data` came behind it: hand the 101 on and let both sides speak."""
    attempt, now_s = exchange.attempt, clock.now_s()
    assert attempt is not None
    exchange.status = head.status
    exchange.answered = exchange.close_after = (
        True  # and a tunnel that is cut ends with a reset: only its end tells its end
    )
    exchange.body = None
    exchange.service.idle.stop(exchange)
    attempt.answered(head.status, now_s)
    extra = attempt.target.served_version if exchange.service.options.served_version_header else b""
    if not head.has_request_id:
        extra += b"X-Request-ID: %b\r\n" % exchange.request_id
    exchange.downstream.write(b"%b%b\r\n%b" % (head.downstream, extra, data))
    return Tunnel(exchange, upstream)


class Tunnel:
    """Both ends of one. `closing`: a side has closed, and nothing that comes later makes a failure of it."""

    def __init__(self, exchange: Exchange, upstream: Upstream) -> None:
        self.exchange = exchange
        self.closing = False
        self.context = exchange.context
        client, unread = _detach_client(exchange.downstream)
        backend = upstream.hand_over()
        self._unwritten = (0, 0)
        self._client = TunnelSide(self, client, exchange.downstream.connection_lost)
        self._backend = TunnelSide(self, backend, self._backend_lost)
        self._client.other, self._backend.other = self._backend, self._client
        self._client.full = exchange.downstream.congested
        for transport, side in ((client, self._client), (backend, self._backend)):
            _keep_alive(transport)
            transport.set_protocol(side)
        if unread:
            backend.write(unread)
        if self._client.full:
            self._backend.pause()
        self.on_data()

    def __repr__(self) -> str:
        return f"<Tunnel of {self.exchange!r}: closing {self.closing}>"

    def on_data(self) -> None:
        """One of the two said something."""
        context = self.context
        if self.closing:
            context.tunnel_close.start(self, clock.now_s())
        elif context.tunnel_idle.duration_s < math.inf:
            context.tunnel_idle.start(self, clock.now_s())

    def closed(self, side: TunnelSide) -> None:
        """A side has said all it had to say: tell the other, and wait for its answer."""
        self.closing = True
        self.context.tunnel_idle.stop(self)
        if side.other.ended:
            self._finish()
        else:
            side.other.transport.write_eof()
            self.on_data()

    def on_paused(self, side: TunnelSide) -> None:
        """A side takes less than the other says. A client has to be as fast as with a response
        (pace.py), a backend has `idle_timeout_s`, as with a request.
        """
        side.other.pause()
        if side is self._client:
            flow_control.start_write_timers(self.exchange.downstream)
            self.exchange.paused_at_s = clock.now_s()
        else:
            self.exchange.service.idle.start(self.exchange, clock.now_s())

    def on_resumed(self, side: TunnelSide) -> None:
        """It has caught up."""
        side.other.resume()
        if side is self._client:
            flow_control.stop_write_timers(self.exchange.downstream)
            self.exchange.paused_at_s = 0.0
        else:
            self.exchange.service.idle.stop(self.exchange)

    def lost(self, side: TunnelSide, error: Exception | None) -> None:
        """A side is gone. Without an error, or after a regular close of either, that is a good end; so is one without TLS's
        close_notify, for a WebSocket says itself when it ends (RFC 6455 §7).
        """
        if side is self._backend or not self.exchange.ended:
            self._forget()
        if not self.exchange.ended and (error is None or self.closing or isinstance(error, EndedWithoutNotice)):
            self._finish()

    def idle_too_long(self) -> None:
        """Neither said anything for `tunnel_idle_s`."""
        self._forget()
        self.exchange.cut()

    def close_overdue(self) -> None:
        """The other side has not closed in turn; it gets more time only as long as it takes what it was sent."""
        unwritten = (self._client.transport.get_write_buffer_size(), self._backend.transport.get_write_buffer_size())
        if any(unwritten) and unwritten != self._unwritten:
            self._unwritten = unwritten
            self.on_data()
        elif self.exchange.ended:
            self._backend.transport.abort()
        else:
            self._finish()

    def _backend_lost(self, error: Exception | None) -> None:
        if not self.exchange.ended:
            self.exchange.lost(str(error), stale=False)

    def _finish(self) -> None:
        self._forget()
        self.closing = True
        if self._backend.transport.get_write_buffer_size():
            self.on_data()
        self._backend.transport.close()
        self.exchange.completed()

    def _forget(self) -> None:
        self.context.tunnel_idle.stop(self)
        self.context.tunnel_close.stop(self)


class TunnelSide(asyncio.Protocol):
    """One side. `ended`: it has closed its direction; `full`: it takes less than the other says."""

    other: TunnelSide
    greedy = False

    def __init__(
        self, tunnel: Tunnel, transport: asyncio.Transport, afterwards: Callable[[Exception | None], None]
    ) -> None:
        self.transport = transport
        self.ended = False
        self.full = False
        self._tunnel = tunnel
        self._afterwards = afterwards
        self._paused = False
        self._reading_deferred = False

    def data_received(self, data: bytes) -> None:
        """Called by the loop with whatever has arrived."""
        if not self._tunnel.exchange.ended and not self.other.transport.is_closing():
            if len(data) >= LARGE_READ_BYTES:
                self._defer_reading()
            self.other.transport.write(data)
            self._tunnel.on_data()

    def eof_received(self) -> bool:
        """Called by the loop when this side has closed its direction; True keeps the other one open."""
        self.ended = True
        if not self._tunnel.exchange.ended:
            self._tunnel.closed(self)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, whoever closed."""
        self._tunnel.lost(self, error)
        self._afterwards(error)

    def pause_writing(self) -> None:
        """Called by the loop when this side takes less than is written to it."""
        self.full = True
        self._tunnel.on_paused(self)

    def resume_writing(self) -> None:
        """Called by the loop when this side has caught up."""
        self.full = False
        self._tunnel.on_resumed(self)

    def pause(self) -> None:
        """Read no more for now: the other side is full."""
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._paused and not self.transport.is_closing():
            self._paused = False
            if not self._reading_deferred:
                self.transport.resume_reading()

    def _defer_reading(self) -> None:
        """Read no more in this turn of the loop (fair_queue.py)."""
        if not self._reading_deferred and not self.transport.is_closing():
            self._reading_deferred = True
            self.transport.pause_reading()
            self._tunnel.context.fair_queue.enqueue(self)

    def take_turn(self) -> None:
        """Its turn of the loop has come."""
        self._reading_deferred = False
        if not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()


def _detach_client(downstream: Downstream) -> tuple[asyncio.Transport, bytes]:
    """Return the client's transport, and what the client has sent behind its request."""
    assert downstream.transport is not None
    unread = downstream.buffer[downstream.at :]
    downstream.drop_input()
    return downstream.transport, unread


def _keep_alive(transport: asyncio.Transport) -> None:
    sock = cast(socket.socket, transport.get_extra_info("socket"))
    for level, name, value in _KEEPALIVE:
        if level == socket.SOL_SOCKET or sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(level, name, value)
