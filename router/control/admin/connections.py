"""Who may stand in the door of the admin port: a bounded number of connections, none of which only sits there.

aiohttp bounds neither the number of connections nor the time until a head is whole. When the door is full, whoever has
waited longest without a request under way makes room for the newcomer: 2,000 connections that say nothing cannot keep the
operator out. Nobody whose request is being answered is ever put out; if all are busy, the newcomer gets 503.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Final, cast

import orjson
from aiohttp import web

from router.control.admin.http_protocol import FIELDS, Conversation, Malformed, continued_late
from router.runtime import clock, fd_limits
from router.settings.settings import Settings

log = logging.getLogger(__name__)

_HANDSHAKE_TIMEOUT_S: Final = 10.0
SWEEP_S: Final = 1.0
_FULL: Final = orjson.dumps(
    {"type": "about:blank", "title": "Service Unavailable", "status": 503, "code": "connections_exhausted",
     "detail": "admin.connections_max requests are under way; try again", "request_id": "none"}
)  # fmt: skip
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 1\r\n%bX-Request-ID: none\r\nConnection: close\r\n\r\n%b"
    % (len(_FULL), b"".join(f"{name}: {value}\r\n".encode() for name, value in FIELDS.items()), _FULL)
)


class ConnectionLimiter:
    """The connections of the admin port. `counts`: how many were put out, by why, since control began."""

    def __init__(self, settings: Settings) -> None:
        self.counts = {"evicted": 0, "header_timeout": 0, "keepalive_idle": 0, "refused": 0}
        self.malformed = Malformed()
        self._fitting: int | None = None
        self._connections: dict[asyncio.BaseTransport, LimitedConnection] = {}
        self._waiting: dict[LimitedConnection, float] = {}
        self._logged: dict[str, int] = dict(self.counts)
        self._timer: asyncio.TimerHandle | None = None
        self.reconfigure(settings)

    def __len__(self) -> int:
        return len(self._connections)

    def reconfigure(self, settings: Settings) -> None:
        """Take over other settings (SIGHUP); who is there stays until the next sweep."""
        asked = settings.admin.connections_max
        self.connections_max = asked if self._fitting is None else min(asked, self._fitting)
        self.header_timeout_s = settings.admin.header_timeout_s
        self.keepalive_idle_s = settings.admin.keepalive_idle_s

    def fit(self, connections: int) -> None:
        """From now on there are never more than `connections`, whatever the settings say: descriptors are lacking."""
        self._fitting = connections
        self.connections_max = min(self.connections_max, connections)

    # -- who comes and goes
    def enter(self, visitor: LimitedConnection, transport: asyncio.BaseTransport, now_s: float) -> bool:
        """Let a new connection in, another one out if need be; False if all are busy."""
        if len(self._connections) >= self.connections_max:
            oldest = next((one for one in self._waiting if not one.has_unread()), next(iter(self._waiting), None))
            if oldest is None:
                self.counts["refused"] += 1
                return False
            self._evict(oldest, "evicted")
        self._connections[transport] = visitor
        self.waits(visitor, now_s)
        return True

    def leave(self, visitor: LimitedConnection, transport: asyncio.BaseTransport) -> None:
        """A connection has ended."""
        self._connections.pop(transport, None)
        self._waiting.pop(visitor, None)

    def waits(self, visitor: LimitedConnection, now_s: float) -> None:
        """From now on it owes us a head, or is idle."""
        self._waiting.pop(visitor, None)
        self._waiting[visitor] = now_s

    # -- the middleware's part
    def begun(self, transport: asyncio.BaseTransport | None) -> None:
        """A whole head is here: the request is under way."""
        if transport is not None and (visitor := self._connections.get(transport)) is not None:
            visitor.between = False  # sent ahead, it began without a byte that would have said so
            self._waiting.pop(visitor, None)

    def ended(self, transport: asyncio.BaseTransport | None, now_s: float) -> None:
        """It was answered."""
        if transport is not None and (visitor := self._connections.get(transport)) is not None:
            visitor.between = True
            self.waits(visitor, now_s)

    # -- time
    def sweep(self, now_s: float) -> None:
        """Put out who has owed us a head, or was idle, for too long; say once a sweep what was done."""
        for visitor, since_s in list(self._waiting.items()):
            limit_s, why = (
                (self.keepalive_idle_s, "keepalive_idle")
                if visitor.between
                else (self.header_timeout_s, "header_timeout")
            )
            if now_s - since_s >= limit_s and not (visitor.between and visitor.has_unread()):
                self._evict(visitor, why)
        pressed = {why: self.counts[why] - self._logged[why] for why in ("evicted", "refused")}
        if any(pressed.values()):
            self._logged = dict(self.counts)
            log.warning(
                "admin.connections_max = %d is reached: %d idle connections put out, %d refused",
                self.connections_max,
                *pressed.values(),
            )

    def open(self) -> None:
        """Sweep again and again from now on."""
        self.sweep(clock.now_s())
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self.open)

    def close(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _evict(self, visitor: LimitedConnection, why: str) -> None:
        self.counts[why] += 1
        visitor.evict()


class LimitedConnection(asyncio.Protocol):
    """One connection, between the loop and aiohttp's protocol. `between`: it is idle after an answer."""

    def __init__(self, door: ConnectionLimiter, inner: Conversation) -> None:
        self.between = False
        self._limiter = door
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._entered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._entered = self._limiter.enter(self, transport, clock.now_s())
        if self._entered:
            self._inner.connection_made(transport)
        else:
            self._transport.write(_REFUSAL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with whatever has arrived; the first byte after an answer starts the clock of the next head."""
        if not self._entered:
            return
        if self.between:
            self.between = False
            self._limiter.waits(self, clock.now_s())
        self._inner.data_received(data)

    def eof_received(self) -> None:
        """Called by the loop when the client has closed its side."""
        if self._entered:
            self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, whoever closed."""
        transport, self._transport = self._transport, None
        if self._entered and transport is not None:
            self._limiter.leave(self, transport)
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        """Called by the loop when the client takes less than we write."""
        if self._entered:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Called by the loop when the client has caught up."""
        if self._entered:
            self._inner.resume_writing()

    def has_unread(self) -> bool:
        """Return whether the kernel holds bytes of it: a request may be among them, which a close would lose."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        return sock is not None and fd_limits.unread_bytes(sock.fileno()) > 0

    def evict(self) -> None:
        """Close at once: nothing of a request is under way."""
        if self._transport is not None:
            self._limiter.leave(self, self._transport)
            self._transport.abort()


class LimitedSite(web.BaseSite):
    """aiohttp's site, with a door before its protocol."""

    def __init__(
        self, runner: web.BaseRunner, sock: socket.socket, door: ConnectionLimiter, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(runner)
        self._tls = tls
        self._sock = sock
        self._limiter = door

    @property
    def name(self) -> str:
        """Where it listens."""
        return str(self._sock.getsockname())

    async def start(self) -> None:
        """Accept from now on."""
        await super().start()
        make = self._runner.server
        assert make is not None
        make.request_factory = continued_late(make.request_factory)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: LimitedConnection(self._limiter, Conversation(make, self._limiter.malformed)),
            sock=self._sock,
            ssl=self._tls,
            ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S if self._tls else None,
        )
        self._limiter.open()

    async def stop(self) -> None:
        """Accept no more."""
        self._limiter.close()
        await super().stop()
