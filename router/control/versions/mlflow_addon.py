"""The office that speaks with MLflow: it looks up what is to be deployed, and tells what was rolled back and quarantined.

What has to be told is a fold of the journal (rollout/versions/registry_updates.py): a restart goes on with it.
It is told by one task at a time, again and again with back-off, and nobody waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.core.model_resolver import ModelResolver
from router.control.versions.mlflow_client import Mlflow, MlflowRefused
from router.errors import OperatorError
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import effective_entries
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.model.events import Origin, Override
from router.rollout.versions import model_uri as mu
from router.rollout.versions.model_uri import ModelUri
from router.rollout.versions.registry_updates import PendingUpdate, PendingUpdates
from router.runtime import clock
from router.settings.sections.mlflow import MlflowSettings
from router.settings.settings import Settings

log = logging.getLogger(__name__)
RETRY_MIN_S: Final = 1.0
UNREACHABLE: Final = "mlflow_unreachable"
GIVEN_UP: Final = "mlflow_given_up"


class MlflowAddon(Addon):
    """`entries` are the facts before this start; `connect` is replaced by tests."""

    def __init__(
        self,
        control_loop: ControlLoop,
        models: ModelResolver,
        settings: Settings,
        entries: Sequence[Entry],
        connect: Callable[[MlflowSettings], Mlflow] = Mlflow,
    ) -> None:
        self._control_loop = control_loop
        self._models = models
        self._connect = connect
        self._errands = PendingUpdates()
        self._busy = False
        self._due_ns = 0
        self._wait_s = RETRY_MIN_S
        self.reconfigure(settings)
        for name, service_controller in control_loop.services.items():
            own = [entry for entry in entries if entry.service == name]
            for entry in effective_entries(
                own, service_controller.registry.generation
            ):  # not what was journalled and never stored
                self._errands.apply(entry, service_controller.registry.provenances)

    def reconfigure(self, settings: Settings) -> None:
        """Ask and tell another server from now on, or none; what is not told yet waits for one."""
        self._settings = settings
        self._mlflow = self._connect(settings.mlflow) if settings.mlflow.tracking_uri is not None else None
        self._models.finder = self.find if self._mlflow is not None else None
        self._due_ns = 0

    # -- deploy models:/…
    async def find(
        self, service: str, uri: ModelUri, endpoints: list[str], override: Override | None
    ) -> tuple[str, list[str], Origin]:
        """Return label, endpoints and origin of a model version; raise OperatorError if it must not be deployed here."""
        service_controller = self._control_loop.services[service]
        wanted = service_controller.service.mlflow.model
        if wanted is not None and uri.name != wanted:
            raise _refused(
                "model_differs", f"service {service} takes versions of the registered model {wanted}, not {uri}"
            )
        if self._mlflow is None:
            raise _refused("mlflow_not_configured", f"{uri}: mlflow.tracking_uri is not set")
        found = await self._mlflow.version(uri)
        if found.status != "READY":
            raise _refused("model_not_ready", f"{found.uri} is not ready in MLflow: its status is {found.status}")
        mark = mu.quarantine(found.tags)
        if mark is not None and override is None:
            told = f" (incident {mark['incident']})" if mark["incident"] else ""
            why = f"{found.uri} is quarantined in MLflow: {mark['reason']}{told}; release it there (tag {mu.TAG_QUARANTINED} = "
            raise _refused("version_quarantined", f"{why}false), or override with actor and reason", quarantine=mark)
        label = mu.label(found.uri, found.tags)
        if not endpoints and (mu.TAG_ENDPOINTS in found.tags or label not in service_controller.registry.targets):
            endpoints = mu.endpoints(found.uri, found.tags)
        return label, endpoints, Origin(found.source, str(found.uri))

    # -- what has to be told
    def on_entry(self, entry: Entry) -> None:
        """A fact: it may be one that MLflow has to know."""
        service_controller = self._control_loop.services.get(entry.service)
        if service_controller is None:
            return
        known = set(self._errands.open.values())
        self._errands.apply(entry, service_controller.registry.provenances)
        if set(self._errands.open.values()) - known:
            self._due_ns = 0
            self._begin(clock.now_ns())

    def on_second(self, now_ns: int) -> None:
        """Try again what is due."""
        self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        if self._errands.open and self._mlflow is not None and not self._busy and now_ns >= self._due_ns:
            self._busy = True
            self._control_loop.tasks.spawn(self._tell_all(self._mlflow), "tell MLflow")

    async def _tell_all(self, mlflow: Mlflow) -> None:
        try:
            for errand in list(self._errands.open.values()):
                if self._errands.open.get((errand.service, errand.version)) is not errand:
                    continue  # meanwhile there is something newer to be told of this version
                try:
                    alias = await self._tell(mlflow, errand)
                except OperatorError as error:
                    if not self._failed(errand, error):
                        return
                    continue
                self._ended(kinds.MLFLOW_TOLD, errand, {"tags": dict(_tags(errand)), "alias": alias})
                self._control_loop.alarms.down(GIVEN_UP, errand.service)
            self._wait_s = RETRY_MIN_S
            self._control_loop.alarms.down(UNREACHABLE)
        finally:
            self._busy = False

    async def _tell(self, mlflow: Mlflow, errand: PendingUpdate) -> str:
        """Write the tags, then move the alias; return what became of it. Done twice it is the same as once."""
        for key, value in _tags(errand):
            await mlflow.set_tag(errand.model, key, value)
        service_controller = self._control_loop.services[errand.service]
        alias = service_controller.service.mlflow.alias
        if alias is None or errand.serves is None:
            return "no alias is configured" if alias is None else "what serves now is no version of this model"
        if _serving(service_controller.registry) != (errand.model.name, errand.serves):
            return "another version serves by now"
        name, at = errand.model.name, await mlflow.aliased(errand.model.name, alias)
        if at != errand.model.number:
            return f"{alias} points to {at or 'nothing'}, not to {errand.model.number}, and stays so"
        await mlflow.set_alias(name, alias, errand.serves)
        return f"{alias} moved from {errand.model.number} to {errand.serves}"

    def _failed(self, errand: PendingUpdate, error: OperatorError) -> bool:
        """Give this errand up, and return true; or put all of them off."""
        age_s, limits = clock.wall_s() - errand.since, self._settings.mlflow
        final = isinstance(error, MlflowRefused) and error.final
        if final or age_s > limits.give_up_after_s:
            self._ended(kinds.MLFLOW_GIVEN_UP, errand, {"reason": error.detail, "after_s": round(age_s, 1)})
            self._control_loop.alarms.up(GIVEN_UP, f"{errand.model} was not told of: {error.detail}", errand.service)
            return True
        self._due_ns = clock.now_ns() + int(self._wait_s * 1e9)
        waiting = f"{len(self._errands.open)} to be told of, first of all {errand.model}"
        self._control_loop.alarms.up(UNREACHABLE, f"{error.detail}; {waiting}; next try in {self._wait_s:g} s")
        self._wait_s = min(2 * self._wait_s, limits.retry_max_s)
        return False

    def _ended(self, kind: str, errand: PendingUpdate, facts: dict[str, Any]) -> None:
        """Journal the end of an errand; it is forgotten at once, for the fact comes back to us a tick later only."""
        key = (errand.service, errand.version)
        if self._errands.open.get(key) == errand:
            del self._errands.open[key]
        data = {"version": errand.version, "token": errand.token, "model": str(errand.model), **facts}
        self._control_loop.services[errand.service].executor.perform([Record(kind, "control", data)], clock.now_ns())

    # -- what is shown
    def status(self, service: str) -> dict[str, Any]:
        """Return what MLflow was not told of this service yet."""
        waiting = [errand for errand in self._errands.open.values() if errand.service == service]
        if self._mlflow is None and not waiting:
            return {}
        told = [{"version": e.version, "model": str(e.model), "since": clock.iso(e.since)} for e in waiting]
        return {"mlflow": {"tracking_uri": self._settings.mlflow.tracking_uri, "waiting": told}}

    def metrics(self) -> Iterable[Metric]:
        """Return how much waits, if there is a server."""
        if self._mlflow is None:
            return
        name = "rollback_router_mlflow_waiting"
        family = GaugeMetricFamily(
            name, "Rollbacks and quarantines that MLflow was not told of yet.", labels=["service"]
        )
        for service in self._control_loop.services:
            family.add_metric([service], sum(errand.service == service for errand in self._errands.open.values()))
        yield family


def _tags(errand: PendingUpdate) -> list[tuple[str, str]]:
    tags = dict(errand.tags)
    return [*tags.items(), *([(mu.TAG_AT, clock.iso(errand.at))] if mu.TAG_REASON in tags else [])]


def _serving(registry: Registry) -> tuple[str, str | None] | None:
    """Return which version of which registered model is active."""
    pedigree = registry.provenances.get(registry.active.version) if registry.active else None
    uri = mu.numbered(pedigree.source if pedigree else None)
    return (uri.name, uri.number) if uri is not None else None


def _refused(code: str, detail: str, **facts: object) -> OperatorError:
    return OperatorError(409, code, detail, exit_code=9, facts=facts)
