"""Who may connect to a worker: how many altogether, how many of one client, and for how long.

All of it is decided when a connection is made, and by the sweep; a request costs nothing. Counted is per worker: the kernel
deals connections out by address and port, so of `connections_per_client_max` a client gets that much at each worker.
There is no limit on the rate of new connections: a client that is refused costs as much as one that is let in, so that
belongs before us (nftables, the load balancer).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from router.proxy.addresses import UNIX, UNKNOWN
from router.proxy.deadlines import Deadlines
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.accept.reserve import Reserve
    from router.proxy.context import WorkerContext
    from router.proxy.engine.downstream import Downstream

_NOBODY = (UNIX, UNKNOWN)
"""Addresses that do not tell clients apart."""


class ClientConnectionLimiter:
    """The connections of one worker. `by_client` counts them by address, as long as that is limited."""

    def __init__(self, context: WorkerContext, reserve: Reserve) -> None:
        self._context = context
        self.reserve = reserve
        self.connections: set[Downstream] = set()
        self.by_client: dict[str, int] = {}
        self.ages = Deadlines(context.options.connection_age_max_s, self._too_old)

    def connection_count(self) -> int:
        """Return how many connections there are, those included whose PROXY header or TLS handshake is not over."""
        context = self._context
        return len(self.connections) + len(context.proxy_header_wait.since) + len(context.handshake_wait.since)

    def at_connection_limit(self) -> bool:
        """Return whether one more connection would exceed `connections_max`; guests of the reserve do not count."""
        return self.connection_count() - len(self._context.guests) >= self._context.connections_max

    def admit(self, downstream: Downstream) -> int | None:
        """Take a connection in; return the limit (`layout.LIMITED_…`) that it would exceed, None if it is in."""
        context = self._context
        context.words[context.row + at.W_CONNECTIONS_TOTAL] += 1
        limit = self._exceeded_limit(downstream)
        if limit is None and downstream not in context.guests:
            # While the worker drains, a connection that has sent nothing counts as idle.
            (context.keepalive if context.draining else context.header_wait).start(downstream, context.now_s)
        return limit

    def _exceeded_limit(self, downstream: Downstream) -> int | None:
        """Count the connection, beyond the limit as a guest of the reserve; return the limit that it exceeds."""
        context = self._context
        if context.options.connections_per_client_max < math.inf and self._is_client(address := _address(downstream)):
            number = self.by_client.get(address, 0)
            if number >= context.options.connections_per_client_max and not downstream.adopted:
                return at.LIMITED_PER_CLIENT
            self.by_client[address] = number + 1
        if self.at_connection_limit() and not downstream.adopted:
            self.connections.add(downstream)
            self.reserve.serve(downstream)
            return None
        self.connections.add(downstream)
        if self.ages.duration_s < math.inf:
            self.ages.start(downstream, context.now_s)
        return None

    def release(self, downstream: Downstream) -> None:
        """A connection has ended: end its waits, and count it no more."""
        self._discount_connection(downstream)
        self._context.forget_waits(downstream)

    def _discount_connection(self, downstream: Downstream) -> None:
        if downstream not in self.connections:
            return
        self.connections.remove(downstream)
        self.reserve.leave(downstream)
        self.ages.stop(downstream)
        if self.by_client:
            self._discount(_address(downstream))

    def _discount(self, address: str) -> None:
        number = self.by_client.get(address, 0)
        if number > 1:
            self.by_client[address] = number - 1
        else:
            self.by_client.pop(address, None)

    def reconfigure(self) -> None:
        """Take over changed settings: the clients that are there are counted, and age from now on, if that is new."""
        options = self._context.options
        self.ages.duration_s = options.connection_age_max_s
        self.by_client.clear()
        for downstream in self.connections:
            address = _address(downstream)
            if options.connections_per_client_max < math.inf and self._is_client(address):
                self.by_client[address] = self.by_client.get(address, 0) + 1
            if options.connection_age_max_s < math.inf:
                self.ages.since.setdefault(downstream, self._context.now_s)

    def _is_client(self, address: str) -> bool:
        """Whether this address tells a client from others: a trusted proxy connects for many."""
        return address not in _NOBODY and not self._context.forwarding.trusted.covers(address)

    def _too_old(self, downstream: Downstream) -> None:
        """It ends with its next answer, which says so: the client connects anew, perhaps to one that is less busy."""
        self._context.count_limit(at.LIMITED_AGE)
        downstream.closing = True


def _address(downstream: Downstream) -> str:
    return downstream.peer.address if downstream.peer is not None else UNKNOWN
