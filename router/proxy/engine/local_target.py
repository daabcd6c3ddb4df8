"""This worker's copy of one version: its endpoints, and the exchanges in flight there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.proxy.deadlines import Deadlines
from router.proxy.engine.pool import Pool
from router.proxy.routing.client_shares import ClientShares
from router.rollout.model.endpoint import parse_endpoint
from router.shm.slots import SlotRecord

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.local_service import LocalService


class LocalTarget:
    """One version. `in_flight`: exchanges whose attempt has not ended; `awaiting_first_byte`: those that were sent whole and have
    no first byte yet; `row`: where its counters begin; `quota`: how many may be in flight without asking the limiter
    (routing/concurrency.py); `upgrades`: how many of them are tunnels or may become one; `shares`: the clients' shares of all
    places, and of those for tunnels.
    """

    def __init__(self, context: WorkerContext, service: LocalService, slot: int, content: SlotRecord) -> None:
        self.slot = slot
        self.version = content.version
        self.incarnation = content.incarnation
        self.row = context.segment.layout.worker_slot(context.index, service.index, slot)
        self.served_version = b"X-Served-Version: %s\r\n" % content.version.encode()
        self.in_flight: set[Exchange] = set()
        self.awaiting_first_byte: Deadlines = Deadlines(
            service.options.first_byte_timeout_s, lambda exchange: exchange.first_byte_late()
        )
        self.retrying = 0
        self.quota = 0
        self.upgrades = 0
        self.shares = (ClientShares(), ClientShares())
        self._context = context
        self._backend_context = service.backend_context
        self.pools: tuple[Pool, ...] = ()
        self.set_endpoints(content.endpoints)

    def __repr__(self) -> str:
        return f"<LocalTarget {self.version} in slot {self.slot}: {len(self.in_flight)} in flight, {self.pools}>"

    def set_endpoints(self, urls: tuple[str, ...]) -> None:
        """Serve from these endpoints; pools of endpoints that stay are kept."""
        known = {pool.endpoint.url: pool for pool in self.pools}
        self.pools = tuple(
            known.pop(url) if url in known else Pool(self._context, parse_endpoint(url), self._backend_context)
            for url in urls
        )
        for pool in known.values():
            pool.close()

    def may_retry(self) -> bool:
        """Return whether the retry budget allows one more try: 20 % of the exchanges in flight, at least 3."""
        return self.retrying < max(3, len(self.in_flight) // 5)

    def close_idle(self) -> None:
        """Close the idle connections, because this version has lost its role; those in use stay open."""
        for pool in self.pools:
            pool.close()
