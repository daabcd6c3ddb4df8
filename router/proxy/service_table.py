"""The services of one worker: which of them answers a request, and how the set changes while the worker runs.

A removed service gets no new request once the settings have changed. What it has in flight goes on as in a drain: it ends by
itself, or is cut after `shutdown_timeout_s`. Only then this worker no longer uses the service's place in shared memory, and
writes to `W_LEFT` that this is so.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from router.proxy.engine.local_service import LocalService
from router.proxy.http1.request_head import RequestHead
from router.proxy.options import Options
from router.proxy.routing.concurrency import ConcurrencyLimiter
from router.runtime import clock
from router.shm import layout as at
from router.uri.path import is_under

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.exchange import Exchange

log = logging.getLogger(__name__)


class ServiceTable:
    """`serving` are the services that get requests; `present` are these, and the removed ones with requests in flight.

    `connections` are those of the clients, also later ones.
    """

    def __init__(self, context: WorkerContext, options: Options, connections: Iterable[Downstream]) -> None:
        self.present: list[LocalService] = []
        self.serving: list[LocalService] = []
        self.concurrency = ConcurrencyLimiter(context, self.present)
        self._context = context
        self._connections = connections
        self._leaving: dict[LocalService, float] = {}
        """Removed services, and since when (monotonic seconds)."""
        self._by_prefix: list[LocalService] = []
        self._number = 0
        self._apply(options)

    def reconfigure(self, options: Options) -> None:
        """Apply changed settings: services are added, changed, removed and brought back in one step."""
        self._apply(options)
        for service in self.serving:
            service.refresh()
        self.concurrency.distribute()

    def match(self, head: RequestHead) -> LocalService | None:
        """Return the service of this host with the longest path prefix at a segment boundary; the path is compared as sent."""
        host, path = head.host, head.path
        for service in self._by_prefix:
            prefix = service.options.path_prefix
            if service.options.hosts and host not in service.options.hosts:
                continue
            if is_under(path, prefix) or (path == b"*" and prefix == b"/"):
                return service
        return None

    def sweep(self, now_s: float) -> None:
        """Every 100 ms: sweep all services, distribute the places for requests, end removed services."""
        for service in self.present:
            service.sweep(now_s)
        self.concurrency.sweep(now_s)
        if self._leaving:
            self._end_leaving(now_s)

    def clear(self) -> None:
        """Forget all services: the worker has ended."""
        self._leaving = {}
        for services in (self.present, self.serving, self._by_prefix):
            services.clear()

    # -- changes
    def _apply(self, options: Options) -> None:
        known = {(service.options.name, service.index): service for service in self.present}
        serving = []
        for number, section in enumerate(options.services):
            place = number if section.place is None else section.place
            service = known.pop((section.name, place), None)
            if service is None:
                service = LocalService(self._context, place, section, self.concurrency)
            else:
                service.reconfigure(section)
            self._leaving.pop(service, None)
            serving.append(service)
        for service in known.values():
            self._leaving.setdefault(service, clock.now_s())
        self.serving[:] = serving
        self._by_prefix = sorted(serving, key=lambda one: (-len(one.options.path_prefix), not one.options.hosts))
        self._number = options.number
        self._settle()

    def _settle(self) -> None:
        """Report whether anything is in flight of a service that the settings lack."""
        self.present[:] = [*self.serving, *self._leaving]
        if not self._leaving:
            self._context.words[self._context.row + at.W_LEFT] = self._number

    def _end_leaving(self, now_s: float) -> None:
        limit_s = self._context.options.shutdown_timeout_s
        for service, since_s in list(self._leaving.items()):
            left = service.exchanges() or self._unclaimed(service)
            if not left:
                service.close()
                del self._leaving[service]
                self._settle()
            elif now_s - since_s >= limit_s:
                log.warning(
                    "service %s is removed since %g s: %d requests are cut", service.options.name, limit_s, len(left)
                )
                for exchange in left | self._unclaimed(service):
                    if not exchange.ended:
                        exchange.cut()

    def _unclaimed(self, service: LocalService) -> set[Exchange]:
        """Return the exchanges of a service by its clients; those whose body is still validated have claimed no target."""
        found = (downstream.exchange for downstream in self._connections)
        return {exchange for exchange in found if exchange is not None and exchange.service is service}
