"""The data plane of one worker: its services, its connections, its deadlines, and what it remembers of heads.

One timer, every 100 ms: heartbeat, loop lag, deadlines, gauges. Everything else happens when bytes or the eventfd arrive.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from random import Random
from typing import Final

from router.proxy.accept.connection_limiter import ClientConnectionLimiter
from router.proxy.accept.proxy_protocol import ProxyProtocolAcceptor
from router.proxy.accept.reserve import Reserve
from router.proxy.accept.tls_acceptor import TlsAcceptor
from router.proxy.deadlines import Deadlines
from router.proxy.engine import closing, local_replies, min_rate
from router.proxy.engine.downstream import Downstream
from router.proxy.engine.local_service import LocalService
from router.proxy.engine.tunnel import Tunnel
from router.proxy.engine.turns import Turns
from router.proxy.heap import Heap, trimmer
from router.proxy.http1 import replies, request_head, response_head
from router.proxy.http1.fields import VIA
from router.proxy.http1.forwarding import Forwarding
from router.proxy.http1.head_cache import HeadCache
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead
from router.proxy.options import Options
from router.proxy.routing.concurrency import ConcurrencyLimiter
from router.proxy.routing.resolver import Resolver
from router.rollout.model.route import NO_SLOT
from router.rollout.outcome import Outcome
from router.runtime import clock, fd_limits
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm.holdings import HoldingsRecord
from router.shm.segment import Segment

log = logging.getLogger(__name__)

SWEEP_S: Final = 0.1
_LAG_PERIOD_SWEEPS: Final = 10
_LATE_S: Final = 0.5
"""After a sweep later than this no client is late: what it has sent meanwhile is in the kernel, and is read before the next."""
_LINGER_S: Final = 2.0
_DRAIN_LOOK_S: Final = 0.02
_LAST_LINGER_S: Final = 0.2
"""When only connections are left on which all is said, their clients have so long to close theirs before the process leaves."""

_ID_ENDS: Final = tuple(b"%03x" % low for low in range(0x1000))
"""The last three digits of an identifier: to format it whole costs 0.25 µs, this 0.1."""


class DataPlane:
    """Shared by every connection of one worker; nothing in it blocks."""

    def __init__(self, index: int, segment: Segment, options: Options, tasks: Tasks, acks_fd: int) -> None:
        # shared
        self.index = index
        self.segment = segment
        self.words = segment.words
        self.options = options
        self.tasks = tasks
        self.random = Random()
        self.resolver = Resolver()
        self.loop = asyncio.get_running_loop()
        self.turns = Turns(self.loop)
        self._acks_fd = acks_fd
        self._row = segment.layout.worker(index)
        # connections and their waits
        self.reserve = Reserve(self)
        self._apply_fd_limit(options)
        self.limiter = ClientConnectionLimiter(self)
        self.connections = self.limiter.connections
        self.concurrency = ConcurrencyLimiter(self)
        self.heap = Heap(trimmer())
        self.holdings = HoldingsRecord(segment, index)
        self.draining = False
        self.handing_on = False
        self.now_s = clock.now_s()
        self.header_wait = Deadlines(options.header_timeout_s, local_replies.header_late)
        self.keepalive = Deadlines(options.keepalive_idle_s, Downstream.drain)
        self.body_wait = Deadlines(options.body_timeout_s, local_replies.body_late)
        self.body_rate = Deadlines(options.body_rate_grace_s, min_rate.check_body_rate)
        self.write_wait = Deadlines(options.write_timeout_s, min_rate.check_write_progress)
        self.write_rate = Deadlines(options.write_rate_grace_s, min_rate.check_write_rate)
        self.half_closed = Deadlines(options.half_close_grace_s, closing.abandon_client)
        self.linger = Deadlines(_LINGER_S, closing.abandon_client)
        self._waits = (
            *(self.header_wait, self.keepalive, self.body_wait, self.body_rate, self.write_wait, self.write_rate),
            *(self.half_closed, self.linger),
        )
        self.tls_acceptor = TlsAcceptor(self, options)
        self.tunnel_idle = Deadlines(options.tunnel_idle_s, Tunnel.idle_too_long)
        self.tunnel_close = Deadlines(options.half_close_grace_s, Tunnel.close_overdue)
        # what is remembered
        self.proxy_protocol = ProxyProtocolAcceptor(self, options)
        self.forwarding = Forwarding(options.forwarding)
        self._via = VIA if options.via else b""
        self._requests = HeadCache(self._parse_request)
        self._responses = HeadCache(self._parse_response)
        self.request_head: Callable[[bytes], RequestHead] = self._requests.translate
        """Bytes of a whole head → RequestHead; raises DownstreamError."""
        self.response_head: Callable[[bytes], ResponseHead] = self._responses.translate
        """Bytes of a whole head → ResponseHead; raises UpstreamError."""
        self._id_prefix = os.urandom(6).hex().encode()
        self._id_block = self._id_prefix + b"0000000"
        self._id_number = 0
        # services, longest prefix first
        self.services = [LocalService(self, number, service) for number, service in enumerate(options.services)]
        self._by_prefix = sorted(
            self.services, key=lambda view: (-len(view.options.path_prefix), not view.options.hosts)
        )
        self._lags_us = [0] * _LAG_PERIOD_SWEEPS
        self._sweeps = 0
        self._due_s = 0.0

    # -- heads
    def _parse_request(self, raw: bytes) -> RequestHead:
        head = request_head.parse_request(raw, self.options.fields_max, self._via, self.options.passes_max)
        if not head.final and head.path != self.options.ready_path:
            head.service = self._match(head)
        return head

    def _parse_response(self, raw: bytes) -> ResponseHead:
        return response_head.parse_response(raw, self._via)

    def _match(self, head: RequestHead) -> LocalService | None:
        """Longest path prefix at a segment boundary among the services of this host; the path is compared as it came."""
        host = head.host.rpartition(b":")[0] if not head.host.endswith(b"]") and b":" in head.host else head.host
        path = head.path
        for view in self._by_prefix:
            prefix = view.options.path_prefix
            if view.options.hosts and host not in view.options.hosts:
                continue
            if path.startswith(prefix) and (prefix.endswith(b"/") or path[len(prefix) :][:1] in (b"", b"/")):
                return view
            if path == b"*" and prefix == b"/":
                return view
        return None

    def new_request_id(self) -> bytes:
        """Return an identifier that no other request has: random per worker start, then a number."""
        self._id_number += 1
        low = self._id_number & 0xFFF
        if not low:
            self._id_block = b"%b%07x" % (self._id_prefix, self._id_number >> 12)
        return self._id_block + _ID_ENDS[low]

    # -- connections
    def _apply_fd_limit(self, options: Options) -> None:
        """Limits that every request is held against, and those on connections, as far as there are descriptors for them."""
        self.head_bytes_max, self.body_bytes_max = options.head_bytes_max, options.body_bytes_max
        shares = fd_limits.divide(
            options.connections_max, options.requests_max, options.in_flight_max, fd_limits.available()
        )
        self.connections_max, self.in_flight_max = shares.connections_max, shares.in_flight_max
        self.reserve.guests_max = shares.reserve
        if shares.warning is not None and self.index == 0:  # it is the same for every worker
            log.warning("%s", shares.warning)

    def connection_count(self) -> int:
        """Return how many connections there are, those included whose PROXY header or TLS handshake is not over."""
        return len(self.connections) + len(self.proxy_protocol.waits.since) + len(self.tls_acceptor.waits.since)

    def at_connection_limit(self) -> bool:
        """Return whether one more would be too many, guests of the reserve apart."""
        return self.connection_count() - len(self.reserve) >= self.connections_max

    def admit(self, downstream: Downstream) -> int | None:
        """Take a connection in; return the limit that it would exceed (`layout.LIMITED_…`), None if it is in."""
        self.words[self._row + at.W_CONNECTIONS_TOTAL] += 1
        limit = self.limiter.admit(downstream)
        if limit is None and downstream not in self.reserve.guests:
            # while draining, whoever has sent nothing is idle: as long as that may last
            (self.keepalive if self.draining else self.header_wait).start(downstream, self.now_s)
        return limit

    def release(self, downstream: Downstream) -> None:
        """A connection has ended."""
        self.limiter.leave(downstream)
        self.forget_waits(downstream)
        self.linger.stop(downstream)

    def forget_waits(self, downstream: Downstream) -> None:
        """None of its deadlines matters any more."""
        for waits in self._waits:
            waits.since.pop(downstream, None)

    def count_refused(self) -> None:
        """A request that was answered without a service."""
        self.words[self._row + at.W_ACCEPTED] += 1
        self.words[self._row + at.W_ENDED + Outcome.REFUSED] += 1

    def count_limit(self, limit: int) -> None:
        """A limit on clients has acted; `limit` is one of `layout.LIMITED_…`."""
        self.words[self._row + at.W_LIMITED + limit] += 1

    # -- the wall
    def acknowledged(self) -> None:
        """Wake control: this worker claims from a new generation."""
        os.eventfd_write(self._acks_fd, 1)

    def refresh(self) -> None:
        """Take over what control has published."""
        for service in self.services:
            service.refresh()
            service.apply_cuts()

    def readiness(self, *, close: bool, head_only: bool) -> bytes:
        """Return the readiness page, from shared memory alone."""
        silent_s = (clock.now_ns() - self.words[at.H_CONTROL_HEARTBEAT_NS]) / 1e9
        routed = {view.options.name: view.active is not None for view in self.services}
        ways_back = {
            view.options.name: view.route is not None and view.route.standby != NO_SLOT for view in self.services
        }
        draining = (self.draining or bool(self.words[at.H_DRAINING])) and not self.words[at.H_PORT_SHARED]
        ok = all(routed.values()) and bool(routed) and not draining
        stale = silent_s > self.options.control_silent_s
        detail: dict[str, object] = {"routed": routed, "way_back": ways_back, "control": "stale" if stale else "alive"}
        if draining:
            detail["draining"] = True
        return replies.ready(ok, stale, detail, close=close, head_only=head_only)

    def start(self) -> None:
        """Begin the sweeps."""
        self._due_s = clock.now_s() + SWEEP_S
        self.sweep()

    def sweep(self) -> None:
        """Every 100 ms: heartbeat, loop lag, deadlines, gauges."""
        self.now_s = now_s = clock.now_s()
        if self._measure_lag(now_s) < _LATE_S:
            for waits in self._waits:
                waits.sweep(now_s)
            self.proxy_protocol.waits.sweep(now_s)
            self.tunnel_idle.sweep(now_s)
            self.tunnel_close.sweep(now_s)
            self.tls_acceptor.waits.sweep(now_s)
            self.reserve.waits.sweep(now_s)
        self.limiter.ages.sweep(now_s)
        for service in self.services:
            service.sweep(now_s)
        self.concurrency.sweep(now_s)
        self._watch_descriptors()
        self.heap.look(self.connection_count(), now_s)
        self._requests.refill()
        self._responses.refill()
        self.words[self._row + at.W_CONNECTIONS] = len(self.connections)
        self.words[self._row + at.W_HEARTBEAT_NS] = clock.now_ns()
        self._due_s = now_s + SWEEP_S
        self.loop.call_later(SWEEP_S, self.sweep)

    def _watch_descriptors(self) -> None:
        """Is one left? libuv closes what it accepts without one, and tells nobody (`uv__emfile_trick`)."""
        try:
            os.close(os.dup(self._acks_fd))
        except OSError:
            self.count_limit(at.LIMITED_DESCRIPTORS)

    def _measure_lag(self, now_s: float) -> float:
        lag_us = max(0, int((now_s - self._due_s) * 1e6))
        self._lags_us[self._sweeps % _LAG_PERIOD_SWEEPS] = lag_us
        self._sweeps += 1
        self.words[self._row + at.W_LAG_US] = max(self._lags_us)
        if lag_us > 1_000_000:
            self.words[self._row + at.W_LAG_SUM_US] += lag_us
            log.warning("the event loop was late by %.1f s", lag_us / 1e6)
        return lag_us / 1e6

    async def keep_resolving(self) -> None:
        """Ask for the names of all endpoints again and again."""
        while True:
            await asyncio.sleep(self.options.resolve_every_s)
            views = [target for service in self.services for target in service.targets.values()]
            await self.resolver.refresh({pool.endpoint.host for target in views for pool in target.pools} - {""})

    def reconfigure(self, options: Options) -> None:
        """Take over changed settings; the set of services stays. What was remembered of heads is forgotten."""
        self.options = options
        self.proxy_protocol.reconfigure(options)
        self._apply_fd_limit(options)
        self.forwarding = Forwarding(options.forwarding)
        self.limiter.reconfigure()
        self._via = VIA if options.via else b""
        self._requests.forget()
        self._responses.forget()
        for service, changed in zip(self.services, options.services, strict=True):
            service.reconfigure(changed)
        self.concurrency.distribute()
        for waits, seconds in (
            (self.header_wait, options.header_timeout_s),
            (self.keepalive, options.keepalive_idle_s),
            (self.body_wait, options.body_timeout_s),
            (self.body_rate, options.body_rate_grace_s),
            (self.write_wait, options.write_timeout_s),
            (self.write_rate, options.write_rate_grace_s),
            (self.half_closed, options.half_close_grace_s),
        ):
            waits.duration_s = seconds
        if self.draining:
            self.keepalive.duration_s = min(options.shutdown_idle_s, options.keepalive_idle_s)
        self.tunnel_idle.duration_s = options.tunnel_idle_s
        self.tunnel_close.duration_s = options.half_close_grace_s
        self.tls_acceptor.reconfigure(options)

    # -- the end
    async def drain(self, until_s: float | None = None) -> None:
        """Answer what is under way until `until_s` (by default for `shutdown_timeout_s`), then cut.

        A client that is about to send its next request on an idle connection would lose it if we closed now, so it has
        `shutdown_idle_s` to do so, and so has one whose PROXY header or handshake is under way; the answer tells it to come
        no more (RFC 9112 §9.6). One whose answer began before it could say so has that time from the answer's end.
        """
        self.words[self._row + at.W_DRAINING] = 1
        began_s = self.now_s = clock.now_s()
        until_s = until_s if until_s is not None else began_s + self.options.shutdown_timeout_s
        self._begin_to_drain(began_s)
        alone_s = 0.0
        while self.connection_count() and (now_s := clock.now_s()) < until_s and alone_s < _LAST_LINGER_S:
            alone_s = 0.0 if self.connection_count() > len(self.linger.since) else alone_s + _DRAIN_LOOK_S
            if now_s >= began_s + self.options.shutdown_idle_s:
                self.proxy_protocol.abort()
                self.tls_acceptor.abort()
                self._no_more_claims()
            await asyncio.sleep(_DRAIN_LOOK_S)
        self.proxy_protocol.abort()
        self.tls_acceptor.abort()
        for downstream in list(self.connections):
            downstream.shut()
        self.words[self._row + at.W_DRAINING] = 2

    def _begin_to_drain(self, now_s: float) -> None:
        """Tell every connection with its next answer, and let an idle one be idle for `shutdown_idle_s` from now on."""
        self.draining = True
        self.keepalive.duration_s = min(self.options.shutdown_idle_s, self.options.keepalive_idle_s)
        for downstream in self.connections:
            downstream.closing = True
            if downstream in self.header_wait.since and not downstream.buffer:
                self.header_wait.stop(downstream)
                self.keepalive.start(downstream, now_s)
        for downstream in list(self.keepalive.since):
            self.keepalive.start(downstream, now_s)

    def _no_more_claims(self) -> None:
        """Say so to a successor that waits for it, once it is true; from then on nobody is waited for."""
        if self.words[at.H_PORT_SHARED] and not self.keepalive.since and not self.header_wait.since:
            self.words[self._row + at.W_DRAINING] = 2
            self.keepalive.duration_s = 0.0
