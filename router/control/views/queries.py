"""What the admin may read: status, explanations, versions, the journal, events as they happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Protocol

from router import __version__
from router.control.addon import Addon
from router.control.core.executor import described
from router.control.core.probes import Probes
from router.control.core.service_controller import ServiceController
from router.control.monitors import overload
from router.control.monitors.alarms import Alarms
from router.control.monitors.broadcast import Broadcast
from router.control.store.journal import Journal
from router.control.views import catalogue, status
from router.errors import OperatorError
from router.rollout.outcome import OUTCOMES
from router.runtime import build, clock
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

Document = dict[str, Any]


class QuerySource(Protocol):
    """What there is to look at: the controller."""

    segment: Segment
    worker_stats: WorkerStats
    alarms: Alarms
    broadcast: Broadcast
    probes: Probes
    services: dict[str, ServiceController]
    addons: Sequence[Addon]


class Queries:
    """Reads all services of this router; changes nothing. `differences`: where the settings differ from the journal."""

    def __init__(self, floor: QuerySource, journal: Journal, origin: str) -> None:
        self.differences: list[str] = []
        self._source = floor
        self._journal = journal
        self._origin = origin
        self._started_at = clock.iso(clock.wall_s())

    def service(self, service: str) -> ServiceController:
        """Return the bench of a service; raise OperatorError (404) naming those that there are."""
        service_controller = self._source.services.get(service)
        if service_controller is None:
            names = ", ".join(self._source.services) or "none"
            raise OperatorError(
                404, "service_unknown", f"there is no service {service!r}; there are: {names}", exit_code=9
            )
        return service_controller

    def status(self) -> Document:
        """Return everything: `/v1/status`."""
        now_ns = clock.now_ns()
        accepted, ended = self._source.worker_stats.unmatched()
        words = self._source.segment.words
        return {
            "version": __version__,
            "build": build.flavour(),
            "boot": words[at.H_BOOT],
            "control": {"pid": os.getpid(), "started_at": self._started_at, "starts": words[at.H_CONTROL_STARTS]},
            "workers": [
                status.worker(self._source.worker_stats.worker(index), now_ns)
                for index in range(self._source.worker_stats.workers)
            ],
            "alarms": self._source.alarms.listing(),
            "settings": {"origin": self._origin, "version": words[at.H_SETTINGS], "differences": self.differences},
            "journal": {
                "waiting": self._journal.waiting,
                "in_doubt": [doubt.described() for doubt in self._journal.doubts],
                "decided": [doubt.described() for doubt in self._journal.decided],
            },
            "unmatched": {
                "accepted": accepted,
                "ended": {outcome.label: ended[outcome] for outcome in OUTCOMES},
            },
            "limited": self._source.worker_stats.limited(),
            "holdings": overload.merged(self._source.worker_stats.holdings(now_ns)),
            "services": {name: self.service_status(name) for name in self._source.services},
        }

    def service_status(self, service: str) -> Document:
        """Return one service: `/v1/services/{service}`."""
        told = status.service(self.service(service), self._source.worker_stats, self._source.probes, clock.now_ns())
        for addon in self._source.addons:
            told |= addon.status(service)
        return told

    def explain(self, service: str) -> Document:
        """Return why automation did or did not act."""
        told = status.explain(self.service(service), clock.now_ns())
        for addon in self._source.addons:
            told |= addon.explain(service)
        return told

    async def versions(self) -> Document:
        """Return all versions of all services."""
        shelves = [
            catalogue.snapshot(service_controller.registry) for service_controller in self._source.services.values()
        ]
        return {"versions": await asyncio.to_thread(catalogue.versions, shelves)}

    def quarantined(self) -> list[tuple[str, str]]:
        """Return service and label of each version that is blocked."""
        return [
            (name, version)
            for name, service_controller in self._source.services.items()
            for version in service_controller.registry.quarantines
        ]

    async def journal(self, after: int = 0, limit: int = 100, service: str | None = None) -> Document:
        """Return journal entries with a number above `after`, oldest first."""
        entries = await self._journal.entries(after, limit, service)
        return {"entries": [described(entry) for entry in entries]}

    def subscribe(self) -> asyncio.Queue[Document | None]:
        """Return a queue that gets every event from now on."""
        return self._source.broadcast.subscribe()

    def unsubscribe(self, queue: asyncio.Queue[Document | None]) -> None:
        """Forget that queue."""
        self._source.broadcast.unsubscribe(queue)
