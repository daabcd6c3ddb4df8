"""How many requests a worker has under way: `in_flight_max` of a version, `requests_max` of all, and tunnels half of each.

A counter would be touched twice by every request. Instead a target may have `quota` attempts open without asking, which costs
the one comparison that `in_flight_max` costs anyway. Who has reached its quota asks here: all open attempts are counted, and
what is left is dealt out anew. What is dealt out is never more than is left, so the limit holds at every moment (only a
rescue, which was counted before, may come on top until the next sweep, and one request of those whom a single client leaves
no place); and nobody is refused while anything is left.

A tunnel may last for days, so tunnels take at most half of the places: requests still pass. Requests for one always ask here,
and count from their claim on. While clients are refused because another holds the places, quotas are 0: then everybody asks
here, and places.py says who has had its share. Who may cost another one its place is told by its address (`[forwarding]`
and the PROXY protocol announce the true one), an IPv6 client by its /64. Unix sockets and trusted proxies that announce nobody
tell no clients apart: they are neither limited, nor is anybody for their sake.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from router.proxy.addresses import UNIX, UNKNOWN, client_of
from router.proxy.context import WorkerContext
from router.proxy.routing import holdings
from router.proxy.routing.client_shares import Places
from router.proxy.routing.limited import LimitedExchange, LimitedService, LimitedTarget
from router.shm import layout as at
from router.shm.holdings import HoldingsRecord

WAITED_MIN_S: Final = 60.0
"""Of a place that is cleared while its request waits for a first byte: longer than `hang_after_max_s`, so that a version
which hangs is judged, and what waits on it rescued, before. Other places have to be STUCK_S old.
"""
_HELD_MIN_S: Final = 10.0
_TOLD_S: Final = 10.0
"""For so long after a refusal control is told who holds what, once in _TOLD_SWEEPS."""
_TOLD_SWEEPS: Final = 10


@dataclass(frozen=True, slots=True)
class Bound:
    """`used` of `places` are taken by exchanges on `targets`; only those that are tunnels, or may become one, if `tunnels`."""

    limit: int
    book: Places
    places: int
    used: int
    targets: Iterable[LimitedTarget]
    tunnels: bool = False

    def exchanges(self) -> Iterable[LimitedExchange]:
        """Return who takes a place."""
        return (
            exchange
            for target in self.targets
            for exchange in target.in_flight
            if exchange.head.upgrade or not self.tunnels
        )


class ConcurrencyLimiter:
    """What is left of the limits on requests under way. `books` are those of the worker: of all requests, and of tunnels."""

    def __init__(self, context: WorkerContext, services: Sequence[LimitedService]) -> None:
        self._context = context
        self._services = services
        self.holdings = HoldingsRecord(context.segment, context.index)
        self.books = (Places(), Places())
        self._refused_s = -_TOLD_S
        self._sweeps = 0

    def distribute(self) -> int:
        """Give each target its share of what is left; return how many requests more there may be. In every sweep."""
        context = self._context
        serving = [target for service in self._services for target in service.targets.values()]
        leaving = [target for service in self._services for target in service.draining]
        left = max(0, context.options.requests_max - sum(len(target.in_flight) for target in (*serving, *leaving)))
        share = left // max(1, len(serving))
        pressed = self.books[0].pressed
        for target in serving:
            asks = pressed or target.books[0].pressed
            target.quota = 0 if asks else min(context.in_flight_max, len(target.in_flight) + share)
        return left

    def exceeded_limit(self, exchange: LimitedExchange, target: LimitedTarget) -> int | None:
        """Return the limit (`layout.LIMITED_…`) that one more request on this target would exceed, None if it may be claimed.

        To be called where the target's quota is used up.
        """
        limit = self._refusal(exchange, target)
        self.distribute()
        if limit is not None:
            self._refused_s = self._context.now_s
        return limit

    def fits(self, exchange: LimitedExchange, target: LimitedTarget) -> bool:
        """Return whether a rescue finds room there."""
        if len(target.in_flight) >= self._context.in_flight_max:
            return False
        return not exchange.head.upgrade or all(bound.used < bound.places for bound in self._tunnel_bounds(target))

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: look after who has had its share, deal, tell control who holds what."""
        for bound in self._all_bounds():
            if bound.book.pressed:
                bound.book.count(self._held(bound), now_s)
                if number := bound.book.look(bound.places, now_s):
                    self._clear(bound, number, now_s)
        self.distribute()
        self._sweeps += 1
        if self._sweeps % _TOLD_SWEEPS == 0:
            self._tell(now_s)

    # -- who is let in
    def _refusal(self, exchange: LimitedExchange, target: LimitedTarget) -> int | None:
        now_s = self._context.now_s
        bounds = self._request_bounds(target)
        if exchange.head.upgrade:
            bounds += self._tunnel_bounds(target)
        client = self._client(exchange.downstream.client)
        pressed = [bound for bound in bounds if bound.book.pressed]
        if any(bound.book.refuses(client, bound.places, bound.places - bound.used, now_s) for bound in pressed):
            return at.LIMITED_SHARE
        for bound in bounds:
            if bound.used >= bound.places:
                if self._is_witness(exchange, bound, client):
                    continue
                if bound.book.counted_s != now_s and not bound.book.pressed:  # once a sweep, however many are refused
                    bound.book.count(self._held(bound), now_s)
                bound.book.refused(client, bound.places, now_s)
                return bound.limit
        for bound in pressed:
            if bound.used < bound.places:
                bound.book.let_in(client, bound.places, now_s)
        return None

    def _is_witness(self, exchange: LimitedExchange, bound: Bound, client: str | None) -> bool:
        """Return whether a request is let in as the one beyond the bound, to show whether the version answers others."""
        one_more = bound.used == bound.places and not exchange.head.upgrade
        return one_more and bound.book.is_witness(client, bound.places, self._context.now_s)

    def _request_bounds(self, target: LimitedTarget) -> tuple[Bound, ...]:
        context, targets = self._context, self._targets()
        under_way = sum(len(one.in_flight) for one in targets)
        return (
            Bound(at.LIMITED_IN_FLIGHT, target.books[0], context.in_flight_max, len(target.in_flight), (target,)),
            Bound(at.LIMITED_REQUESTS, self.books[0], context.options.requests_max, under_way, targets),
        )

    def _tunnel_bounds(self, target: LimitedTarget) -> tuple[Bound, ...]:
        context, targets = self._context, self._targets()
        every, limit = sum(one.upgrades for one in targets), at.LIMITED_TUNNELS
        of_all = context.options.requests_max
        return (
            Bound(limit, target.books[1], _half(context.in_flight_max), target.upgrades, (target,), tunnels=True),
            Bound(limit, self.books[1], _half(of_all), every, targets, tunnels=True),
        )

    def _all_bounds(self) -> list[Bound]:
        """Return those that are pressed, and perhaps others."""
        pressed = any(book.pressed for book in self.books)
        found = [
            bound
            for target in self._targets()
            if pressed or any(book.pressed for book in target.books)
            for bound in (*self._request_bounds(target), *self._tunnel_bounds(target))
        ]
        return list({id(bound.book): bound for bound in found}.values())

    def _targets(self) -> list[LimitedTarget]:
        return [target for service in self._services for target in (*service.targets.values(), *service.draining)]

    # -- who holds what
    def _client(self, address: str) -> str | None:
        """Return what tells this client from others, None if nothing does."""
        if address in (UNIX, UNKNOWN) or self._context.forwarding.trusted.covers(address):
            return None
        return client_of(address)

    def _held(self, bound: Bound) -> dict[str, int]:
        by_address: dict[str, int] = {}
        for exchange in bound.exchanges():
            address = exchange.downstream.client
            by_address[address] = by_address.get(address, 0) + 1
        held: dict[str, int] = {}
        for address, number in by_address.items():
            if (client := self._client(address)) is not None:
                held[client] = held.get(client, 0) + number
        return held

    def _clear(self, bound: Bound, number: int, now_s: float) -> None:
        """End the oldest `number` exchanges of those who hold more than their share, as long as they do."""
        share, held = bound.book.share(bound.places), bound.book.held
        for exchange in sorted(bound.exchanges(), key=_claimed_s):
            client = self._client(exchange.downstream.client)
            if client is None or held.get(client, 0) <= share or now_s - _claimed_s(exchange) < _old_s(exchange):
                continue
            if number == 0:
                return
            number -= 1
            held[client] -= 1
            self._context.count_limit(at.LIMITED_SHARE_CUT)
            exchange.end_for_other_clients()

    def _tell(self, now_s: float) -> None:
        """Once a second, while clients are refused or were just now, or a bound is still full."""
        record = self.holdings
        if now_s - self._refused_s < _TOLD_S:
            record.write(holdings.document(self._services, self._full()))
        elif record.is_set:
            if self._full():
                record.write(holdings.document(self._services, True))
            else:
                record.clear()

    def _full(self) -> bool:
        """Return whether no place of some kind is left."""
        bounds = [
            bound
            for target in self._targets()
            for bound in (*self._request_bounds(target), *self._tunnel_bounds(target))
        ]
        return any(bound.used >= bound.places for bound in bounds)


def _half(places: int) -> int:
    return max(1, places // 2)


def _claimed_s(exchange: LimitedExchange) -> float:
    return exchange.attempt.claimed_s if exchange.attempt is not None else 0.0


def _old_s(exchange: LimitedExchange) -> float:
    """Return how old the exchange has to be before its place is cleared."""
    return WAITED_MIN_S if exchange.request_sent and not exchange.answered else _HELD_MIN_S
