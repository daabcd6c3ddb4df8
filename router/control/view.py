"""What the admin may read: status, explanations, versions, the journal, events as they happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Protocol

from router import __version__, build, clock
from router.control import pressure, status
from router.control.alarms import Alarms
from router.control.bench import Bench
from router.control.broadcast import Broadcast
from router.control.conductor import described
from router.control.office import Office
from router.control.probes import Probes
from router.control.store.journal import Journal
from router.control.versions import catalogue
from router.errors import OperatorError
from router.rollout.outcome import OUTCOMES
from router.shm import layout as at
from router.shm.lanes import Lanes
from router.shm.wall import Wall

Document = dict[str, Any]


class Floor(Protocol):
    """What there is to look at: the controller."""

    wall: Wall
    lanes: Lanes
    alarms: Alarms
    broadcast: Broadcast
    probes: Probes
    benches: dict[str, Bench]
    offices: Sequence[Office]


class View:
    """Reads all services of this router; changes nothing. `differences`: where the settings differ from the journal."""

    def __init__(self, floor: Floor, journal: Journal, origin: str) -> None:
        self.differences: list[str] = []
        self._floor = floor
        self._journal = journal
        self._origin = origin
        self._started_at = clock.iso(clock.wall_s())

    def bench(self, service: str) -> Bench:
        """Return the bench of a service; raise OperatorError (404) naming those that there are."""
        bench = self._floor.benches.get(service)
        if bench is None:
            names = ", ".join(self._floor.benches) or "none"
            raise OperatorError(
                404, "service_unknown", f"there is no service {service!r}; there are: {names}", exit_code=9
            )
        return bench

    def status(self) -> Document:
        """Return everything: `/v1/status`."""
        now_ns = clock.now_ns()
        accepted, ended = self._floor.lanes.unmatched()
        words = self._floor.wall.words
        return {
            "version": __version__,
            "build": build.flavour(),
            "boot": words[at.H_BOOT],
            "control": {"pid": os.getpid(), "started_at": self._started_at, "starts": words[at.H_CONTROL_STARTS]},
            "workers": [
                status.worker(self._floor.lanes.worker(index), now_ns) for index in range(self._floor.lanes.workers)
            ],
            "alarms": self._floor.alarms.listing(),
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
            "limited": self._floor.lanes.limited(),
            "holdings": pressure.merged(self._floor.lanes.holdings(now_ns)),
            "services": {name: self.service_status(name) for name in self._floor.benches},
        }

    def service_status(self, service: str) -> Document:
        """Return one service: `/v1/services/{service}`."""
        told = status.service(self.bench(service), self._floor.lanes, self._floor.probes, clock.now_ns())
        for office in self._floor.offices:
            told |= office.status(service)
        return told

    def explain(self, service: str) -> Document:
        """Return why automation did or did not act."""
        told = status.explain(self.bench(service), clock.now_ns())
        for office in self._floor.offices:
            told |= office.explain(service)
        return told

    async def versions(self) -> Document:
        """Return all versions of all services."""
        shelves = [catalogue.shelf(bench.registry) for bench in self._floor.benches.values()]
        return {"versions": await asyncio.to_thread(catalogue.versions, shelves)}

    def quarantined(self) -> list[tuple[str, str]]:
        """Return service and label of each version that is blocked."""
        return [
            (name, version) for name, bench in self._floor.benches.items() for version in bench.registry.quarantines
        ]

    async def journal(self, after: int = 0, limit: int = 100, service: str | None = None) -> Document:
        """Return journal entries with a number above `after`, oldest first."""
        entries = await self._journal.entries(after, limit, service)
        return {"entries": [described(entry) for entry in entries]}

    def subscribe(self) -> asyncio.Queue[Document | None]:
        """Return a queue that gets every event from now on."""
        return self._floor.broadcast.subscribe()

    def unsubscribe(self, queue: asyncio.Queue[Document | None]) -> None:
        """Forget that queue."""
        self._floor.broadcast.unsubscribe(queue)
