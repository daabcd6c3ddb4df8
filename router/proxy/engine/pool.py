"""The connections to one address of an endpoint: idle ones for reuse, and exchanges that wait for a new one.

Decisions are synchronous; only opening a connection awaits. An exchange that finds no idle connection opens one, and takes the
first that is available: the new one, or one that another exchange returns.

Why: docs/decisions.md#unread-bytes-on-young-idle-connections.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from router.proxy.engine.upstream import Upstream
from router.proxy.routing.standing import Standing
from router.proxy.tls.backend import BackendContext
from router.rollout.model.endpoint import Endpoint
from router.rollout.outcome import Outcome
from router.runtime import clock
from router.shm.address_rows import address_name

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.exchange import Exchange

_OUR_OWN_FAULT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL))
_QUEUE_FULL_S: Final = 0.01
_FRESH_S: Final = 0.5
"""A connection that was idle for longer is polled before it is used. Of any other the loop would have read the end."""


class Pool:
    """Connections to one address of an endpoint. `in_flight` counts attempts; `_idle` is ordered by the time of return.

    `address`: an address of the endpoint's name; empty for a Unix socket, and for a name until it is resolved.
    `pair_s`: when a failure there last became a pair (rescue/rescue.py).
    """

    def __init__(
        self, context: WorkerContext, endpoint: Endpoint, backend_context: BackendContext, address: str = ""
    ) -> None:
        """`backend_context` verifies the endpoint if it uses TLS."""
        self._context = context
        self.endpoint = endpoint
        self.address = address
        self.standing = Standing()
        self._backend_context = backend_context
        self._last: ssl.SSLObject | None = None
        self.authority = endpoint.authority.encode()
        self.in_flight = 0
        self.pair_s = 0.0
        self.closed = False
        self._idle: list[Upstream] = []
        self._waiting: deque[Exchange] = deque()

    def __repr__(self) -> str:
        idle, waiting = len(self._idle), len(self._waiting)
        return f"<Pool {self.name}: {self.in_flight} in flight, {idle} idle, {waiting} waiting>"

    @property
    def name(self) -> str:
        """The spelling in logs: the endpoint's URL, and the address if the URL has a name."""
        return address_name(self.endpoint.url, "" if self.address == self.endpoint.host else self.address)

    def take(self, now_s: float) -> Upstream | None:
        """Return an idle connection that is still usable, None if there is none."""
        while self._idle:
            upstream = self._idle.pop()
            age_s = now_s - upstream.idle_since_s
            if age_s < upstream.idle_max_s and (age_s < _FRESH_S or not upstream.shows_eof()):
                return upstream
            upstream.close()
        return None

    def wait(self, exchange: Exchange) -> None:
        """Open a connection. Later the exchange gets `connected` with it or an earlier one, or `connect_failed`."""
        self._waiting.append(exchange)
        self._context.tasks.spawn(self._connect(), f"connect {self.endpoint.url}")

    @property
    def waiting(self) -> int:
        """The number of exchanges that wait for a connection."""
        return len(self._waiting)

    def cancel_wait(self, exchange: Exchange) -> None:
        """End the wait of an exchange. The connection being opened for it goes to the next exchange or becomes idle."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def release(self, upstream: Upstream, now_s: float) -> None:
        """Give a new connection, or one that has finished its exchange, to a waiting exchange, or keep it idle."""
        if self.closed:
            upstream.close()
        elif self._waiting:
            self._waiting.popleft().connected(upstream)
        else:
            upstream.idle_since_s = now_s
            self._idle.append(upstream)

    def remove(self, upstream: Upstream) -> None:
        """Remove an idle connection that the backend has closed."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def expire(self, now_s: float) -> None:
        """Close connections that were idle too long; the oldest are first."""
        while self._idle and now_s - self._idle[0].idle_since_s >= self._idle[0].idle_max_s:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Close the idle connections, and from now on each connection that is returned."""
        self.closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> None:
        """Open one connection, or resolve the name if it is not resolved yet, within `connect_timeout_s`."""
        error: OSError
        try:
            async with asyncio.timeout(self._context.options.connect_timeout_s):
                if not self.address and not self.endpoint.unix:
                    await self._resolve()
                    return
                upstream = await self._open()
        except TimeoutError:
            error = TimeoutError(f"no connection within {self._context.options.connect_timeout_s} s")
        except OSError as failure:
            # Without its traceback: the frames refer to the connection, and this frame refers to the error.
            error = failure.with_traceback(None)
        else:
            self.standing.connected()
            self.release(upstream, clock.now_s())
            return
        ours, now_s = error.errno in _OUR_OWN_FAULT, clock.now_s()
        self.standing.back_off(now_s)
        if not ours:
            self.standing.failed(Outcome.CONNECT_FAILED, None, now_s)
        if self._waiting:
            exchange = self._waiting.popleft()
            if exchange.attempt is None or not exchange.attempt.waits_elsewhere(self):
                exchange.connect_failed(error, ours=ours)

    async def _resolve(self) -> None:
        """Resolve the name; then the exchange that waits chooses one of the addresses."""
        if not await self._context.resolver.addresses(self.endpoint.host):
            raise ConnectionError(f"the name {self.endpoint.host} does not resolve")
        if self._waiting and (attempt := self._waiting.popleft().attempt) is not None:
            attempt.resolved()

    async def _open(self) -> Upstream:
        if self.endpoint.unix:
            return await self._open_unix(self.endpoint.unix)
        return await self._open_to(self.address)

    async def _open_to(self, host: str) -> Upstream:
        return await (self._open_tls(host) if self.endpoint.secure else self._open_tcp(host))

    async def _open_tcp(self, host: str) -> Upstream:
        _, upstream = await asyncio.get_running_loop().create_connection(self._protocol, host, self.endpoint.port)
        return cast(Upstream, upstream)

    async def _open_tls(self, host: str) -> Upstream:
        upstream = Upstream(self._context, self)
        secured = await self._backend_context.wrap(cast(asyncio.Protocol, upstream), self.endpoint, self._last)
        await asyncio.get_running_loop().create_connection(lambda: secured.tls, host, self.endpoint.port)
        self._last = (await secured.wait()).ssl
        return upstream

    async def _open_unix(self, path: str) -> Upstream:
        """A full queue refuses at once (EAGAIN, connect(2)); over TCP the kernel would wait, so wait here."""
        while True:
            try:
                _, upstream = await asyncio.get_running_loop().create_unix_connection(self._protocol, path)
            except BlockingIOError:
                await asyncio.sleep(_QUEUE_FULL_S)
            else:
                return cast(Upstream, upstream)

    def _protocol(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, Upstream(self._context, self))
