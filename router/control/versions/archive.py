"""The office that keeps the versions: what is known of each, when it was live, and which may be deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from router import clock
from router.control.bench import Bench
from router.control.controller import Controller
from router.control.office import Office
from router.control.versions import catalogue
from router.control.versions.catalogue import Document
from router.errors import OperatorError
from router.rollout.events import RegisterAsked
from router.rollout.target import Target
from router.rollout.versions.retention import Retained, deletable, retained
from router.rollout.versions.tenure import TENURES_MAX


class Archive(Office):
    """`understood` returns the ids of the incidents whose root cause is known."""

    def __init__(self, controller: Controller, understood: Callable[[], Iterable[str]] = tuple) -> None:
        self._controller = controller
        self._understood = understood

    def tick(self, now_ns: int) -> None:
        """A version whose quarantine has come back may be active: that is for people to see."""
        for name, bench in self._controller.benches.items():
            active = bench.registry.active
            mark = bench.registry.quarantines.get(active.version) if active else None
            if active is not None and mark is not None:
                told = f"{active.version} is active, and its quarantine is back ({mark['reason']}): release it or switch away"
                self._controller.alarms.up("quarantined_version_active", told, name)
            else:
                self._controller.alarms.down("quarantined_version_active", name)

    # -- what people ask
    async def version(self, version: str, service: str | None) -> Document:
        """Return one version in full; raise OperatorError (404, or 400 if several services have it)."""
        bench, target = self._found(version, service)
        return await asyncio.to_thread(catalogue.version, catalogue.shelf(bench.registry), target)

    async def live(self, service: str, limit: int = TENURES_MAX) -> Document:
        """Return what was live when: the newest `limit`."""
        bench = self._controller.view.bench(service)
        return await asyncio.to_thread(catalogue.live, catalogue.shelf(bench.registry), limit)

    def retention(self, service: str) -> Document:
        """Return what has to be kept, and which artifacts no version of any service keeps."""
        bench = self._controller.view.bench(service)
        versions = self._retained(bench)
        others = [
            kept for other in self._controller.benches.values() if other is not bench for kept in self._retained(other)
        ]
        own = {version.artifact for version in versions}
        return {
            "service": service,
            "keep_accepted": bench.service.retention.keep_accepted,
            "kept": [version.as_dict() for version in versions if version.because],
            "deletable": [version.as_dict() for version in versions if not version.because],
            "artifacts_deletable": [uri for uri in deletable([*versions, *others]) if uri in own],
        }

    async def register(
        self,
        *,
        service: str,
        version: str,
        endpoints: list[str],
        actor: str,
        artifact: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Make a version known without deploying it, or correct its artifact; no route changes."""
        bench = self._controller.view.bench(service)
        model = await self._controller.models.named(service, version, endpoints, artifact)
        event = RegisterAsked(model.version, model.endpoints, actor, model.origin)
        change = await bench.conductor.change(event, dry_run=dry_run)
        would = "would be " if dry_run and change.changed else ""
        told = f"{model.version} {would or 'is '}registered" + ("" if change.changed else " already")
        return {
            "service": service,
            "version": model.version,
            "changed": change.changed,
            "journalled": True,
            "dry_run": dry_run,
            "message": told,
        }

    def _retained(self, bench: Bench) -> list[Retained]:
        keep = bench.service.retention.keep_accepted
        return retained(bench.registry, keep, self._understood(), clock.wall_s())

    def _found(self, version: str, service: str | None) -> tuple[Bench, Target]:
        benches = self._controller.benches
        asked = [self._controller.view.bench(service)] if service is not None else list(benches.values())
        found = [bench for bench in asked if version in bench.registry.targets]
        if len(found) == 1:
            return found[0], found[0].registry.targets[version]
        if found:
            names = ", ".join(bench.name for bench in found)
            raise OperatorError(
                400, "service_needed", f"services {names} have a version {version}: name one", exit_code=2
            )
        where = f"service {service}" if service is not None else "no service"
        detail = f"{where} has {'no' if service is not None else 'a'} version {version!r}; GET /v1/versions lists them"
        raise OperatorError(404, "version_unknown", detail, exit_code=9)
