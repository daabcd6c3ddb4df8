"""Versions: their provenance, their active periods, and which of them may be deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.views import catalogue
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.machine.retention import Retained, deletable, retained
from router.rollout.model.target import Target
from router.rollout.versions.active_periods import ACTIVE_PERIODS_MAX
from router.runtime import clock


class VersionsAddon(Addon):
    """The versions of all services. `root_cause_known` returns the ids of the incidents whose root cause is recorded."""

    def __init__(self, control_loop: ControlLoop, root_cause_known: Callable[[], Iterable[str]] = tuple) -> None:
        self._control_loop = control_loop
        self._root_cause_known = root_cause_known

    def on_second(self, now_ns: int) -> None:
        """Raise an alarm if the active version is quarantined because its temporary release has expired."""
        for name, service_controller in self._control_loop.services.items():
            active = service_controller.registry.active
            quarantine = service_controller.registry.quarantines.get(active.version) if active else None
            if active is not None and quarantine is not None:
                reason = quarantine["reason"]
                detail = f"{active.version} is active, and its quarantine is back ({reason}): release it or switch away"
                self._control_loop.alarms.up("quarantined_version_active", detail, name)
            else:
                self._control_loop.alarms.down("quarantined_version_active", name)

    # -- for operators
    async def version(self, version: str, service: str | None) -> Document:
        """Return one version in full; raise Refusal if no service or several services have it."""
        service_controller, target = self._found(version, service)
        return await asyncio.to_thread(
            catalogue.version,
            catalogue.snapshot(service_controller.executor),
            target,
        )

    async def live(self, service: str, limit: int = ACTIVE_PERIODS_MAX) -> Document:
        """Return the newest `limit` active periods."""
        service_controller = self._control_loop.services[service]
        return await asyncio.to_thread(
            catalogue.live,
            catalogue.snapshot(service_controller.executor),
            limit,
        )

    def retention(self, service: str) -> Document:
        """Return which versions must be kept, and which artifacts no kept version of any service uses."""
        service_controller = self._control_loop.services[service]
        versions = self._retained(service_controller)
        others = [
            kept
            for other in self._control_loop.services.values()
            if other is not service_controller
            for kept in self._retained(other)
        ]
        own = {version.artifact for version in versions}
        return {
            "service": service,
            "keep_accepted": service_controller.service.retention.keep_accepted,
            "kept": [version.as_dict() for version in versions if version.because],
            "deletable": [version.as_dict() for version in versions if not version.because],
            "artifacts_deletable": [uri for uri in deletable([*versions, *others]) if uri in own],
        }

    def _retained(self, service_controller: ServiceController) -> list[Retained]:
        keep = service_controller.service.retention.keep_accepted
        return retained(service_controller.registry, keep, self._root_cause_known(), clock.wall_s())

    def _found(self, version: str, service: str | None) -> tuple[ServiceController, Target]:
        services = self._control_loop.services
        searched = [self._control_loop.services[service]] if service is not None else list(services.values())
        found = [
            service_controller for service_controller in searched if version in service_controller.registry.targets
        ]
        if len(found) == 1:
            return found[0], found[0].registry.targets[version]
        if found:
            names = ", ".join(service_controller.name for service_controller in found)
            raise Refusal(RefusalCode.SERVICE_NEEDED, f"services {names} have a version {version}: name one")
        where = f"service {service}" if service is not None else "no service"
        detail = f"{where} has {'no' if service is not None else 'a'} version {version!r}; GET /v1/versions lists them"
        raise Refusal(RefusalCode.VERSION_UNKNOWN, detail)
