"""Hands client connections on to the new router's workers in a take-over, so that none is closed and no request is lost.

    message      {"address": the client's, "scheme": "http" | "https", "sender": the sender of its PROXY header,
                 empty without one, "certificate": its names and the SNI names that select it, null if there is only one,
                 "held": whether there is a second descriptor}
    descriptors  the connection; a sealed memfd with bytes that were read but not processed, if there are any

If a server closes an idle connection, a request may be on its way (RFC 9112 §9.5), so the old worker does not close it. An idle
connection is handed on at once, any other after its response. Bytes that arrive meanwhile stay in the socket: from the start on
this worker starts no request. The new worker sends `Connection: close` with its next response, so that clients soon reconnect
under its own settings.

The keys of a TLS connection stay in this process: it hands on one end of a socket pair, and a relay runs here until the end.

Why: docs/decisions.md#a-take-over-hands-connections-on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from router.proxy.addresses import Peer
from router.proxy.engine import misdirection
from router.proxy.engine.downstream import Downstream
from router.proxy.tls.relay import Relay
from router.runtime import clock, inlets
from router.shm import layout as at
from router.shm import sealed
from router.tls.certificate_names import PresentedCertificate
from router.tls.contexts import ServerContext

if TYPE_CHECKING:
    from router.proxy.accept.connection_limiter import ClientConnectionLimiter
    from router.proxy.accept.tls_acceptor import TlsAcceptor
    from router.proxy.context import WorkerContext

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX: Final = 65536
"""If the names of a certificate do not fit, they are left out."""
_POLL_S: Final = 0.02
_FULL_S: Final = 0.001
"""The wait if every inlet is full: the kernel queues about ten messages for each."""
_ADOPTED_AT_ONCE_MAX: Final = 16
"""Connections that one iteration of the event loop takes over, so that other clients are served in between."""


async def outlets_of(folder: Path, token: int, wait_s: float) -> list[socket.socket]:
    """Return the sockets to the successor's workers; wait for them if the old supervisor was killed before they served."""
    until_s = clock.now_s() + wait_s
    while not (found := inlets.outlets(folder, token) if token else []) and token and clock.now_s() < until_s:
        await asyncio.sleep(_POLL_S)
    return found


class Handoff:
    """The old worker's side. `outlets`: a connected socket for each new worker, served in turns."""

    def __init__(self, context: WorkerContext, limiter: ClientConnectionLimiter, outlets: list[socket.socket]) -> None:
        self._context = context
        self._limiter = limiter
        self._outlets = outlets
        self._turn = context.index
        self._relays: list[Relay] = []
        self._moved = 0

    async def run(self, until_s: float) -> None:
        """Hand on every connection that is, or becomes, idle.

        Return when none is left, at `until_s`, or when no new worker takes them any more. The remaining ones continue here.
        """
        context = self._context
        recent_first = [*reversed(context.keepalive.since)]
        context.handing_on = True
        for downstream in self._limiter.connections:
            downstream.prepare_handoff()
        context.words[context.row + at.W_DRAINING] = 2
        await self._hand_on_all(recent_first)
        while self._outlets and self._left() and clock.now_s() < until_s:
            await self._hand_on_all(list(self._limiter.connections))
            await asyncio.sleep(_POLL_S)
        log.info("connections handed on: %d; left here: %d", self._moved, self._limiter.connection_count())
        context.handing_on = False
        for outlet in self._outlets:
            outlet.close()
        for downstream in list(self._limiter.connections):
            downstream.resume_requests()

    async def end(self, until_s: float) -> None:
        """Wait for the relays until `until_s`, then abort them."""
        while self._left_relays() and clock.now_s() < until_s:
            await asyncio.sleep(_POLL_S)
        for relay in self._relays:
            relay.abort()

    def _left(self) -> bool:
        return bool(self._limiter.connection_count() or self._left_relays())

    def _left_relays(self) -> bool:
        self._relays = [relay for relay in self._relays if not relay.over]
        return bool(self._relays)

    async def _hand_on_all(self, downstreams: list[Downstream]) -> None:
        for downstream in downstreams:
            if _may_go(downstream) and self._outlets:
                if downstream.transport.get_extra_info("ssl_object") is not None:  # type: ignore[union-attr]
                    await self._hand_on_tls(downstream)
                else:
                    await self._hand_on(downstream)

    async def _hand_on(self, downstream: Downstream) -> None:
        """Send the connection itself. This worker reads nothing after the bytes in `buffer`, so the new worker gets the rest."""
        while self._outlets and _may_go(downstream):
            transport = downstream.transport
            assert transport is not None
            if self._send(downstream, transport.get_extra_info("socket").fileno()):
                downstream.buffer = b""
                transport.abort()
                return
            await asyncio.sleep(_FULL_S)

    async def _hand_on_tls(self, downstream: Downstream) -> None:
        relay = Relay()
        outer, inner = relay.sides
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            await self._context.loop.connect_accepted_socket(lambda: inner, ours)
            while self._outlets and _may_go(downstream):
                if self._send(downstream, theirs.fileno()):
                    self._relays.append(relay)
                    _relay_from(downstream, outer)
                    return
                await asyncio.sleep(_FULL_S)
        relay.abort()

    def _send(self, downstream: Downstream, descriptor: int) -> bool:
        """Send one connection to the next worker in turn whose queue is not full; return False if every queue is full."""
        peer, certificate, buffered = downstream.peer, misdirection.certificate_of(downstream), downstream.buffer
        assert peer is not None
        message = _message(peer, certificate, buffered)
        descriptors = [descriptor]
        if buffered:
            descriptors.append(sealed.holding("held", buffered))
        try:
            for outlet in self._in_turn():
                try:
                    socket.send_fds(outlet, [message], descriptors)
                except BlockingIOError:
                    continue
                except OSError as error:
                    log.warning("a worker of the new router takes no connections: %s", error.strerror)
                    self._outlets.remove(outlet)
                    outlet.close()
                else:
                    self._moved += 1
                    self._turn += 1
                    return True
        finally:
            for extra in descriptors[1:]:
                os.close(extra)
        return False

    def _in_turn(self) -> list[socket.socket]:
        first = self._turn % len(self._outlets) if self._outlets else 0
        return self._outlets[first:] + self._outlets[:first]


