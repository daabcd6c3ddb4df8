"""Queries of the admin: status, explanations, versions, the journal, and events as they happen."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from router import __version__
from router.control.addon import Document
from router.control.core.executor import described
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.monitors import overload
from router.control.store.journal_file import JournalFile
from router.control.views import catalogue, rows, status, verbs
from router.control.views.headline import HeadlineDocument, headline
from router.control.views.situation import situation
from router.control.views.verbs import VerbStatus
from router.rollout.outcome import OUTCOMES
from router.runtime import build, clock
from router.settings.shown import shown
from router.shm import layout as at


class Queries:
    """Reads all services of this router; changes nothing."""

    def __init__(self, control_loop: ControlLoop, journal: JournalFile, origin: str) -> None:
        self.control_loop = control_loop
        self._journal = journal
        self._origin = origin
        self._started_at = clock.iso(clock.wall_s())
        self._open_incidents: Callable[[str], list[str]] = lambda service: []
        self._newest_points: Callable[[str], list[Any]] = lambda service: []

    def status(self) -> Document:
        """Return everything: `/v1/status`."""
        return {
            **self._router(),
            "services": {name: self._service(one) for name, one in self.control_loop.services.items()},
        }

    def live(self, service: str) -> Document:
        """Return what the live stream of a service shows: the router, the service, and why it acts or not."""
        return {
            "router": self._router(),
            "service": self.service_status(service),
            "explain": self.explain(service),
            "points": self._newest_points(service),
        }

    def live_list(self) -> Document:
        """Return what the live stream of all services shows: the router in short, and one row for each service."""
        now_ns = clock.now_ns()
        router = self._router()
        workers = router.pop("workers")
        for name in ("unmatched", "limited", "holdings", "journal"):
            del router[name]
        router |= {"workers_up": sum(worker["up"] for worker in workers), "workers_total": len(workers)}
        services = self.control_loop.services.items()
        return {
            "router": router,
            "services": {name: rows.row(one, self._headline(one, now_ns), now_ns) for name, one in services},
        }

    def _router(self) -> Document:
        now_ns = clock.now_ns()
        control_loop, worker_stats = self.control_loop, self.control_loop.worker_stats
        accepted, ended = worker_stats.unmatched()
        words = control_loop.segment.words
        return {
            "version": __version__,
            "build": build.flavour(),
            "boot": words[at.H_BOOT],
            "control": {"pid": os.getpid(), "started_at": self._started_at, "starts": words[at.H_CONTROL_STARTS]},
            "workers": [status.worker(worker_stats.worker(index), now_ns) for index in range(worker_stats.workers)],
            "alarms": control_loop.alarms.listing(),
            "settings": {
                "origin": self._origin,
                "version": words[at.H_SETTINGS],
                "differences": control_loop.differences,
            },
            "journal": {
                "waiting": self._journal.waiting,
                "in_doubt": [change.as_document() for change in self._journal.in_doubt],
                "decided": [change.as_document() for change in self._journal.resolved],
            },
            "unmatched": {
                "accepted": accepted,
                "ended": {outcome.label: ended[outcome] for outcome in OUTCOMES},
            },
            "limited": worker_stats.limited(),
            "holdings": overload.merged(worker_stats.holdings(now_ns)),
        }

    def settings(self) -> Document:
        """Return the settings in effect without their secrets: `/v1/settings`."""
        settings, leaving = self.control_loop.settings, self.control_loop.leaving
        services = {name: service for name, service in settings.services.items() if name not in leaving}
        return {
            "origin": self._origin,
            "version": self.control_loop.segment.words[at.H_SETTINGS],
            "read_at": self.control_loop.settings_read_at,
            "settings": shown(settings.model_copy(update={"services": services})),
        }

    def places(self) -> dict[str, int]:
        """Return the number of each service's place in shared memory, by name."""
        services = sorted(self.control_loop.services.items())
        return {name: service_controller.executor.index for name, service_controller in services}

    def added(self) -> frozenset[str]:
        """Return the services that were added while the router ran."""
        services = self.control_loop.services.items()
        return frozenset(name for name, service_controller in services if service_controller.executor.since_ns)

    def service_status(self, service: str) -> Document:
        """Return one service: `/v1/services/{service}`."""
        service_controller = self.control_loop.services[service]
        return {**self._service(service_controller), "verbs": self._verbs(service_controller, clock.now_ns())}

    def _service(self, service_controller: ServiceController) -> Document:
        """Return one service without its verbs, which take as long as all the rest."""
        control_loop, now_ns = self.control_loop, clock.now_ns()
        document = status.service(service_controller, control_loop.worker_stats, control_loop.probes, now_ns)
        document["headline"] = self._headline(service_controller, now_ns)
        for addon in control_loop.addons:
            document |= addon.status(service_controller.name)
        return document

    def _verbs(self, service_controller: ServiceController, now_ns: int) -> dict[str, VerbStatus]:
        found = verbs.allowed(service_controller, now_ns)
        for addon in self.control_loop.addons:
            found |= {verb: verbs.refused(why) for verb, why in addon.verbs(service_controller.name).items()}
        if self.control_loop.segment.words[at.H_TAKING_OVER]:
            return dict.fromkeys(found, verbs.refused(["this router is taking over from another one"]))
        return found

    def set_open_incidents(self, source: Callable[[str], list[str]]) -> None:
        """Ask `source` for the ids of the incidents of a service that are not closed, newest first."""
        self._open_incidents = source

    def set_newest_points(self, source: Callable[[str], list[Any]]) -> None:
        """Ask `source` for the points of the newest second of a service, as the history has them."""
        self._newest_points = source

    def _headline(self, service_controller: ServiceController, now_ns: int) -> HeadlineDocument:
        incidents = service_controller.registry.incidents
        last = incidents[-1]["id"] if incidents else None
        is_open = last is not None and last in self._open_incidents(service_controller.name)
        return headline(situation(service_controller, now_ns, last if is_open else None))

    def explain(self, service: str) -> Document:
        """Return why automation did or did not act."""
        document = status.explain(self.control_loop.services[service], clock.now_ns())
        for addon in self.control_loop.addons:
            document |= addon.explain(service)
        return document

    async def versions(self) -> Document:
        """Return all versions of all services."""
        services = self.control_loop.services.values()
        snapshots = [catalogue.snapshot(service_controller.executor) for service_controller in services]
        return {"versions": await asyncio.to_thread(catalogue.versions, snapshots)}

    def quarantined(self) -> list[tuple[str, str]]:
        """Return service and label of each version that is blocked."""
        return [
            (name, version)
            for name, service_controller in self.control_loop.services.items()
            for version in service_controller.registry.quarantines
        ]

    async def journal(
        self,
        after: int = 0,
        limit: int = 100,
        service: str | None = None,
        before: int | None = None,
        *,
        newest: bool = False,
    ) -> Document:
        """Return journal entries with numbers above `after` and, if it is given, below `before`, oldest first.

        If there are more than `limit`: the first ones, or with `newest` the last ones. Refusal if the router has no such
        `service` and the journal knows none that had this name.
        """
        entries = await self._journal.entries(after, limit, service, before, newest=newest)
        if service is not None and not entries:
            _ = self.control_loop.services[service]
        return {"entries": [described(entry) for entry in entries]}

    def subscribe(self) -> asyncio.Queue[Document | None]:
        """Return a queue that gets every event from now on."""
        return self.control_loop.broadcast.subscribe()

    def unsubscribe(self, queue: asyncio.Queue[Document | None]) -> None:
        """Remove that queue."""
        self.control_loop.broadcast.unsubscribe(queue)
