"""TLS to the backends of one service: the context that its settings define, and one connection's handshake."""

from __future__ import annotations

import asyncio
import logging
import ssl
from functools import partial

from router.errors import StartError
from router.proxy.tls.transport import TlsTransport, Wrap
from router.rollout.model.endpoint import Endpoint
from router.tls import certificate_info, contexts, kept_files
from router.tls.contexts import BackendTls

log = logging.getLogger(__name__)


class BackendContext:
    """The context of one service. A thread makes it from files, at the first use and after each reload."""

    def __init__(self, options: BackendTls) -> None:
        self._options = options
        self._context: ssl.SSLContext | None = None
        self._requested = 1
        self._made = 0  # the number of the request that it was made for: there may be another one while files are read
        self._making = asyncio.Lock()
        self._failing: dict[Endpoint, str] = {}

    def reconfigure(self, options: BackendTls) -> None:
        """Apply changed settings; the files are read again even if their names are the same."""
        self._options = options
        self._requested += 1

    async def wrap(self, above: asyncio.Protocol, endpoint: Endpoint, last: ssl.SSLObject | None) -> TlsConnect:
        """Return the connect of `above` through a handshake with `endpoint`; raise ConnectionError without a context.

        The session of the `last` connection is resumed if there is one, which avoids the certificates (RFC 8446 §2.2). A name
        is sent as SNI (RFC 6066 §3), and the certificate must cover it; an address must be in the certificate as an address.
        """
        context = await self._current()
        session = last.session if last is not None and last.context is context else None
        name = self._options.server_name or endpoint.host
        try:
            return TlsConnect(above, partial(context.wrap_bio, server_hostname=name, session=session), self, endpoint)
        except ValueError as error:
            raise ConnectionError(f"TLS: {name!r} cannot be used as server name: {error}") from None

    async def _current(self) -> ssl.SSLContext:
        async with self._making:
            requested = self._requested
            if self._made != requested:
                loop = asyncio.get_running_loop()
                try:
                    self._context = await loop.run_in_executor(None, contexts.backend_context, self._options)
                except StartError as error:
                    log.error("backend_tls is not applied: %s", error.detail)
                    if self._context is None and kept_files.is_kept(self._options):
                        self._context = await loop.run_in_executor(None, kept_files.backend_context, self._options)
                if self._context is not None:
                    self._made = requested
        if self._context is None:
            raise ConnectionError("TLS: the files of backend_tls cannot be used")
        return self._context

    def log_result(self, endpoint: Endpoint, error: Exception | None) -> None:
        """Log why handshakes with an endpoint fail: once for each reason, and again after a successful one."""
        reason = None if error is None else certificate_info.reason(error)
        if reason is not None and self._failing.get(endpoint) != reason:
            log.warning("TLS handshakes with %s fail: %s", endpoint.url, reason)
        if reason is None:
            self._failing.pop(endpoint, None)
        else:
            self._failing[endpoint] = reason


class TlsConnect:
    """One TLS connection to a backend, until its handshake is done."""

    def __init__(self, above: asyncio.Protocol, wrap: Wrap, context: BackendContext, endpoint: Endpoint) -> None:
        self._context = context
        self._endpoint = endpoint
        self._established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.tls = TlsTransport(above, wrap, self)

    def handshake_started(self, tls: TlsTransport) -> None:
        """Do nothing: the caller waits for the end of the handshake."""

    def handshake_ended(self, tls: TlsTransport, error: Exception | None) -> None:
        """Pass the result to `wait`, and log it; after a cancellation neither."""
        if self._established.done():
            return
        self._context.log_result(self._endpoint, error)
        if error is None:
            self._established.set_result(None)
        else:
            self._established.set_exception(ConnectionError(f"TLS: {certificate_info.reason(error)}"))

    async def wait(self) -> TlsTransport:
        """Wait for the handshake; raise ConnectionError with the reason of a failure. A cancellation ends the connection."""
        try:
            await self._established
        except BaseException:  # raised again, a cancellation too; the connection must not leak
            self.tls.abort()
            raise
        if self.tls.is_closing():
            raise ConnectionError("the backend closed the connection right after the TLS handshake")
        return self.tls