def _may_go(downstream: Downstream) -> bool:
    """Return whether the connection is idle, and its write buffer is empty."""
    transport = downstream.transport
    return (
        transport is not None
        and downstream.handoff_pending
        and downstream.exchange is None
        and not (downstream.lingering or downstream.congested or downstream.ended or downstream.queued)
        and not transport.is_closing()
        and not transport.get_write_buffer_size()
    )


def _relay_from(downstream: Downstream, outer: Any) -> None:
    """Replace the connection's protocol by a relay."""
    transport = downstream.transport
    assert transport is not None
    downstream.buffer = b""
    outer.connection_made(transport)
    transport.set_protocol(outer)
    downstream.resume()
    downstream.connection_lost(None)


def _message(peer: Peer, certificate: PresentedCertificate | None, buffered: bytes) -> bytes:
    document = {
        "address": peer.address,
        "scheme": peer.scheme,
        "sender": peer.sender,
        "certificate": certificate and certificate.identity(),
        "held": bool(buffered),
    }
    message = json.dumps(document).encode()
    if len(message) > MESSAGE_BYTES_MAX:
        message = json.dumps(document | {"certificate": ([], [])}).encode()
    return message


class Adoption:
    """The new worker's side: it adopts the connections that arrive through its inlet."""

    def __init__(
        self,
        context: WorkerContext,
        limiter: ClientConnectionLimiter,
        tls_acceptor: TlsAcceptor,
        inlet: socket.socket,
    ) -> None:
        self._context = context
        self._limiter = limiter
        self._tls_acceptor = tls_acceptor
        self._inlet = inlet

    def start(self) -> None:
        """Adopt connections from now on."""
        self._context.loop.add_reader(self._inlet.fileno(), self._receive)

    def stop(self) -> None:
        """Adopt no more connections."""
        self._context.loop.remove_reader(self._inlet.fileno())
        self._inlet.close()

    def _receive(self) -> None:
        for _ in range(_ADOPTED_AT_ONCE_MAX):
            try:
                raw, descriptors, _, _ = socket.recv_fds(self._inlet, MESSAGE_BYTES_MAX, 2, socket.MSG_CMSG_CLOEXEC)
            except OSError:  # no message is left
                return
            self._context.tasks.spawn(self._adopt(raw, descriptors), "adopted connection")

    async def _adopt(self, raw: bytes, descriptors: list[int]) -> None:
        if not descriptors:  # this process has no descriptor left for it
            log.error("a connection of the old router was lost: no descriptor is left for it (ulimit -n)")
            return
        document = json.loads(raw)
        sock = socket.socket(fileno=descriptors[0])
        if document["held"] and not descriptors[1:]:
            # The socket continues in the middle of a request, which must not be parsed as its beginning.
            log.error("a connection of the old router was lost: no descriptor is left for its bytes (ulimit -n)")
            sock.close()
            return
        downstream = Downstream(self._context, self._limiter)
        downstream.closing = downstream.adopted = True
        if descriptors[1:]:
            downstream.buffer = _contents(descriptors[1])
        shown = self._presented(document["certificate"])
        downstream.peer = Peer(document["address"], document["scheme"], shown, document.get("sender", ""))
        sock.setblocking(False)
        await self._context.loop.connect_accepted_socket(lambda: cast(asyncio.Protocol, downstream), sock)
        if not self._context.handing_on:
            downstream.resume_requests()

    def _presented(self, identity: tuple[list[str], list[str]] | None) -> PresentedCertificate | None:
        """Return the certificate that the connection was made with; None if either router has only one."""
        ssl_context = self._tls_acceptor.ssl_context
        ours = ssl_context.presented if isinstance(ssl_context, ServerContext) else None
        return ours.matching(*identity) if ours is not None and identity is not None else None


def _contents(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        sealed.check(descriptor, sealed.CONTENTS, "buffered bytes of a connection")
        file.seek(0)
        return file.read()
