"""Composes one worker's data plane, sweeps its deadlines, drains it and reconfigures it.

One timer, every 100 ms: heartbeat, loop lag, deadlines, gauges. Everything else happens when bytes or the eventfd arrive.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Final, cast

from router.names.resolver import Resolver
from router.proxy.accept.connection_limiter import ClientConnectionLimiter
from router.proxy.accept.proxy_protocol import PendingHeader, ProxyProtocolAcceptor
from router.proxy.accept.reserve import Reserve
from router.proxy.accept.tls_acceptor import TlsAcceptor
from router.proxy.context import Hooks, WorkerContext
from router.proxy.engine import closing, local_replies, min_rate
from router.proxy.engine.downstream import Downstream
from router.proxy.engine.local_service import LocalService
from router.proxy.engine.tunnel import Tunnel
from router.proxy.heap import Heap, trimmer
from router.proxy.http1 import replies, request_head, response_head
from router.proxy.http1.fields import VIA
from router.proxy.http1.head_cache import HeadCache
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead
from router.proxy.options import Options
from router.proxy.service_table import ServiceTable
from router.proxy.tls.transport import TlsTransport
from router.rollout.model.route import NO_SLOT
from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm.segment import Segment

log = logging.getLogger(__name__)

SWEEP_S: Final = 0.1
_LOOKALIKES_LOG_EVERY_S: Final = 60.0
"""At most one field that was left out is logged in this time: some clients send one with each request."""
_LAG_PERIOD_SWEEPS: Final = 10
UNUSED_SWEEPS: Final = 10
"""While there is no connection, one of so many sweeps looks whether a file descriptor is left."""
_LATE_S: Final = 0.5
"""If a sweep is later than this, no deadline expires: bytes that have arrived in the meantime are read before the next sweep."""
_DRAIN_POLL_S: Final = 0.02
_LAST_LINGER_S: Final = 0.2
"""When only lingering connections are left, their clients have this long to close before the process ends."""


class DataPlane:
    """One worker. `context` is the state that its parts share; the parts themselves are attributes."""

    def __init__(self, index: int, segment: Segment, options: Options, tasks: Tasks, acks_fd: int) -> None:
        # heads
        self._via = VIA if options.via else b""
        self._lookalikes_log = LogThrottle(_LOOKALIKES_LOG_EVERY_S)
        self._requests = HeadCache(self._parse_request)
        self._responses = HeadCache(self._parse_response)
        self.resolver = Resolver()
        self.context = context = WorkerContext(index, segment, options, tasks, acks_fd, self._hooks())
        # connections
        self.reserve = Reserve(context)
        self.limiter = ClientConnectionLimiter(context, self.reserve)
        self.tls_acceptor = TlsAcceptor(context, self.limiter)
        self.proxy_protocol = ProxyProtocolAcceptor(context, self.limiter)
        self.heap = Heap(trimmer())
        # services
        self.service_table = ServiceTable(context, options, self.limiter.connections)
        self.concurrency = self.service_table.concurrency
        # the sweep
        self._lags_us = [0] * _LAG_PERIOD_SWEEPS
        self._sweeps = 0
        self._due_s = 0.0

    def _hooks(self) -> Hooks:
        return Hooks(
            request_head=self._requests.translate,
            response_head=self._responses.translate,
            readiness=self.readiness,
            resolver=self.resolver,
            header_late=local_replies.header_late,
            keepalive_over=Downstream.drain,
            body_late=local_replies.body_late,
            body_rate_due=min_rate.check_body_rate,
            write_progress_due=min_rate.check_write_progress,
            write_rate_due=min_rate.check_write_rate,
            client_unresponsive=closing.abandon_client,
            half_close_over=closing.half_close_over,
            tunnel_idle=Tunnel.idle_too_long,
            tunnel_close_late=Tunnel.close_overdue,
            proxy_header_late=PendingHeader.late,
            handshake_late=TlsTransport.late,
        )

    def new_connection(self) -> asyncio.Protocol:
        """Return the protocol of a connection that a listener accepts: PROXY header, then TLS, then requests."""
        if self.proxy_protocol.required or self.tls_acceptor.ssl_context is not None:
            return self.proxy_protocol.wrap(self._new_downstream)
        return Downstream(self.context, self.limiter)  # type: ignore[return-value]  # it has the methods of a protocol

    def _new_downstream(self, announced: str) -> asyncio.Protocol:
        scheme = "http" if self.tls_acceptor.ssl_context is None else "https"
        downstream = cast(asyncio.Protocol, Downstream(self.context, self.limiter, announced, scheme))
        return self.tls_acceptor.wrap(downstream, announced)

    # -- heads
    def _parse_request(self, raw: bytes) -> RequestHead:
        options = self.context.options
        head = request_head.parse_request(
            raw, options.fields_max, self._via, options.passes_max, options.refuse_lookalikes
        )
        if not head.final and head.path != options.ready_path:
            head.service = service = self.service_table.match(head)
            head.work = service.work_paths.find(head.method, head.path) if service is not None else None
        if head.lookalikes:
            self._count_lookalikes(head)
        return head

    def _count_lookalikes(self, head: RequestHead) -> None:
        """Count fields that were left out of a request, and log some of them. Such a head is not cached."""
        words, word = self.context.words, self.context.row + at.W_LOOKALIKES
        words[word] += len(head.lookalikes)
        if self._lookalikes_log.due(clock.now_s()):
            log.warning(
                "the field %r was left out of a request for %r (%d such fields so far in this worker): a backend may read it as "
                "one that the router sets or checks",
                head.lookalikes[0][:60].decode("latin-1"),
                head.path[:100].decode("latin-1"),
                words[word],
            )

    def _parse_response(self, raw: bytes) -> ResponseHead:
        return response_head.parse_response(raw, self._via)

    # -- routes
    def refresh(self) -> None:
        """Adopt the routes and apply the cuts that control has published."""
        for service in self.service_table.present:
            service.refresh()
            service.apply_cuts()

    @property
    def services(self) -> list[LocalService]:
        """The services that get requests."""
        return self.service_table.serving

    def readiness(self, *, close: bool, head_only: bool) -> bytes:
        """Return the response of the readiness page, from shared memory alone.

        A service that the running router got needs no route for it: a balancer would take the others out of service, too.
        """
        words, options = self.context.words, self.context.options
        silent_s = (clock.now_ns() - words[at.H_CONTROL_HEARTBEAT_NS]) / 1e9
        routed = {service.options.name: service.active is not None for service in self.services}
        has_standby = {
            service.options.name: service.route is not None and service.route.standby != NO_SLOT
            for service in self.services
        }
        draining = (self.context.draining or bool(words[at.H_DRAINING])) and not words[at.H_PORT_SHARED]
        needed = [routed[service.options.name] for service in self.services if not service.options.added]
        ok = all(needed) and any(routed.values()) and not draining
        stale = silent_s > options.control_silent_s
        detail: dict[str, object] = {
            "routed": routed,
            "way_back": has_standby,
            "control": "stale" if stale else "alive",
        }
        if draining:
            detail["draining"] = True
        return replies.ready(ok, stale, detail, close=close, head_only=head_only)

    # -- the sweep
    def start(self) -> None:
        """Start the sweeps."""
        self._due_s = clock.now_s() + SWEEP_S
        self.sweep()

    def sweep(self) -> None:
        """Every 100 ms: heartbeat, loop lag, deadlines, gauges."""
        context = self.context
        context.now_s = now_s = clock.now_s()
        if self._measure_lag(now_s) < _LATE_S:
            context.deadlines.sweep(now_s)
            self.reserve.waits.sweep(now_s)
        self.limiter.ages.sweep(now_s)
        self.service_table.sweep(now_s)
        connections = self.limiter.connection_count()
        if connections or self._sweeps % UNUSED_SWEEPS == 0:
            self._watch_descriptors()
        self.heap.trim_after_burst(connections, now_s)
        self._requests.refill()
        self._responses.refill()
        context.words[context.row + at.W_CONNECTIONS] = len(self.limiter.connections)
        context.words[context.row + at.W_HEARTBEAT_NS] = clock.now_ns()
        self._due_s = now_s + SWEEP_S
        context.loop.call_later(SWEEP_S, self.sweep)

    def _watch_descriptors(self) -> None:
        """Count if no file descriptor is left: libuv then closes each connection that it accepts (`uv__emfile_trick`)."""
        try:
            os.close(os.dup(self.context.acks_fd))
        except OSError:
            self.context.count_limit(at.LIMITED_DESCRIPTORS)

    def _measure_lag(self, now_s: float) -> float:
        lag_us = max(0, int((now_s - self._due_s) * 1e6))
        self._lags_us[self._sweeps % _LAG_PERIOD_SWEEPS] = lag_us
        self._sweeps += 1
        self.context.words[self.context.row + at.W_LAG_US] = max(self._lags_us)
        if lag_us > 1_000_000:
            self.context.words[self.context.row + at.W_LAG_SUM_US] += lag_us
            log.warning("the event loop was late by %.1f s", lag_us / 1e6)
        return lag_us / 1e6

    # -- while it serves
    async def keep_resolving(self) -> None:
        """Resolve the names of all endpoints every `resolve_every_s`."""
        while True:
            await asyncio.sleep(self.context.options.resolve_every_s)
            targets = [target for service in self.service_table.present for target in service.targets.values()]
            await self.resolver.refresh({pool.endpoint.host for target in targets for pool in target.pools} - {""})

    def reconfigure(self, options: Options) -> None:
        """Apply changed settings. The caches of heads are emptied, so the next request finds its service anew."""
        self.context.reconfigure(options)
        self.proxy_protocol.reconfigure(options)
        for downstream in list(self.limiter.connections):
            downstream.reconsider_trust()
        self.limiter.reconfigure()
        self._via = VIA if options.via else b""
        self._requests.clear()
        self._responses.clear()
        self.service_table.reconfigure(options)
        self.tls_acceptor.reconfigure(options)

    # -- the end
    async def drain(self, until_s: float | None = None) -> None:
        """Answer the requests in flight until `until_s` (by default for `shutdown_timeout_s`), then cut the rest.

        A client that is about to send its next request on an idle connection would lose it if the connection closed now. So
        idle connections stay open for `shutdown_idle_s`, and so do pending PROXY headers and handshakes. Each response
        has `Connection: close` (RFC 9112 §9.6). If a response began before the drain, the time counts from its end.
        """
        context = self.context
        context.words[context.row + at.W_DRAINING] = 1
        began_s = context.now_s = clock.now_s()
        until_s = until_s if until_s is not None else began_s + context.options.shutdown_timeout_s
        self._begin_to_drain(began_s)
        alone_s = 0.0
        while self.limiter.connection_count() and (now_s := clock.now_s()) < until_s and alone_s < _LAST_LINGER_S:
            alone_s = 0.0 if self.limiter.connection_count() > len(context.linger.since) else alone_s + _DRAIN_POLL_S
            if now_s >= began_s + context.options.shutdown_idle_s:
                self.proxy_protocol.abort()
                self.tls_acceptor.abort()
                self._announce_drained()
            await asyncio.sleep(_DRAIN_POLL_S)
        self.proxy_protocol.abort()
        self.tls_acceptor.abort()
        for downstream in list(self.limiter.connections):
            downstream.abort()
        context.words[context.row + at.W_DRAINING] = 2

    def _begin_to_drain(self, now_s: float) -> None:
        """Close each connection with its next response; an idle one may stay idle for `shutdown_idle_s` from now on."""
        context = self.context
        context.draining = True
        context.shorten_keepalive()
        for downstream in self.limiter.connections:
            downstream.closing = True
            if downstream in context.header_wait.since and not downstream.buffer:
                context.header_wait.stop(downstream)
                context.keepalive.start(downstream, now_s)
        for downstream in list(context.keepalive.since):
            context.keepalive.start(downstream, now_s)

    def _announce_drained(self) -> None:
        """Once this worker begins no more requests, report that to a successor; then close idle connections."""
        context = self.context
        if context.words[at.H_PORT_SHARED] and not context.keepalive.since and not context.header_wait.since:
            context.words[context.row + at.W_DRAINING] = 2
            context.keepalive.duration_s = 0.0
