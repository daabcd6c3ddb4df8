"""Limits the connections of the admin port: their number, the time for a request head, and the idle time.

aiohttp bounds neither the number of connections nor the time until a head is complete. At the limit, the connection that has
waited longest without a request in flight is evicted for a new one: 2,000 silent connections cannot lock the operator out. A
connection with a request in flight is never evicted; if all have one, the new connection is answered 503.

TLS handshakes count apart: HANDSHAKES_MAX at once, HANDSHAKE_TIMEOUT_S each. At the limit the oldest handshake of the address
with the most is closed, so that slow handshakes of one address keep no other address out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final, cast

import orjson
from aiohttp import web

from router.control.admin.http_protocol import FIELDS, AdminProtocol, MalformedRequests, defer_continue
from router.runtime import clock, fd_limits
from router.runtime.tasks import Tasks
from router.settings.settings import Settings

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S: Final = 10.0
HANDSHAKES_MAX: Final = 64
"""A handshake takes a client milliseconds, and about 35 KiB of memory meanwhile."""
ACCEPTED_AT_ONCE_MAX: Final = 16
"""Connections that one iteration of the event loop accepts."""
ACCEPT_RETRY_S: Final = 1.0
"""The wait if no descriptor is left for a new connection."""
SWEEP_S: Final = 1.0
REASONS: Final = ("evicted", "header_timeout", "keepalive_idle", "refused", "handshake_evicted", "handshake_timeout")
_FULL: Final = orjson.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "connections_exhausted",
        "detail": "admin.connections_max requests are under way; try again",
        "request_id": "none",
    }
)
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 1\r\n%bX-Request-ID: none\r\nConnection: close\r\n\r\n%b"
    % (len(_FULL), b"".join(f"{name}: {value}\r\n".encode() for name, value in FIELDS.items()), _FULL)
)


class ConnectionLimiter:
    """The connections of the admin port. `counts`: the connections closed by us since control began, by reason."""

    def __init__(self, settings: Settings) -> None:
        self.counts = dict.fromkeys(REASONS, 0)
        self.malformed = MalformedRequests()
        self._fd_limit: int | None = None
        self._connections: dict[asyncio.BaseTransport, LimitedConnection] = {}
        self._waiting: dict[LimitedConnection, float] = {}
        self._logged: dict[str, int] = dict(self.counts)
        self._timer: asyncio.TimerHandle | None = None
        self.reconfigure(settings)

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def waiting(self) -> tuple[LimitedConnection, ...]:
        """The connections that wait for their client, the longest wait first."""
        return tuple(self._waiting)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings (SIGHUP); present connections stay at least until the next sweep."""
        configured = settings.admin.connections_max
        self.connections_max = configured if self._fd_limit is None else min(configured, self._fd_limit)
        self.header_timeout_s = settings.admin.header_timeout_s
        self.keepalive_idle_s = settings.admin.keepalive_idle_s

    def limit_to(self, connections: int) -> None:
        """Admit at most `connections` from now on, even if the settings permit more: file descriptors are limited."""
        self._fd_limit = connections
        self.connections_max = min(self.connections_max, connections)

    # -- connections
    def admit(self, connection: LimitedConnection, transport: asyncio.BaseTransport, now_s: float) -> bool:
        """Admit a new connection, evicting another one at the limit; return False if all have a request in flight."""
        if len(self._connections) >= self.connections_max:
            silent = (waiting for waiting in self._waiting if not waiting.has_unread())
            oldest = next(silent, next(iter(self._waiting), None))
            if oldest is None:
                self.counts["refused"] += 1
                return False
            self._evict(oldest, "evicted")
        self._connections[transport] = connection
        self.mark_waiting(connection, now_s)
        return True

    def release(self, connection: LimitedConnection, transport: asyncio.BaseTransport) -> None:
        """Forget a connection that has ended."""
        self._connections.pop(transport, None)
        self._waiting.pop(connection, None)

    def mark_waiting(self, connection: LimitedConnection, now_s: float) -> None:
        """Start the clock of a connection that is idle, or whose request head is incomplete."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = now_s

    # -- requests, from the middleware
    def request_started(self, transport: asyncio.BaseTransport | None) -> None:
        """Record that a request head is complete: its connection is not evicted until the request is answered."""
        if transport is not None and (connection := self._connections.get(transport)) is not None:
            connection.idle = False  # a pipelined request starts without new bytes
            self._waiting.pop(connection, None)

    def request_ended(self, transport: asyncio.BaseTransport | None, now_s: float) -> None:
        """Record that a request was answered."""
        if transport is not None and (connection := self._connections.get(transport)) is not None:
            connection.idle = True
            self.mark_waiting(connection, now_s)

    # -- time
    def sweep(self, now_s: float) -> None:
        """Close connections that were idle, or without a whole head, for too long; log evictions and refusals once a
        sweep.
        """
        for connection, since_s in list(self._waiting.items()):
            limit_s, why = (
                (self.keepalive_idle_s, "keepalive_idle")
                if connection.idle
                else (self.header_timeout_s, "header_timeout")
            )
            if now_s - since_s >= limit_s and not (connection.idle and connection.has_unread()):
                self._evict(connection, why)
        self._log_limits()

    def _log_limits(self) -> None:
        """Log which limits have acted since they were logged last."""
        new = {why: self.counts[why] - self._logged[why] for why in REASONS}
        if new["evicted"] or new["refused"]:
            log.warning(
                "admin.connections_max = %d is reached: %d idle connections put out, %d refused",
                *(self.connections_max, new["evicted"], new["refused"]),
            )
        if new["handshake_evicted"]:
            log.warning(
                "%d TLS handshakes at the admin port are under way: %d were closed, the oldest of the address with the most",
                *(HANDSHAKES_MAX, new["handshake_evicted"]),
            )
        self._logged = dict(self.counts)

    def start_sweeping(self) -> None:
        """Sweep every SWEEP_S from now on."""
        self.sweep(clock.now_s())
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self.start_sweeping)

    def stop_sweeping(self) -> None:
        """Stop sweeping."""
        if self._timer is not None:
            self._timer.cancel()

    def _evict(self, connection: LimitedConnection, why: str) -> None:
        self.counts[why] += 1
        connection.evict()


class LimitedConnection(asyncio.Protocol):
    """One connection, between the loop and aiohttp's protocol. `idle`: no byte has come since the last answer."""

    def __init__(self, limiter: ConnectionLimiter, inner: AdminProtocol) -> None:
        self.idle = False
        self._limiter = limiter
        self._inner = inner
        self._transport: asyncio.Transport | None = None
        self._admitted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._admitted = self._limiter.admit(self, transport, clock.now_s())
        if self._admitted:
            self._inner.connection_made(transport)
        else:
            self._transport.write(_REFUSAL)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by the loop with received bytes; the first byte after an answer starts the clock of the next head."""
        if not self._admitted:
            return
        if self.idle:
            self.idle = False
            self._limiter.mark_waiting(self, clock.now_s())
        self._inner.data_received(data)

    def eof_received(self) -> None:
        """Called by the loop when the client has closed its side."""
        if self._admitted:
            self._inner.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, at the end of the connection."""
        transport, self._transport = self._transport, None
        if self._admitted and transport is not None:
            self._limiter.release(self, transport)
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        """Called by the loop when the write buffer is full."""
        if self._admitted:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Called by the loop when the write buffer has drained."""
        if self._admitted:
            self._inner.resume_writing()

    def has_unread(self) -> bool:
        """Return whether the kernel has unread bytes of it: a close could lose a request."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        return sock is not None and fd_limits.unread_bytes(sock.fileno()) > 0

    def evict(self) -> None:
        """Close at once; no request is in flight."""
        if self._transport is not None:
            self._limiter.release(self, self._transport)
            self._transport.abort()


