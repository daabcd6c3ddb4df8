"""Limits on requests in flight: `in_flight_max` of one version, `requests_max` of all; tunnels may use half of each.

A counter would cost every request two writes. Instead a target has a `quota` of requests that it may have in flight
without a call of the limiter. The quota costs the one comparison that `in_flight_max` costs anyway. A request beyond
the quota calls the limiter: it counts all requests in flight and distributes the remaining places anew. The quotas
never exceed the remaining places, so the limits hold at every moment, and no request is refused while a place is left.
Two exceptions may exceed a limit by one: a rescue, until the next sweep, and a request of a client to which another
client leaves no place.

A tunnel may last for days, so tunnels take at most half of the places. Requests for a tunnel always call the limiter,
and count from their claim on. While clients are refused because another client holds the places, quotas are 0: then
every request calls the limiter, and client_shares.py decides which client has had its share. A client is an IPv4
address or the /64 of an IPv6 address (`[forwarding]` and the PROXY protocol announce the true one). Peers on Unix
sockets, and trusted proxies that announce no client, have no address of their own: they are not limited, and no other
client is limited for them.

Why: docs/decisions.md#quotas-instead-of-a-counter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from router.proxy.addresses import UNIX, UNKNOWN, client_of
from router.proxy.context import WorkerContext
from router.proxy.routing import holdings, request_limit
from router.proxy.routing.client_shares import ClientShares
from router.proxy.routing.limited import LimitedExchange, LimitedService, LimitedTarget
from router.proxy.routing.request_limit import RequestLimit
from router.shm import layout as at
from router.shm.holdings import HoldingsRecord

WAITED_MIN_S: Final = 60.0
"""The least age of a request that waits for its first byte and is ended to clear its place. It is longer than
`hang_after_max_s`, so a version that hangs is judged first, and its waiting requests are rescued.
"""
_HELD_MIN_S: Final = 10.0
"""The least age of any other request that is ended to clear its place."""
_PUBLISH_S: Final = 10.0
"""For so long after a refusal the holdings are published for control, once in _PUBLISH_SWEEPS."""
_PUBLISH_SWEEPS: Final = 10


@dataclass(frozen=True, slots=True)
class Bound:
    """`used` of `places` are taken by exchanges on `targets`; only those that are tunnels, or may become one, if `tunnels`."""

    limit: RequestLimit
    shares: ClientShares
    places: int
    used: int
    targets: Iterable[LimitedTarget]
    tunnels: bool = False

    def exchanges(self) -> Iterable[LimitedExchange]:
        """Return the exchanges that take a place."""
        return (
            exchange
            for target in self.targets
            for exchange in target.in_flight
            if exchange.head.upgrade or not self.tunnels
        )


class ConcurrencyLimiter:
    """The limits on requests in flight in one worker. `shares` are those of all requests, and of tunnels."""

    def __init__(self, context: WorkerContext, services: Sequence[LimitedService]) -> None:
        self._context = context
        self._services = services
        self.holdings = HoldingsRecord(context.segment, context.index)
        self.shares = (ClientShares(), ClientShares())
        self._refused_s = -_PUBLISH_S
        self._sweeps = 0

    def distribute(self) -> int:
        """Give each target its quota of the remaining places; return how many places remain. Called in every sweep."""
        context, serving, taken = self._context, 0, 0
        for service in self._services:
            serving += len(service.targets)
            for target in service.targets.values():
                taken += len(target.in_flight)
            for target in service.draining:
                taken += len(target.in_flight)
        left = max(0, context.options.requests_max - taken)
        share, most = left // max(1, serving), context.in_flight_max
        contended = self.shares[0].contended
        for service in self._services:
            for target in service.targets.values():
                always_ask = contended or target.shares[0].contended
                target.quota = 0 if always_ask else min(most, len(target.in_flight) + share)
        return left

    def exceeded_limit(self, exchange: LimitedExchange, target: LimitedTarget) -> RequestLimit | None:
        """Return the limit that one more request on this target would exceed, None if it may be claimed.

        To be called where the target's quota is used up.
        """
        limit = self._refusal(exchange, target)
        self.distribute()
        if limit is not None:
            self._refused_s = self._context.now_s
        return limit

    def fits(self, exchange: LimitedExchange, target: LimitedTarget) -> bool:
        """Return whether a rescue may claim this target."""
        if len(target.in_flight) >= self._context.in_flight_max:
            return False
        return not exchange.head.upgrade or all(bound.used < bound.places for bound in self._tunnel_bounds(target))

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: clear places of clients above their share, distribute quotas, publish the holdings."""
        for bound in self._all_bounds():
            if bound.shares.contended:
                bound.shares.count(self._held(bound), now_s)
                if number := bound.shares.places_to_clear(bound.places, now_s):
                    self._clear(bound, number, now_s)
        self.distribute()
        self._sweeps += 1
        if self._sweeps % _PUBLISH_SWEEPS == 0:
            self._publish_holdings(now_s)

    # -- admission
    def _refusal(self, exchange: LimitedExchange, target: LimitedTarget) -> RequestLimit | None:
        now_s = self._context.now_s
        bounds = self._request_bounds(target)
        if exchange.head.upgrade:
            bounds += self._tunnel_bounds(target)
        client = self._client(exchange.downstream.client)
        contended = [bound for bound in bounds if bound.shares.contended]
        if any(bound.shares.refuses(client, bound.places, bound.places - bound.used, now_s) for bound in contended):
            return request_limit.CLIENT_SHARE
        for bound in bounds:
            if bound.used >= bound.places:
                if self._is_probe(exchange, bound, client):
                    continue
                # Counted once a sweep, however many requests are refused.
                if bound.shares.counted_s != now_s and not bound.shares.contended:
                    bound.shares.count(self._held(bound), now_s)
                bound.shares.record_refusal(client, bound.places, now_s)
                return bound.limit
        for bound in contended:
            if bound.used < bound.places:
                bound.shares.record_admission(client, bound.places, now_s)
        return None

    def _is_probe(self, exchange: LimitedExchange, bound: Bound, client: str | None) -> bool:
        """Return whether a request is admitted beyond the limit, to show whether the version answers other clients."""
        one_more = bound.used == bound.places and not exchange.head.upgrade
        return one_more and bound.shares.is_probe(client, bound.places, self._context.now_s)

    def _request_bounds(self, target: LimitedTarget) -> tuple[Bound, ...]:
        context, targets = self._context, self._targets()
        under_way = sum(len(one.in_flight) for one in targets)
        return (
            Bound(request_limit.IN_FLIGHT, target.shares[0], context.in_flight_max, len(target.in_flight), (target,)),
            Bound(request_limit.REQUESTS, self.shares[0], context.options.requests_max, under_way, targets),
        )

    def _tunnel_bounds(self, target: LimitedTarget) -> tuple[Bound, ...]:
        context, targets = self._context, self._targets()
        every, limit = sum(one.upgrades for one in targets), request_limit.TUNNELS
        of_all = context.options.requests_max
        return (
            Bound(limit, target.shares[1], _half(context.in_flight_max), target.upgrades, (target,), tunnels=True),
            Bound(limit, self.shares[1], _half(of_all), every, targets, tunnels=True),
        )

    def _all_bounds(self) -> list[Bound]:
        """Return all bounds that are contended, and perhaps others."""
        contended = self.shares[0].contended or self.shares[1].contended
        found = [
            bound
            for target in self._targets()
            if contended or target.shares[0].contended or target.shares[1].contended
            for bound in (*self._request_bounds(target), *self._tunnel_bounds(target))
        ]
        return list({id(bound.shares): bound for bound in found}.values()) if found else found

    def _targets(self) -> list[LimitedTarget]:
        return [target for service in self._services for target in (*service.targets.values(), *service.draining)]

    # -- holdings
    def _client(self, address: str) -> str | None:
        """Return the client of an address, None if the address does not identify one."""
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
        """End the oldest `number` exchanges of clients that hold more than their share."""
        share, held = bound.shares.share(bound.places), bound.shares.held
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

    def _publish_holdings(self, now_s: float) -> None:
        """Once a second while clients are refused, for _PUBLISH_S after that, and while a limit is still reached."""
        record = self.holdings
        if now_s - self._refused_s < _PUBLISH_S:
            record.write(holdings.document(self._services, self._full()))
        elif record.is_set:
            if self._full():
                record.write(holdings.document(self._services, True))
            else:
                record.clear()

    def _full(self) -> bool:
        """Return whether some limit is reached."""
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
