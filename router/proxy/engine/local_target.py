"""What this worker has taken over from the wall: for each service its route and the targets it names.

The route word is read for every claim (0.05 µs). If it differs from the one held, the new route is taken over at once:
slot contents are read until each named slot matches its CRC, else the old route is kept and not acknowledged. From the
acknowledgement on this worker claims by the new route only, because claiming contains no await.
"""

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
    """One version as this worker serves it. `open` are its attempts that have not ended, `waiting` those sent whole that
    have no first byte yet; `row` is its row in this worker's lane; `quota` is how many may be open without asking (room.py),
    `upgrades` how many of them are tunnels or may become one, `shares` who holds the places of all and of tunnels.
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
        return f"<LocalTarget {self.version} in slot {self.slot}: {len(self.in_flight)} open, {self.pools}>"

    def set_endpoints(self, urls: tuple[str, ...]) -> None:
        """Serve from these endpoints; pools of endpoints that stay are kept."""
        held = {pool.endpoint.url: pool for pool in self.pools}
        self.pools = tuple(
            held.pop(url) if url in held else Pool(self._context, parse_endpoint(url), self._backend_context)
            for url in urls
        )
        for pool in held.values():
            pool.close()

    def may_retry(self) -> bool:
        """Return whether the budget allows one more try on another endpoint: 20 % of what is in flight, at least 3."""
        return self.retrying < max(3, len(self.in_flight) // 5)

    def close_idle(self) -> None:
        """This version has no role any more: keep what is open, close what is idle."""
        for pool in self.pools:
            pool.close()
