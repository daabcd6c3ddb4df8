"""Connections on which an L4 balancer has yet to say whom it connects (`proxy_protocol = "required"`).

Never guessed: where a header is required, whatever comes without one is closed, and a header counts only from
`proxy_protocol_from`. If both were served on one port, a client behind the balancer could write the header itself
(proxy-protocol.txt §2). It comes before everything else, TLS included. Nothing is answered: whoever speaks here
without a header is not a client of ours.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from router.proxy.addresses import peer_of
from router.proxy.http1.proxy_header import ProxyHeader, ProxyHeaderError
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.accept.connection_limiter import ClientConnectionLimiter
    from router.proxy.context import WorkerContext
    from router.proxy.options import Options

log = logging.getLogger(__name__)
_SAID_EVERY_S: Final = 10.0
"""One refusal in so long is named in the log; a scanner must not fill it."""

Above = Callable[[str], asyncio.Protocol]
"""The announced address, or "" for whatever the connection shows → the protocol that serves the client."""


class ProxyProtocolAcceptor:
    """Those of one worker that wait for their header."""

    def __init__(self, context: WorkerContext, limiter: ClientConnectionLimiter) -> None:
        self.context = context
        self.limiter = limiter
        self._seldom = LogThrottle(_SAID_EVERY_S)
        self.reconfigure(context.options)

    def reconfigure(self, options: Options) -> None:
        """Take over other settings, for connections that come from now on."""
        self._required = options.proxy_protocol.required

    def wrap(self, above: Above) -> asyncio.Protocol:
        """Return what a new connection is given to."""
        return PendingHeader(self, above) if self._required else above("")

    def refused(self, address: str, why: str) -> None:
        """Count a connection that was closed, and say so now and then."""
        context = self.context
        word = context.row + at.W_PROXY_HEADERS_REFUSED
        context.words[word] += 1
        if self._seldom.due(clock.now_s()):
            log.info("a connection from %s was closed (the worker's %d.): %s", address, context.words[word], why)

    def abort(self) -> None:
        """Give up those that wait."""
        for introduction in list(self.context.proxy_header_wait.since):
            introduction.abort()


class PendingHeader(asyncio.Protocol):
    """One connection until its header is whole; then its transport is handed on."""

    def __init__(self, introductions: ProxyProtocolAcceptor, above: Above) -> None:
        self._introductions = introductions
        self._context = introductions.context
        self._limiter = introductions.limiter
        self._above = above
        self._header = ProxyHeader(introductions.context.options.proxy_protocol.header_bytes_max)
        self._begun = False
        self._transport: asyncio.Transport
        self._address: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop for each accepted connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._address = peer_of(transport).address
        if not self._context.allowed_senders.covers(self._address):
            self._refuse("it is not in proxy_protocol_from")
        else:
            if self._limiter.at_connection_limit():
                self._limiter.reserve.take(self, self._address, PendingHeader.no_room)
            self._context.proxy_header_wait.start(self, clock.now_s())

    def data_received(self, data: bytes) -> None:
        """Called by the loop with whatever has arrived."""
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
        """Called by the loop when the other side has closed. If it never said a word, it only looked whether the port is open."""
        if self._begun:
            self._refuse("it ended within its PROXY header")

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop, once, whoever closed."""
        self._leave()

    def late(self) -> None:
        """No whole header within `header_timeout_s`."""
        self._refuse("its PROXY header did not arrive in time")

    def no_room(self) -> None:
        """It was a guest of the reserve, and its header did not come in time."""
        self._context.count_limit(at.LIMITED_CONNECTIONS)
        self._refuse("this worker has no room for another connection")

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def _leave(self) -> None:
        self._context.proxy_header_wait.stop(self)
        self._limiter.reserve.leave(self)

    def _refuse(self, why: str) -> None:
        self._introductions.refused(self._address, why)
        self.abort()
