"""Limits on a worker's connections: their number, the number per client address, and their age.

The limits are checked when a connection is made, and by the sweep; a request costs nothing. Every worker counts its own
connections. The kernel distributes connections by address and port, so a client may have `connections_per_client_max` at each
worker. There is no limit on the rate of new connections: a refused connection costs as much as an accepted one, so such a
limit belongs in front of the router (nftables, the load balancer).
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

_SHARED_ADDRESSES = (UNIX, UNKNOWN)
"""Addresses that many clients have in common."""


class ClientConnectionLimiter:
    """The connections of one worker. `by_client` counts them by address, as long as their number is limited."""

    def __init__(self, context: WorkerContext, reserve: Reserve) -> None:
        self._context = context
        self.reserve = reserve
        self.connections: set[Downstream] = set()
        self.by_client: dict[str, int] = {}
        self.ages = Deadlines(context.options.connection_age_max_s, self._too_old)

    def connection_count(self) -> int:
        """Return the number of connections, including those within their PROXY header or TLS handshake."""
        context = self._context
        return len(self.connections) + len(context.proxy_header_wait.since) + len(context.handshake_wait.since)

    def at_connection_limit(self) -> bool:
        """Return whether one more connection would exceed `connections_max`; those of the reserve do not count."""
        return self.connection_count() - len(self._context.reserved) >= self._context.connections_max

    def admit(self, downstream: Downstream) -> int | None:
        """Admit a connection; return the limit (`layout.LIMITED_…`) that it would exceed, None if it is admitted."""
        context = self._context
        context.count(at.W_CONNECTIONS_TOTAL)
        limit = self._exceeded_limit(downstream)
        if limit is None and downstream not in context.reserved:
            # While the worker drains, a connection that has sent nothing counts as idle.
            (context.keepalive if context.draining else context.header_wait).start(downstream, context.now_s)
        return limit

    def _exceeded_limit(self, downstream: Downstream) -> int | None:
        """Count the connection, beyond the limit as one of the reserve; return the limit that it exceeds."""
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
        """Remove a connection that has ended, and its deadlines."""
        self._discount_connection(downstream)
        self._context.forget_waits(downstream)

    def _discount_connection(self, downstream: Downstream) -> None:
        if downstream not in self.connections:
            return
        self.connections.remove(downstream)
        if self._context.reserved:
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
        """Apply changed settings: a new limit counts the present connections, and their age from now on."""
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
        """Whether this address belongs to a single client. A trusted proxy connects for many clients."""
        return address not in _SHARED_ADDRESSES and not self._context.forwarding.trusted.covers(address)

    def _too_old(self, downstream: Downstream) -> None:
        """Close after the next response, which announces it: the client reconnects, perhaps to a worker that is less busy."""
        self._context.count_limit(at.LIMITED_AGE)
        downstream.closing = True


def _address(downstream: Downstream) -> str:
    return downstream.peer.address if downstream.peer is not None else UNKNOWN
