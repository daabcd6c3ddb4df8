"""The TLS handshakes of one worker's listener: with which certificate, for how long, how many stood and how many failed.

The files are looked at every `certificates_every_s` and at each SIGHUP, in a thread. A pair that cannot be used changes
nothing and is said in the log; connections that stand keep what they have, new handshakes get the new certificate.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final

from router.errors import StartError
from router.proxy.addresses import peer_of
from router.proxy.options import Options
from router.proxy.tls.transport import TlsTransport
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.shm import layout as at
from router.tls import certificate_info, contexts
from router.tls.contexts import ServerTls

if TYPE_CHECKING:
    from router.proxy.accept.connection_limiter import ClientConnectionLimiter
    from router.proxy.context import WorkerContext

log = logging.getLogger(__name__)
_SAID_EVERY_S: Final = 10.0
"""One refusal in so long is named in the log; a scanner must not fill it."""


class TlsAcceptor:
    """`ssl_context` is that of the next handshake, None where the listener speaks plain HTTP."""

    def __init__(self, context: WorkerContext, limiter: ClientConnectionLimiter) -> None:
        """Raise StartError if the files cannot be used."""
        options = context.options
        self._context = context
        self._limiter = limiter
        self._tls = options.tls
        self._signature = contexts.signature(options.tls.files) if options.tls else ()
        self.ssl_context: ssl.SSLContext | None = contexts.server_context(options.tls) if options.tls else None
        self._seldom = LogThrottle(_SAID_EVERY_S)

    def wrap(self, above: asyncio.Protocol, announced: str = "") -> asyncio.Protocol:
        """Return what a new connection is given to: `above` itself, or TLS with `above` behind its handshake. `announced` is
        the client's address if a balancer has said it.
        """
        if self.ssl_context is None:
            return above
        wrap = partial(self.ssl_context.wrap_bio, server_side=True)
        return TlsTransport(above, wrap, self, announced, serves=True)

    def handshake_started(self, tls: TlsTransport) -> None:
        """A client has connected. Without room for it, it is closed without an answer: the 503 of plain HTTP would cost a
        handshake, many times what the request costs that we refuse, and just when there is too much to do. A few may go on
        as guests, for a health check is among them (reserve.py).
        """
        reserve = self._limiter.reserve
        if self._limiter.at_connection_limit():
            address = peer_of(tls, tls.announced).address
            if not reserve.may_shake_hands(address):
                self._no_room(tls)
                return
            reserve.take(tls, address, self._no_room)
        self._context.handshake_wait.start(tls, clock.now_s())

    def _no_room(self, tls: TlsTransport) -> None:
        self._context.count_limit(at.LIMITED_CONNECTIONS)
        self._context.handshake_wait.stop(tls)
        tls.reject()

    def handshake_ended(self, tls: TlsTransport, error: Exception | None) -> None:
        """Its handshake stands or has failed."""
        self._context.handshake_wait.stop(tls)
        self._limiter.reserve.leave(tls)
        self._context.words[self._context.row + at.W_HANDSHAKES] += 1
        if error is None:
            return
        self._context.words[self._context.row + at.W_HANDSHAKES_FAILED] += 1
        if self._seldom.due(clock.now_s()):
            failed = self._context.words[self._context.row + at.W_HANDSHAKES_FAILED]
            log.info("a TLS handshake failed (the worker's %d.): %s", failed, certificate_info.reason(error))

    def abort(self) -> None:
        """Give up those that are under way."""
        for tls in list(self._context.handshake_wait.since):
            tls.abort()

    # -- certificates
    def reconfigure(self, options: Options) -> None:
        """Take over other settings, and read the files again even where the settings name the same."""
        self._tls = options.tls
        self._context.tasks.spawn(self._load(options.tls), "certificates")

    async def keep_fresh(self) -> None:
        """Look at the files again and again; take over those that have changed."""
        while True:
            await asyncio.sleep(self._context.options.certificates_every_s)
            await self.look_again()

    async def look_again(self) -> None:
        """Take over the files if they have changed."""
        tls = self._tls
        if tls is not None:
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(None, contexts.signature, tls.files) != self._signature:
                await self._load(tls)

    async def _load(self, tls: ServerTls | None) -> None:
        """Read the files. What cannot be used changes nothing, and is read again when the files change again."""
        loop = asyncio.get_running_loop()
        signature: tuple[object, ...] = ()
        context = None
        if tls is not None:
            signature = await loop.run_in_executor(None, contexts.signature, tls.files)
            try:
                context = await loop.run_in_executor(None, contexts.server_context, tls)
            except StartError as error:
                self._signature = signature
                log.error("certificates not reloaded, the old ones stay in use: %s", error.detail)
                return
        if tls is self._tls:  # else other settings have come meanwhile, and their own reading with them
            self._signature, self.ssl_context = signature, context
            if tls is not None:
                log.info("certificate %s is in use for new connections", tls.pair.certificate)
