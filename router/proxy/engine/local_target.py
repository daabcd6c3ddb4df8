"""This worker's copy of one version: its endpoints, and the exchanges in flight there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.proxy.affected.affected import Affected
from router.proxy.deadlines import Deadlines
from router.proxy.engine.pool import Pool
from router.proxy.http1.head_rewrite import head_rewrite
from router.proxy.routing.client_shares import ClientShares
from router.proxy.routing.replicas import Replicas
from router.proxy.work.work_gauges import WorkGauges
from router.rollout.model.addresses import addresses_of, family
from router.rollout.model.endpoint import parse_endpoint
from router.rollout.outcome import Outcome
from router.runtime import clock
from router.shm.slots import SlotRecord, crc

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.local_service import LocalService
    from router.proxy.engine.upstream import Upstream
    from router.proxy.http1.request_head import RequestHead


SECOND_ADDRESS_AFTER_S: Final = 0.25
"""A connection that takes longer is not waited for alone: another address is tried, too (RFC 8305, section 5)."""


OVERDUE_UNKNOWN_S: Final = 50.0
"""The limit of a wait while nothing is known of its work bucket: `hang_after_max_s` by default."""


class LocalTarget:
    """One version. `in_flight`: exchanges whose attempt has not ended; `awaiting_first_byte`: those that were sent whole and have
    no first byte yet; `row`: where its counters begin; `quota`: how many may be in flight without asking the limiter
    (routing/concurrency.py); `upgrades`: how many of them are tunnels or may become one; `shares`: the clients' shares of all
    places, and of those for tunnels; `rewrite`: how its requests differ from the client's, None if they do not; `affected`: notes
    who is affected by its faults.
    """

    def __init__(self, context: WorkerContext, service: LocalService, slot: int, content: SlotRecord) -> None:
        self.slot = slot
        self.version = content.version
        self.incarnation = content.incarnation
        self.row = context.segment.layout.worker_slot(context.index, service.index, slot)
        self.work_gauges = WorkGauges(context.words, self.row)
        self.served_version = b"X-Served-Version: %s\r\n" % content.version.encode()
        self.in_flight: set[Exchange] = set()
        self.awaiting_first_byte: Deadlines = Deadlines(
            service.options.first_byte_timeout_s, lambda exchange: exchange.first_byte_late()
        )
        self.retrying = 0
        self.quota = 0
        self.upgrades = 0
        self.shows_waits = True
        self.shares = (ClientShares(), ClientShares())
        self.affected = Affected(context, self.row, self.incarnation, service.known_good, service.fingerprints)
        self._context = context
        self._backend_context = service.backend_context
        self._replicas = Replicas(
            context.segment, context.index, service.index, slot, content.version, content.incarnation
        )
        self.connecting: Deadlines = Deadlines(SECOND_ADDRESS_AFTER_S, lambda exchange: exchange.attempt.connect_slow())
        self._urls: tuple[str, ...] = ()
        self._changes = -1
        self._families: list[tuple[list[Pool], list[Pool]]] = []
        self.pools: tuple[Pool, ...] = ()
        self.adopt(content, service.options.path_prefix)

    def __repr__(self) -> str:
        return f"<LocalTarget {self.version} in slot {self.slot}: {len(self.in_flight)} in flight, {self.pools}>"

    def adopt(self, content: SlotRecord, path_prefix: bytes) -> None:
        """Serve from the endpoints of `content`, with requests as it says; pools of endpoints that stay are kept.

        `path_prefix` is the service's.
        """
        self.content = content
        self.crc = crc(self.slot, content)
        self.rewrite = head_rewrite(content.rewrite, content.fields, path_prefix)
        self._urls = content.endpoints
        self.refresh_addresses()

    def head_text(self, head: RequestHead, upstream: Upstream) -> bytes:
        """Return the head of a request that cannot be sent as it is: it has no Host, or this version changes it."""
        authority = upstream.pool.authority
        if self.rewrite is not None:
            return self.rewrite.text(head, authority)
        return head.upstream if head.host else b"%bHost: %b\r\n" % (head.upstream, authority)

    def refresh_addresses(self) -> None:
        """Have one pool for each address that the names of the endpoints resolve to; pools of addresses that stay are kept."""
        known = {(pool.endpoint.url, pool.address): pool for pool in self.pools}
        endpoints = [parse_endpoint(url) for url in self._urls]
        wanted = addresses_of(endpoints, self._context.resolver)
        self._changes = self._context.resolver.changes
        if [(endpoint.url, address) for endpoint, address in wanted] == list(known):
            return
        self.pools = tuple(
            known.pop((endpoint.url, address))
            if (endpoint.url, address) in known
            else Pool(self._context, endpoint, self._backend_context, address)
            for endpoint, address in wanted
        )
        self._replicas.assign(self.pools)
        self._find_families()
        for pool in known.values():
            pool.close()

    def _find_families(self) -> None:
        """Where a name has addresses of two families, those of the first one are used, and the others are a fallback."""
        self._families = []
        for url in self._urls:
            pools = [pool for pool in self.pools if pool.endpoint.url == url]
            first = [pool for pool in pools if family(pool.address) == family(pools[0].address)]
            others = [pool for pool in pools if pool not in first]
            for pool in first:
                pool.standing.set_fallback(False)
            for pool in others:
                pool.standing.set_fallback(True)
            if others:
                self._families.append((first, others))

    def _prefer_working_family(self) -> None:
        """Use the fallback family of a name instead of the other one once it alone can be connected to."""
        for number, (used, fallback) in enumerate(self._families):
            if not any(pool.standing.connects for pool in used) and any(pool.standing.reached for pool in fallback):
                for pool in (*used, *fallback):
                    pool.standing.set_fallback(pool in used)
                self._families[number] = (fallback, used)

    def pool_failed(self, pool: Pool, exchange: Exchange, outcome: int, *, counted: bool) -> None:
        """Record a fault of an attempt at `pool`. `counted`: it is a fault of the version, too: no other address answered."""
        now_s = clock.now_s()
        standing = pool.standing
        if counted:
            standing.count_fault()
        if outcome != Outcome.CONNECT_FAILED:  # the pool has recorded that itself
            standing.failed(outcome, self.affected.untried(exchange), now_s)
        self._replicas.failed(standing, int(now_s * 1e9))

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: expire idle connections and waits; decide which addresses get no requests."""
        self.connecting.sweep(now_s)
        self.awaiting_first_byte.sweep(now_s)
        if self._changes != self._context.resolver.changes:
            self.refresh_addresses()
        self._prefer_working_family()
        for pool in self.pools:
            pool.expire(now_s)
        self._replicas.sweep(int(now_s * 1e9))

    def find_overdue(self, limits_us: list[int], now_s: float) -> None:
        """Report waits that exceed the limit of their work bucket to their addresses. 0: unknown."""
        if len(self.pools) < 2:
            return
        for exchange in self.in_flight:
            attempt = exchange.attempt
            if attempt is not None and attempt.target is self and attempt.waits:
                limit_us = limits_us[attempt.work.bucket]
                attempt.wait_too_long(limit_us / 1e6 if limit_us else OVERDUE_UNKNOWN_S, now_s)

    def may_retry(self) -> bool:
        """Return whether the retry budget allows one more try: 20 % of the exchanges in flight, at least 3."""
        return self.retrying < max(3, len(self.in_flight) // 5)

    def close_idle(self) -> None:
        """Close the idle connections, because this version has lost its role; those in use stay open."""
        for pool in self.pools:
            pool.close()
