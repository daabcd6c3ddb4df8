"""The TLS handshakes of one worker's listener: their certificate, their timeout, their counters.

The certificate files are checked every `certificates_every_s` and at each SIGHUP, in a thread. An unusable pair is logged and
changes nothing. New handshakes use the new certificate; established connections keep theirs. A worker that starts while the pair
is unusable has the certificate from the supervisor's copy (tls/kept_files.py).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final

from router.errors import StartError
from router.proxy.addresses import peer_address, peer_host
from router.proxy.options import Options
from router.proxy.tls.transport import TICKET_WAIT_S, TlsTransport, Wrap
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.shm import layout as at
from router.tls import certificate_info, contexts, kept_files
from router.tls.contexts import ServerTls

if TYPE_CHECKING:
    from router.proxy.accept.connection_limiter import ClientConnectionLimiter
    from router.proxy.context import WorkerContext

log = logging.getLogger(__name__)
_LOG_EVERY_S: Final = 10.0
"""At most one failure in this time is logged: a scanner must not fill the log."""


class TlsAcceptor:
    """`ssl_context` is that of the next handshake; None for a listener without TLS."""

    def __init__(self, context: WorkerContext, limiter: ClientConnectionLimiter) -> None:
        """Raise StartError if neither the files nor their copies can be used."""
        options = context.options
        self._context = context
        self._limiter = limiter
        self._tickets = context.new_wait(TICKET_WAIT_S, TlsTransport.send_ticket)
        self._tls = options.tls
        self._signature = contexts.signature(options.tls.files) if options.tls else ()
        self._use(kept_files.server_context(options.tls) if options.tls else None)
        self._throttle = LogThrottle(_LOG_EVERY_S)

    def wrap(self, above: asyncio.Protocol, announced: str = "") -> asyncio.Protocol:
        """Return the protocol of a new connection: `above`, or TLS with `above` after the handshake. `announced` is the client's
        address from a PROXY header.
        """
        if self._wrap is None:
            return above
        return TlsTransport(above, self._wrap, self, announced, tickets=self._tickets)

    def handshake_started(self, tls: TlsTransport) -> None:
        """A client has connected. At the connection limit it is closed unanswered: a 503 would need a handshake, which costs many
        times the refused request. Some may continue as reserved connections, because of health checks (reserve.py).
        """
        reserve = self._limiter.reserve
        if self._limiter.at_connection_limit():
            address = tls.announced or peer_address(peer_host(tls))
            if not reserve.take_handshake(address):
                self._reject_full(tls)
                return
            reserve.take(tls, address, self._reject_full)
        self._context.handshake_wait.start(tls, clock.now_s())

    def _reject_full(self, tls: TlsTransport) -> None:
        self._context.count_limit(at.LIMITED_CONNECTIONS)
        self._context.handshake_wait.stop(tls)
        tls.reject()

    def handshake_ended(self, tls: TlsTransport, error: Exception | None) -> None:
        """Count a handshake that is done, or has failed; log some failures."""
        self._context.handshake_wait.stop(tls)
        self._limiter.reserve.leave(tls)
        self._context.words[self._context.row + at.W_HANDSHAKES] += 1
        if error is None:
            return
        self._context.words[self._context.row + at.W_HANDSHAKES_FAILED] += 1
        if self._throttle.due(clock.now_s()):
            failed = self._context.words[self._context.row + at.W_HANDSHAKES_FAILED]
            log.info("a TLS handshake failed (%d so far in this worker): %s", failed, certificate_info.reason(error))

    def abort(self) -> None:
        """Close the connections within their handshake."""
        for tls in list(self._context.handshake_wait.since):
            tls.abort()

    # -- certificates
    def _use(self, context: ssl.SSLContext | None) -> None:
        """Begin further handshakes with this context; None: serve without TLS."""
        self.ssl_context = context
        self._wrap: Wrap | None = None if context is None else partial(context.wrap_bio, server_side=True)

    def reconfigure(self, options: Options) -> None:
        """Apply changed settings, and read the files again even if their names are the same."""
        self._tls = options.tls
        self._context.tasks.spawn(self._load(options.tls), "certificates")

    async def watch_files(self) -> None:
        """Check the files again and again, and load them if they have changed."""
        while True:
            await asyncio.sleep(self._context.options.certificates_every_s)
            await self.reload_changed()

    async def reload_changed(self) -> None:
        """Load the files if they have changed."""
        tls = self._tls
        if tls is not None:
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(None, contexts.signature, tls.files) != self._signature:
                await self._load(tls)

    async def _load(self, tls: ServerTls | None) -> None:
        """Load the files. Unusable files change nothing, and are read again when they change."""
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
        if tls is self._tls:  # else the settings have changed meanwhile, and are loaded by another call
            self._signature = signature
            self._use(context)
            if tls is not None:
                log.info("certificate %s is in use for new connections", tls.pair.certificate)