class AdminTlsAcceptor:
    """Accepts connections and does their TLS handshakes; then each has the protocol that `make` returns.

    `counts` are those of the limiter. The event loop's own server would tell neither when a handshake begins nor when it fails.
    """

    def __init__(
        self,
        listening: socket.socket,
        tls: ssl.SSLContext,
        counts: dict[str, int],
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        self._listening = listening
        self._tls = tls
        self._counts = counts
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._pending: dict[asyncio.Task[None], str] = {}
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening.fileno(), self._accept)

    def stop(self) -> None:
        """Accept no more, and end the handshakes that are under way."""
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for task in list(self._pending):
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE_MAX):
            try:
                sock, name = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptor or no memory is left
                self._loop.remove_reader(self._listening.fileno())
                self._retry = self._loop.call_later(ACCEPT_RETRY_S, self.start)
                return
            self._begin(sock, str(name[0]) if isinstance(name, tuple) else "")

    def _begin(self, sock: socket.socket, address: str) -> None:
        if len(self._pending) >= HANDSHAKES_MAX:
            self._evict()
        sock.setblocking(False)
        task = self._tasks.spawn(self._secure(sock), "TLS handshake at the admin port")
        self._pending[task] = address
        task.add_done_callback(self._ended)

    def _evict(self) -> None:
        """Close the oldest handshake of the address with the most."""
        [(busiest, _)] = Counter(self._pending.values()).most_common(1)
        oldest = next(task for task, address in self._pending.items() if address == busiest)
        self._counts["handshake_evicted"] += 1
        del self._pending[oldest]
        oldest.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._pending.pop(task, None)

    async def _secure(self, sock: socket.socket) -> None:
        secured = False
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._loop.connect_accepted_socket(
                    self._make,
                    sock,
                    ssl=self._tls,
                    ssl_handshake_timeout=2 * HANDSHAKE_TIMEOUT_S,  # the limit above acts first, and is counted
                )
            secured = True
        except TimeoutError:
            self._counts["handshake_timeout"] += 1
        except OSError:  # of TLS, too: the client has left, sends no TLS, or trusts another authority
            pass
        finally:
            if not secured:
                sock.close()


class LimitedSite(web.BaseSite):
    """aiohttp's site with a LimitedConnection before its protocol."""

    def __init__(
        self, runner: web.BaseRunner, sock: socket.socket, limiter: ConnectionLimiter, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(runner)
        self._tls = tls
        self._acceptor: AdminTlsAcceptor | None = None
        self._sock = sock
        self._limiter = limiter

    @property
    def name(self) -> str:
        """The listening address."""
        return str(self._sock.getsockname())

    async def start(self) -> None:
        """Begin to accept."""
        await super().start()
        server = self._runner.server
        assert server is not None
        server.request_factory = defer_continue(server.request_factory)

        def connection() -> asyncio.Protocol:
            return LimitedConnection(self._limiter, AdminProtocol(server, self._limiter.malformed))

        if self._tls is None:
            self._server = await asyncio.get_running_loop().create_server(connection, sock=self._sock)
        else:
            self._acceptor = AdminTlsAcceptor(self._sock, self._tls, self._limiter.counts, connection)
            self._acceptor.start()
        self._limiter.start_sweeping()

    async def stop(self) -> None:
        """Stop accepting."""
        self._limiter.stop_sweeping()
        if self._acceptor is not None:
            self._acceptor.stop()
        await super().stop()
