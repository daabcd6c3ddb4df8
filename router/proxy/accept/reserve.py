"""A few connections beyond `connections_max`: a balancer's health check is answered although all places are taken.

A guest may ask one question that no service answers (`ready_path`, `OPTIONS` for us alone), and the connection ends behind the
answer; to anything else the answer is the 503 that it would have had at once. It has GUEST_S for all of it: its PROXY header,
its handshake and its head together as far as they last, each at most so long.

The reserve is small and never refuses: a newcomer puts out the oldest guest of that client which has the most guests. So
silent connections and slow heads of one address, however many, never put out the one guest of another. Over TLS a guest costs
a handshake, many times what is refused, so there are HANDSHAKES_PER_S of them, at most HANDSHAKES_PER_CLIENT_S of one client;
the others are closed unanswered.

Many addresses could take all of both. A balancer that the settings name (`[forwarding] trusted`, `proxy_protocol_from`) competes
with none of them: with up to BALANCER_GUESTS it goes last, and it has its HANDSHAKES_PER_CLIENT_S besides.
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

GUEST_S: Final = 2.0
"""Health checks give up after one to five seconds, and send their request at once."""
HANDSHAKES_PER_S: Final = 32
HANDSHAKES_PER_CLIENT_S: Final = 8
BALANCER_GUESTS: Final = 4
"""A balancer with more of them competes with everybody: it carries clients' connections, not health checks alone."""

Evict = Callable[[Any], None]


class Reserve:
    """The guests of one worker: connections in any stage (PROXY header, handshake, request)."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.guests = context.guests
        """Guest → its client, whether it is a balancer, how to evict it."""
        self.waits = Deadlines(GUEST_S, self._put_out)
        self._second = 0
        self._handshakes: Counter[str] = Counter()
        self._of_all = 0

    def __len__(self) -> int:
        return len(self.guests)

    def take(self, guest: object, address: str, evict: Evict) -> None:
        """Take a connection in; `evict` closes it if it has to go, and is called at most once."""
        if len(self.guests) >= self._context.guests_max:
            self._put_out(self._first_to_go())
        self.guests[guest] = (client_of(address), self._is_balancer(address), evict)
        self.waits.start(guest, self._context.now_s)

    def leave(self, guest: object) -> None:
        """It has ended, goes on to its next stage, or was no guest."""
        if self.guests.pop(guest, None) is not None:
            self.waits.stop(guest)

    def may_shake_hands(self, address: str) -> bool:
        """Return whether there is a handshake left in this second for a guest from there, and take it."""
        second, client = int(self._context.now_s), client_of(address)
        if second != self._second:
            self._second = second
            self._handshakes.clear()
            self._of_all = 0
        if self._handshakes[client] >= HANDSHAKES_PER_CLIENT_S:
            return False
        if not self._is_balancer(address):
            if self._of_all >= HANDSHAKES_PER_S:
                return False
            self._of_all += 1
        self._handshakes[client] += 1
        return True

    def serve(self, downstream: Downstream) -> None:
        """Take in a connection that is ready for its request."""
        downstream.closing = True
        downstream._translate = _Question(downstream).request_head
        self.take(downstream, downstream.client, _turn_away)

    def _first_to_go(self) -> object:
        number = Counter(client for client, _, _ in self.guests.values())
        last = {
            client for client, balancer, _ in self.guests.values() if balancer and number[client] <= BALANCER_GUESTS
        }
        crowded = (number - Counter(dict.fromkeys(last, BALANCER_GUESTS)) or number).most_common(1)[0][0]
        return next(guest for guest, (client, _, _) in self.guests.items() if client == crowded)

    def _is_balancer(self, address: str) -> bool:
        context = self._context
        announces = context.options.proxy_protocol.required and context.allowed_senders.covers(address)
        return announces or context.forwarding.trusted.covers(address)

    def _put_out(self, guest: object) -> None:
        _, _, evict = self.guests[guest]
        self.leave(guest)
        evict(guest)


class _Question:
    """Stands before the translation of a guest's head: nothing that a service would answer passes."""

    def __init__(self, downstream: Downstream) -> None:
        self._downstream = downstream
        self._translate = downstream._translate

    def request_head(self, raw: bytes) -> RequestHead:
        """Return the translation of a whole head; raise DownstreamError."""
        head = self._translate(raw)
        if head.service is not None:
            self._downstream.context.count_limit(at.LIMITED_CONNECTIONS)
            raise DownstreamError(503, "connections", local_replies.NO_ROOM)
        return head


def _turn_away(downstream: Downstream) -> None:
    """Its time is over, or another guest needs its place."""
    transport = downstream.transport
    if transport is None:
        return
    if downstream.lingering or transport.is_closing():
        transport.abort()
    else:
        local_replies.reject_connection(downstream, at.LIMITED_CONNECTIONS, linger=False)
