"""A few connections beyond `connections_max`, so that a balancer's health check is answered at the connection limit.

A reserved connection may send one request that no service answers (`ready_path`, `OPTIONS *`); then it is closed. Every other
request gets the 503 of the limit. PROXY header, handshake and head each have at most RESERVED_S.

The reserve is small and never refuses a connection. If it is full, it evicts the oldest connection of the client that has the
most connections there. So silent connections and slow heads of one address never evict the single connection of
another. A TLS handshake costs many times a refused request, so there are at most HANDSHAKES_PER_S of them, and
HANDSHAKES_PER_CLIENT_S of one client; other TLS connections are closed unanswered.

Many addresses together could use up both. A balancer that the settings name (`[forwarding] trusted`, `proxy_protocol_from`) is
therefore evicted last while it has at most BALANCER_RESERVED connections, and has its HANDSHAKES_PER_CLIENT_S in addition.

Why: docs/decisions.md#reserved-connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from router.errors import DownstreamError
from router.proxy.addresses import client_of
from router.proxy.deadlines import Deadlines
from router.proxy.engine import local_replies
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.downstream import Downstream
    from router.proxy.http1.request_head import RequestHead

RESERVED_S: Final = 2.0
"""Health checks send their request at once, and have timeouts of one to five seconds."""
HANDSHAKES_PER_S: Final = 32
HANDSHAKES_PER_CLIENT_S: Final = 8
BALANCER_RESERVED: Final = 4
"""A balancer with more has no priority: these are clients' connections, not only health checks."""

Evict = Callable[[Any], None]


class Reserve:
    """The reserved connections of one worker, in any stage (PROXY header, handshake, request)."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.reserved = context.reserved
        """Reserved connection → its client, whether it is a balancer, how to evict it."""
        self.waits = Deadlines(RESERVED_S, self._evict)
        self._second = 0
        self._handshakes: Counter[str] = Counter()
        self._handshake_count = 0

    def __len__(self) -> int:
        return len(self.reserved)

    def take(self, connection: object, address: str, evict: Evict) -> None:
        """Add a connection. `evict` closes it if it is evicted, and is called at most once."""
        if len(self.reserved) >= self._context.reserved_max:
            self._evict(self._first_to_go())
        self.reserved[connection] = (client_of(address), self._is_balancer(address), evict)
        self.waits.start(connection, self._context.now_s)

    def leave(self, connection: object) -> None:
        """Remove a connection that has ended or goes on to its next stage; others are ignored."""
        if self.reserved.pop(connection, None) is not None:
            self.waits.stop(connection)

    def take_handshake(self, address: str) -> bool:
        """Return whether a connection of `address` may do a handshake in this second, and count it."""
        second, client = int(self._context.now_s), client_of(address)
        if second != self._second:
            self._second = second
            self._handshakes.clear()
            self._handshake_count = 0
        if self._handshakes[client] >= HANDSHAKES_PER_CLIENT_S:
            return False
        if not self._is_balancer(address):
            if self._handshake_count >= HANDSHAKES_PER_S:
                return False
            self._handshake_count += 1
        self._handshakes[client] += 1
        return True

    def serve(self, downstream: Downstream) -> None:
        """Add a connection that is ready for its request."""
        downstream.closing = True
        downstream._translate = _UnmatchedOnly(downstream).request_head
        self.take(downstream, downstream.client, _reject)

    def _first_to_go(self) -> object:
        number = Counter(client for client, _, _ in self.reserved.values())
        last = {
            client for client, balancer, _ in self.reserved.values() if balancer and number[client] <= BALANCER_RESERVED
        }
        crowded = (number - Counter(dict.fromkeys(last, BALANCER_RESERVED)) or number).most_common(1)[0][0]
        return next(connection for connection, (client, _, _) in self.reserved.items() if client == crowded)

    def _is_balancer(self, address: str) -> bool:
        context = self._context
        announces = context.options.proxy_protocol.required and context.allowed_senders.covers(address)
        return announces or context.forwarding.trusted.covers(address)

    def _evict(self, connection: object) -> None:
        _, _, evict = self.reserved[connection]
        self.leave(connection)
        evict(connection)


class _UnmatchedOnly:
    """Translates a reserved connection's head, and refuses requests that a service would answer."""

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._translate = downstream._translate

    def request_head(self, raw: bytes) -> RequestHead:
        """Return the translation of a complete head; raise DownstreamError."""
        head = self._translate(raw)
        if head.service is not None:
            self._downstream.context.count_limit(at.LIMITED_CONNECTIONS)
            raise DownstreamError(503, "connections", local_replies.NO_ROOM)
        return head


def _reject(downstream: Downstream) -> None:
    """Close a connection whose time is over, or that is evicted."""
    transport = downstream.transport
    if transport is None:
        return
    if downstream.lingering or transport.is_closing():
        transport.abort()
    else:
        local_replies.reject_connection(downstream, at.LIMITED_CONNECTIONS, linger=False)
