"""A take-over hands the clients' connections on to the new router's workers, so none is closed and no request is lost.

    message      {"address": the client's, "scheme": "http" | "https", "certificate": the names that it holds, and those that
                 choose it, null if there is only one, "held": whether there is a second descriptor}
    descriptors  the connection; a sealed memfd with bytes that were read and not answered, if there are any

A server that closes an idle connection may cross with a request on its way (RFC 9112 §9.5), so we do not close them. An idle
connection goes at once, any other when its answer is written: bytes that come meanwhile stay in the socket. From the first step
on this worker begins no request. The new worker says `Connection: close` with its next answer, so its own settings hold soon.

A TLS connection's keys are in this process: it goes as one end of a socket pair, and a relay stays here until it ends.
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
"""Names of a certificate that do not fit are left out."""
_LOOK_S: Final = 0.02
_FULL_S: Final = 0.001
"""How long to wait when every inlet is full: the kernel holds some ten messages for each."""
_ADOPTED_AT_ONCE_MAX: Final = 16
"""Connections that one turn of the loop takes over; other clients come in between."""


async def outlets_of(folder: Path, token: int, wait_s: float) -> list[socket.socket]:
    """Return the sockets to the successor's workers; wait for them, where the old supervisor was killed before they served."""
    until_s = clock.now_s() + wait_s
    while not (found := inlets.outlets(folder, token) if token else []) and token and clock.now_s() < until_s:
        await asyncio.sleep(_LOOK_S)
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
        """Hand on every connection that is, or becomes, idle; return when none is left, at `until_s`, or when nobody takes them
        any more: those that are left go on here.
        """
        context = self._context
        recent_first = [*reversed(context.keepalive.since)]
        context.handing_on = True
        for downstream in self._limiter.connections:
            downstream.hold()
        context.words[context.row + at.W_DRAINING] = 2
        await self._hand_on_all(recent_first)
        while self._outlets and self._left() and clock.now_s() < until_s:
            await self._hand_on_all(list(self._limiter.connections))
            await asyncio.sleep(_LOOK_S)
        log.info("connections handed on: %d; left here: %d", self._moved, self._limiter.connection_count())
        context.handing_on = False
        for outlet in self._outlets:
            outlet.close()
        for downstream in list(self._limiter.connections):
            downstream.go_on()

    async def end(self, until_s: float) -> None:
        """Wait for the relays until `until_s`, then cut them."""
        while self._left_relays() and clock.now_s() < until_s:
            await asyncio.sleep(_LOOK_S)
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
        """Send the connection itself; nothing is read here between what `buffer` holds and what the new worker reads."""
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
        """Send one connection to whichever worker has room, beginning with the next in turn; False: none has, now."""
        peer, shown, held = downstream.peer, misdirection.made_with(downstream), downstream.buffer
        assert peer is not None
        message = _message(peer, shown, held)
        descriptors = [descriptor]
        if held:
            descriptors.append(sealed.holding("held", held))
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
    """Return whether nothing is under way on this connection, and everything that was written has left."""
    transport = downstream.transport
    return (
        transport is not None
        and downstream.held
        and downstream.exchange is None
        and not (downstream.lingering or downstream.congested or downstream.ended or downstream.waiting)
        and not transport.is_closing()
        and not transport.get_write_buffer_size()
    )


def _relay_from(downstream: Downstream, outer: Any) -> None:
    """Put a relay in the place of the connection's protocol."""
    transport = downstream.transport
    assert transport is not None
    downstream.buffer = b""
    outer.connection_made(transport)
    transport.set_protocol(outer)
    downstream.resume()
    downstream.connection_lost(None)


def _message(peer: Peer, shown: PresentedCertificate | None, held: bytes) -> bytes:
    told = {
        "address": peer.address,
        "scheme": peer.scheme,
        "certificate": shown and shown.identity(),
        "held": bool(held),
    }
    message = json.dumps(told).encode()
    if len(message) > MESSAGE_BYTES_MAX:
        message = json.dumps(told | {"certificate": ([], [])}).encode()
    return message


class Adoption:
    """The new worker's side: it takes over what comes through its inlet, until it leaves."""

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
        """Take over from now on."""
        self._context.loop.add_reader(self._inlet.fileno(), self._come)

    def stop(self) -> None:
        """Take over nothing more."""
        self._context.loop.remove_reader(self._inlet.fileno())
        self._inlet.close()

    def _come(self) -> None:
        for _ in range(_ADOPTED_AT_ONCE_MAX):
            try:
                raw, descriptors, _, _ = socket.recv_fds(self._inlet, MESSAGE_BYTES_MAX, 2, socket.MSG_CMSG_CLOEXEC)
            except OSError:  # nothing more is there
                return
            self._context.tasks.spawn(self._adopt(raw, descriptors), "adopted connection")

    async def _adopt(self, raw: bytes, descriptors: list[int]) -> None:
        if not descriptors:  # the kernel had no descriptor left for it
            log.error("a connection of the old router was lost: no descriptor is left for it (ulimit -n)")
            return
        told = json.loads(raw)
        sock = socket.socket(fileno=descriptors[0])
        if (
            told["held"] and not descriptors[1:]
        ):  # what follows is the middle of a request, and must not pass for its beginning
            log.error("a connection of the old router was lost: no descriptor is left for its bytes (ulimit -n)")
            sock.close()
            return
        downstream = Downstream(self._context, self._limiter)
        downstream.closing = downstream.adopted = True
        if descriptors[1:]:
            downstream.buffer = _contents(descriptors[1])
        downstream.peer = Peer(told["address"], told["scheme"], self._shown(told["certificate"]))
        sock.setblocking(False)
        await self._context.loop.connect_accepted_socket(lambda: cast(asyncio.Protocol, downstream), sock)
        if not self._context.handing_on:
            downstream.go_on()

    def _shown(self, told: tuple[list[str], list[str]] | None) -> PresentedCertificate | None:
        """Return which certificate of ours a connection was made with, None where either router has only one."""
        ssl_context = self._tls_acceptor.ssl_context
        ours = ssl_context.presented if isinstance(ssl_context, ServerContext) else None
        return ours.matching(*told) if ours is not None and told is not None else None


def _contents(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        sealed.check(descriptor, sealed.CONTENTS, "bytes held of a connection")
        file.seek(0)
        return file.read()
