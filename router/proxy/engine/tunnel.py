"""A WebSocket: after the backend's 101, bytes pass unchanged in both directions until a side ends (RFC 9110 §7.8).

The exchange continues: it is in flight on the version where it began, survives switches, and is cut by a drain or a shutdown
like any other. Its protocols are replaced, so the request path has no code for tunnels. The router does not parse the
bytes.

If a side closes, the tunnel ends well once the other has closed too or is silent for `half_close_grace_s`. A reset is
`client_gone` or `truncated`. A limit of the router is `cut`. A quiet tunnel is never a fault.
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
"""A quiet tunnel has no deadline by default, so the kernel probes whether the peer still exists (two minutes)."""


def open_tunnel(exchange: Exchange, upstream: Upstream, head: ResponseHead, data: bytes) -> Tunnel:
    """Relay the 101 and the `data` behind it, and open the tunnel."""
    attempt, now_s = exchange.attempt, clock.now_s()
    assert attempt is not None
    exchange.status = head.status
    # `close_after`: only a reset can show that a tunnel was cut.
    exchange.answered = exchange.close_after = True
    exchange.body = None
    exchange.service.idle.stop(exchange)
    attempt.answered(head.status, now_s)
    attempt.became_useful(now_s, now_s - (attempt.sent_s or now_s))
    extra = attempt.target.served_version if exchange.service.options.served_version_header else b""
    if not head.has_request_id:
        extra += b"X-Request-ID: %b\r\n" % exchange.request_id
    exchange.downstream.write(b"%b%b\r\n%b" % (head.downstream, extra, data))
    return Tunnel(exchange, upstream)


class Tunnel:
    """A tunnel of two sides. `closing`: a side has closed; nothing that happens later is a failure."""

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
        """Restart the idle deadline: a side has sent bytes."""
        context = self.context
        if self.closing:
            context.tunnel_close.start(self, clock.now_s())
        elif context.tunnel_idle.duration_s < math.inf:
            context.tunnel_idle.start(self, clock.now_s())

    def closed(self, side: TunnelSide) -> None:
        """Close the other side for writing, because this side has closed, and wait until it closes, too."""
        self.closing = True
        self.context.tunnel_idle.stop(self)
        if side.other.ended:
            self._finish()
        else:
            side.other.transport.write_eof()
            self.on_data()

    def on_paused(self, side: TunnelSide) -> None:
        """Pause the other side: this side reads slower. A client needs the minimum rate, as with a response (min_rate.py); a
        backend has `idle_timeout_s`, as with a request.
        """
        side.other.pause()
        if side is self._client:
            flow_control.start_write_timers(self.exchange.downstream)
            self.exchange.paused_at_s = clock.now_s()
        else:
            self.exchange.service.idle.start(self.exchange, clock.now_s())

    def on_resumed(self, side: TunnelSide) -> None:
        """Resume the other side: this side has caught up."""
        side.other.resume()
        if side is self._client:
            flow_control.stop_write_timers(self.exchange.downstream)
            self.exchange.paused_at_s = 0.0
        else:
            self.exchange.service.idle.stop(self.exchange)

    def lost(self, side: TunnelSide, error: Exception | None) -> None:
        """End the tunnel, because a side has disconnected. Without an error, or after a regular close of either side, that is a
        good end; so is a missing close_notify of TLS, because a WebSocket has its own close frame (RFC 6455 §7).
        """
        if side is self._backend or not self.exchange.ended:
            self._forget()
        if not self.exchange.ended and (error is None or self.closing or isinstance(error, EndedWithoutNotice)):
            self._finish()

    def idle_too_long(self) -> None:
        """Cut the tunnel: no side has sent a byte for `tunnel_idle_s`."""
        self._forget()
        self.exchange.cut()

    def close_overdue(self) -> None:
        """End the tunnel, because the other side has not closed in time; while it still reads, wait on."""
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
    """One side. `ended`: it has closed its direction; `full`: it reads slower than the other sends."""

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
        """Called by the loop with the bytes that have arrived."""
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
        """Called by the loop, once, after either side has closed."""
        self._tunnel.lost(self, error)
        self._afterwards(error)

    def pause_writing(self) -> None:
        """Called by the loop when this side reads slower than we write."""
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
        """Read again: its turn of the loop has come."""
        self._reading_deferred = False
        if not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()


def _detach_client(downstream: Downstream) -> tuple[asyncio.Transport, bytes]:
    """Return the client's transport, and the bytes that the client has sent behind its request."""
    assert downstream.transport is not None
    unread = downstream.buffer[downstream.at :]
    downstream.drop_input()
    return downstream.transport, unread


def _keep_alive(transport: asyncio.Transport) -> None:
    sock = cast(socket.socket, transport.get_extra_info("socket"))
    for level, name, value in _KEEPALIVE:
        if level == socket.SOL_SOCKET or sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(level, name, value)
