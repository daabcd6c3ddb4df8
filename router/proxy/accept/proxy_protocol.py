"""Accepts connections that begin with a PROXY header of an L4 balancer (`proxy_protocol = "required"`).

If a header is required, a connection without one is closed. Accepting both would let clients send the header themselves
(proxy-protocol.txt §2). A header is accepted only from `proxy_protocol_from`. It precedes everything else, TLS included. A
refused connection is closed without a response.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from router.proxy.addresses import peer_address, peer_host
from router.proxy.http1.proxy_header import ProxyHeader, ProxyHeaderError
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.accept.connection_limiter import ClientConnectionLimiter
    from router.proxy.context import WorkerContext
    from router.proxy.options import Options

log = logging.getLogger(__name__)
_LOG_EVERY_S: Final = 10.0
"""At most one refusal in this time is logged: a scanner must not fill the log."""

Above = Callable[[str], asyncio.Protocol]
"""(the client's address in the header, or "" for the connection's own address) → the protocol that serves the client."""


class ProxyProtocolAcceptor:
    """Accepts the connections of one worker. `required`: each begins with a header."""

    def __init__(self, context: WorkerContext, limiter: ClientConnectionLimiter) -> None:
        self.context = context
        self.limiter = limiter
        self._throttle = LogThrottle(_LOG_EVERY_S)
        self.reconfigure(context.options)

    def reconfigure(self, options: Options) -> None:
        """Apply changed settings to new connections, and close those whose sender is not allowed any more."""
        self.required = options.proxy_protocol.required
        for pending in list(self.context.proxy_header_wait.since):
            pending.check_sender()

    def wrap(self, above: Above) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return PendingHeader(self, above) if self.required else above("")

    def refused(self, address: str, reason: str) -> None:
        """Count a refused connection, and log some of them."""
        context = self.context
        word = context.row + at.W_PROXY_HEADERS_REFUSED
        context.words[word] += 1
        if self._throttle.due(clock.now_s()):
            log.info(
                "a connection from %s was closed (%d so far in this worker): %s", address, context.words[word], reason
            )

    def abort(self) -> None:
        """Close the connections that wait for their header."""
        for pending in list(self.context.proxy_header_wait.since):
            pending.abort()


class PendingHeader(asyncio.Protocol):
    """One connection until its header is complete; then its transport gets the protocol `above`."""

    def __init__(self, acceptor: ProxyProtocolAcceptor, above: Above) -> None:
        self._acceptor = acceptor
        self._context = acceptor.context
        self._limiter = acceptor.limiter
        self._above = above
        self._header = ProxyHeader(acceptor.context.options.proxy_protocol.header_bytes_max)
        self._begun = False
        self._transport: asyncio.Transport
        self._address: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._address = peer_address(peer_host(transport))
        if self.check_sender():
            if self._limiter.at_connection_limit():
                self._limiter.reserve.take(self, self._address, PendingHeader.reject_full)
            self._context.proxy_header_wait.start(self, clock.now_s())

    def check_sender(self) -> bool:
        """Refuse the connection unless its sender is allowed; return whether it is."""
        allowed = self._context.allowed_senders.covers(self._address)
        if not allowed:
            self._refuse("it is not in proxy_protocol_from")
        return allowed

    def data_received(self, data: bytes) -> None:
        """Called by the loop with received bytes."""
        if self._transport.is_closing():
            return
        self._begun = True
        try:
            taken = self._header.feed(data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if self._header.source is None:
            return
        self._leave()
        above = self._above(self._header.source.source or "")
        self._transport.set_protocol(above)
        above.connection_made(self._transport)
        if taken < len(data):
            above.data_received(data[taken:])

    def eof_received(self) -> None:
        """Called by the loop when the peer has closed. Without any bytes this is a check of the port, and not counted."""
        if self._begun:
            self._refuse("it ended within its PROXY header")

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once."""
        self._leave()

    def late(self) -> None:
        """Refuse: no complete header within `header_timeout_s`."""
        self._refuse("its PROXY header did not arrive in time")

    def reject_full(self) -> None:
        """Refuse: it was in the reserve, and its header did not arrive in time."""
        self._context.count_limit(at.LIMITED_CONNECTIONS)
        self._refuse("this worker has no room for another connection")

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def _leave(self) -> None:
        self._context.proxy_header_wait.stop(self)
        self._limiter.reserve.leave(self)

    def _refuse(self, reason: str) -> None:
        self._acceptor.refused(self._address, reason)
        self.abort()
