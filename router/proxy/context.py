"""The state that everything in one worker shares: settings, counters, limits, deadlines. It decides nothing.

Connections, exchanges, local services, pools, taps and acceptors read it and count in it. It lies below all of them and imports
none of them: their functions that it calls are in `Hooks`, which `DataPlane` fills. `DataPlane` composes the worker
around it.

Why: docs/decisions.md#the-workers-context-is-a-value.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from router.proxy.addresses import Networks
from router.proxy.deadlines import Deadlines, DeadlineSet
from router.proxy.fair_queue import FairQueue
from router.proxy.http1.forwarding import Forwarding
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead
from router.proxy.options import Options
from router.rollout.outcome import Outcome
from router.runtime import clock, fd_limits
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm.segment import Segment

log = logging.getLogger(__name__)

LINGER_S: Final = 2.0
"""How long a connection that is closing waits for the client to close its side."""

_ID_ENDS: Final = tuple(b"%03x" % low for low in range(0x1000))
"""The last three digits of an identifier: to format all digits costs 0.25 µs, the table 0.1."""


class NameResolver(Protocol):
    """Resolves the names of endpoints (names/resolver.py)."""

    changes: int

    def known(self, host: str) -> list[str]:
        """Return the addresses of `host` as far as they are known."""

    async def addresses(self, host: str) -> list[str]:
        """Return the addresses of `host`; empty if it does not resolve."""


class Readiness(Protocol):
    """Makes the response of the readiness page."""

    def __call__(self, *, close: bool, head_only: bool) -> bytes:
        """Return the whole response; `close` adds `Connection: close`, `head_only` leaves out the body."""


class ExchangeTracer(Protocol):
    """Notes exchanges for spans (tap/tracing.py)."""

    def attempt_ended(self, exchange: Any, attempt: Any, outcome: int) -> None:
        """Note an attempt; its exchange has not ended."""

    def exchange_ended(self, exchange: Any, service: str, outcome: int) -> None:
        """Note an exchange."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """The functions of the packages above that the context and its users call.

    `request_head` and `response_head` take the bytes of a whole head and raise DownstreamError and UpstreamError. The hooks
    after `resolver` are called with a connection, a tunnel or an acceptor's protocol whose deadline has passed.
    """

    request_head: Callable[[bytes], RequestHead]
    response_head: Callable[[bytes], ResponseHead]
    readiness: Readiness
    resolver: NameResolver
    header_late: Callable[[Any], None]
    keepalive_over: Callable[[Any], None]
    body_late: Callable[[Any], None]
    body_rate_due: Callable[[Any], None]
    write_progress_due: Callable[[Any], None]
    write_rate_due: Callable[[Any], None]
    client_unresponsive: Callable[[Any], None]
    half_close_over: Callable[[Any], None]
    tunnel_idle: Callable[[Any], None]
    tunnel_close_late: Callable[[Any], None]
    proxy_header_late: Callable[[Any], None]
    handshake_late: Callable[[Any], None]


class WorkerContext:
    """Shared by all connections of one worker; nothing in it blocks.

    `words` are the counters of shared memory, `row` is where this worker's begin; `now_s` is the time of the last sweep;
    `reserved` are connections beyond `connections_max` (accept/reserve.py), at most `reserved_max`. `allowed_senders`
    may send a PROXY header. `draining`: the worker stops, and each response has `Connection: close`. `handing_on`: its
    connections go to another process, and no request is begun.
    """

    def __init__(
        self, index: int, segment: Segment, options: Options, tasks: Tasks, acks_fd: int, hooks: Hooks
    ) -> None:
        self.index = index
        self.segment = segment
        self.words = segment.words
        self.row = segment.layout.worker(index)
        self.options = options
        self.tracer: ExchangeTracer | None = None
        self.tasks = tasks
        self.acks_fd = acks_fd
        self.random = Random()
        self.loop = asyncio.get_running_loop()
        self.fair_queue = FairQueue(self.loop)
        self.resolver = hooks.resolver
        self.readiness = hooks.readiness
        self.request_head = hooks.request_head
        self.response_head = hooks.response_head
        self.draining = False
        self.handing_on = False
        self.now_s = clock.now_s()
        self.reserved: dict[Any, tuple[str, bool, Callable[[Any], None]]] = {}
        self._set_limits(options)
        self._set_networks(options)
        self._id_prefix = os.urandom(6).hex().encode()
        self._id_block = self._id_prefix + b"0000000"
        self._id_number = 0
        self._make_deadlines(options, hooks)

    def _make_deadlines(self, options: Options, hooks: Hooks) -> None:
        self.deadlines = tables = DeadlineSet(options)
        # waits of connections
        self.header_wait = tables.add(lambda o: o.header_timeout_s, hooks.header_late)
        self.keepalive = tables.add(lambda o: o.keepalive_idle_s, hooks.keepalive_over)
        self.body_wait = tables.add(lambda o: o.body_timeout_s, hooks.body_late)
        self.body_rate = tables.add(lambda o: o.body_rate_grace_s, hooks.body_rate_due)
        self.write_wait = tables.add(lambda o: o.write_timeout_s, hooks.write_progress_due)
        self.write_rate = tables.add(lambda o: o.write_rate_grace_s, hooks.write_rate_due)
        self.half_closed = tables.add(lambda o: o.half_close_grace_s, hooks.half_close_over)
        self.linger = tables.add(lambda o: LINGER_S, hooks.client_unresponsive)
        # waits before a connection serves requests, and of tunnels
        self.proxy_header_wait = tables.add(lambda o: o.header_timeout_s, hooks.proxy_header_late, connections=False)
        self.tunnel_idle = tables.add(lambda o: o.tunnel_idle_s, hooks.tunnel_idle, connections=False)
        self.tunnel_close = tables.add(lambda o: o.half_close_grace_s, hooks.tunnel_close_late, connections=False)
        self.handshake_wait = tables.add(lambda o: o.tls_handshake_timeout_s, hooks.handshake_late, connections=False)

    def _set_limits(self, options: Options) -> None:
        """Set the limits that requests and connections are checked against, as far as file descriptors allow."""
        self.head_bytes_max, self.body_bytes_max = options.head_bytes_max, options.body_bytes_max
        shares = fd_limits.divide(
            options.connections_max, options.requests_max, options.in_flight_max, fd_limits.available()
        )
        self.connections_max, self.in_flight_max = shares.connections_max, shares.in_flight_max
        self.reserved_max = shares.reserve
        if shares.warning is not None and self.index == 0:  # it is the same for every worker
            log.warning("%s", shares.warning)

    def _set_networks(self, options: Options) -> None:
        self.forwarding = Forwarding(options.forwarding)
        self.allowed_senders = Networks(options.proxy_protocol.allowed_senders)

    def reconfigure(self, options: Options) -> None:
        """Apply changed settings; waits that have begun keep their start."""
        self.options = options
        self._set_limits(options)
        self._set_networks(options)
        self.deadlines.reconfigure(options)
        if self.draining:
            self.shorten_keepalive()

    def trace(self, tracer: ExchangeTracer | None) -> None:
        """Note exchanges for spans from now on; None: no longer."""
        self.tracer = tracer

    def shorten_keepalive(self) -> None:
        """While the worker drains, an idle connection is closed after `shutdown_idle_s`."""
        self.keepalive.duration_s = min(self.options.shutdown_idle_s, self.options.keepalive_idle_s)

    def new_request_id(self) -> bytes:
        """Return an identifier that no other request has: random per worker start, then a number."""
        self._id_number += 1
        low = self._id_number & 0xFFF
        if not low:
            self._id_block = b"%b%07x" % (self._id_prefix, self._id_number >> 12)
        return self._id_block + _ID_ENDS[low]

    def new_wait(self, duration_s: float, expired: Callable[[Any], None]) -> Deadlines:
        """Return a further table, which is swept with the others; its waiters are no connections, and end their waits."""
        return self.deadlines.add(lambda _: duration_s, expired, connections=False)

    def forget_waits(self, downstream: object) -> None:
        """End all waits of a connection."""
        self.deadlines.forget(downstream)

    def count(self, word: int) -> None:
        """Count one event; `word` is one of `layout.W_…`. Compiled, this needs no Python view of `words`."""
        self.words[self.row + word] += 1

    def count_refused(self) -> None:
        """Count a request that was answered without a service."""
        self.words[self.row + at.W_ACCEPTED] += 1
        self.words[self.row + at.W_ENDED + Outcome.REFUSED] += 1

    def count_limit(self, limit: int) -> None:
        """Count that a limit on clients has acted; `limit` is one of `layout.LIMITED_…`."""
        self.words[self.row + at.W_LIMITED + limit] += 1

    def acknowledged(self) -> None:
        """Wake control: this worker claims from a new generation."""
        os.eventfd_write(self.acks_fd, 1)
