"""MLflow: resolves `models:/…` URIs for deployments, and writes rollbacks and quarantines to the model registry.

The pending updates are a fold of the journal (rollout/versions/registry_updates.py), so they survive a restart. One task at a
time sends them, with retries and back-off. No other task waits for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import unquote

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.core.model_resolver import not_configured
from router.control.store.records.effective import effective_entries
from router.control.versions.mlflow_answer import MlflowRefused
from router.control.versions.mlflow_client import Mlflow, ModelVersion
from router.control.views.metric_table import gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.mlflow import MlflowFact, MlflowGivenUp, MlflowUpdated
from router.rollout.facts.record import Record
from router.rollout.machine.registry import Registry
from router.rollout.model.events import Origin, Override
from router.rollout.versions import model_uri as mu
from router.rollout.versions.model_uri import ModelUri
from router.rollout.versions.registry_updates import PendingUpdate, PendingUpdates
from router.runtime import clock
from router.settings.sections.mlflow import MlflowSettings
from router.settings.sections.values import version_label
from router.settings.settings import Settings

log = logging.getLogger(__name__)
RETRY_MIN_S: Final = 1.0
UNREACHABLE: Final = "mlflow_unreachable"
GIVEN_UP: Final = "mlflow_given_up"
_HELD: Final[dict[str, object]] = {"held_by": "mlflow"}
"""The fact of a refusal that only MLflow, or an override, can end: a release here changes nothing there."""


class MlflowAddon(Addon):
    """`entries` are those before this start; tests replace `connect`."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        entries: Sequence[Entry],
        connect: Callable[[MlflowSettings], Mlflow] = Mlflow,
    ) -> None:
        self._control_loop = control_loop
        self._connect = connect
        self._updates = PendingUpdates()
        self._busy = False
        self.due_ns = 0
        self._wait_s = RETRY_MIN_S
        self.reconfigure(settings)
        for name in control_loop.services:
            self.service_added(name, entries)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Fold what the journal has of a service, without the entries that were journalled and never stored."""
        registry = self._control_loop.services[service].registry
        own = [entry for entry in entries if entry.service == service]
        for entry in effective_entries(own, registry.generation):
            self._updates.apply(entry, registry.provenances)

    def service_removed(self, service: str) -> None:
        """Send nothing more for a service; the journal keeps its pending updates."""
        for update in self._of(service):
            self._updates.remove(update)

    def _of(self, service: str) -> list[PendingUpdate]:
        return [update for update in self._updates.open.values() if update.service == service]

    def reconfigure(self, settings: Settings) -> None:
        """Use another server from now on, or none. Pending updates wait until there is one."""
        self._settings = settings
        self._mlflow = self._connect(settings.mlflow) if settings.mlflow.tracking_uri is not None else None
        self.due_ns = 0

    # -- deploy models:/…
    async def find(
        self, service: str, uri: ModelUri, endpoints: list[str], override: Override | None
    ) -> tuple[str, list[str], Origin]:
        """Return label, endpoints and origin of a model version; raise Refusal if it must not be deployed here."""
        if self._mlflow is None:
            raise not_configured(uri)
        service_controller = self._control_loop.services[service]
        expected = service_controller.service.mlflow.model
        if expected is not None and uri.name != expected:
            raise Refusal(
                RefusalCode.MODEL_DIFFERS,
                f"service {service} takes versions of the registered model {expected}, not {uri}",
            )
        found = await self._version(self._mlflow, uri)
        if found.status != "READY":
            raise Refusal(
                RefusalCode.MODEL_NOT_READY, f"{found.uri} is not ready in MLflow: its status is {found.status}"
            )
        label = _label(found)
        if override is None:
            self._refuse_quarantined(service, label, found)
        if not endpoints and (mu.TAG_ENDPOINTS in found.tags or label not in service_controller.registry.targets):
            endpoints = mu.endpoints(found.uri, found.tags)
        return label, endpoints, Origin(found.source, str(found.uri))

    async def _version(self, mlflow: Mlflow, uri: ModelUri) -> ModelVersion:
        try:
            return await mlflow.version(uri)
        except Refusal as error:
            if error.code == RefusalCode.MODEL_UNKNOWN and unquote(uri.name) != uri.name:
                hint = f"a name is written as it is: models:/{unquote(uri.name)}/…"
                raise MlflowRefused(RefusalCode.MODEL_UNKNOWN, f"{error.detail}; {hint}") from None
            raise

    async def refuse_promotion(self, service: str, version: str) -> None:
        """Raise Refusal if the version is quarantined in MLflow, or if MLflow does not answer, as at deploy."""
        registry = self._control_loop.services[service].registry
        provenance = registry.provenances.get(version)
        uri = mu.exact(provenance.source if provenance else None)
        if self._mlflow is None or uri is None or (registry.active and registry.active.version == version):
            return
        try:
            found = await self._mlflow.version(uri)
        except Refusal as error:
            detail = f"{error.detail}; MLflow is asked before a promotion: promote with override to go without it"
            raise Refusal(error.code, detail, _HELD) from None
        self._refuse_quarantined(service, version, found)

    def _refuse_quarantined(self, service: str, version: str, found: ModelVersion) -> None:
        """Raise Refusal if MLflow has the version quarantined. A release here that MLflow has not received yet is newer."""
        quarantine = mu.quarantine(found.tags)
        if quarantine is None or self._updates.releases(service, version):
            return
        incident = f" (incident {quarantine['incident']})" if quarantine["incident"] else ""
        remedy = f"release it there (tag {mu.TAG_QUARANTINED} = false), or override with actor and reason"
        detail = f"{found.uri} is quarantined in MLflow: {quarantine['reason']}{incident}; {remedy}"
        raise Refusal(RefusalCode.VERSION_QUARANTINED, detail, {"quarantine": quarantine, **_HELD})

    # -- pending updates
    def on_entry(self, entry: Entry) -> None:
        """Fold an entry. A rollback, a quarantine or a release makes an update pending."""
        service_controller = self._control_loop.services.get(entry.service)
        if service_controller is None:
            return
        known = set(self._updates.open.values())
        self._updates.apply(entry, service_controller.registry.provenances)
        if set(self._updates.open.values()) - known:
            self.due_ns = 0
            self._begin(clock.now_ns())

    def on_second(self, now_ns: int) -> None:
        """Retry the pending updates if a retry is due."""
        self._begin(now_ns)

    def _begin(self, now_ns: int) -> None:
        if self._updates.open and self._mlflow is not None and not self._busy and now_ns >= self.due_ns:
            self._busy = True
            self._control_loop.tasks.spawn(self._send_all(self._mlflow), "tell MLflow")

    async def _send_all(self, mlflow: Mlflow) -> None:
        try:
            for update in list(self._updates.open.values()):
                if self._updates.open.get((update.service, update.version)) is not update:
                    continue  # a newer update of this version has replaced it
                try:
                    alias = await self._send(mlflow, update)
                except Refusal as error:
                    if update.service in self._control_loop.services and not self._failed(update, error):
                        return
                    continue
                ended = MlflowUpdated(**_named_update(update), tags=dict(_tags(update)), alias=alias)
                self._journal_end(ended, update)
                self._control_loop.alarms.down(GIVEN_UP, update.service)
            self._wait_s = RETRY_MIN_S
            self._control_loop.alarms.down(UNREACHABLE)
        finally:
            self._busy = False

    async def _send(self, mlflow: Mlflow, update: PendingUpdate) -> str:
        """Write the tags, then move the alias; return the result for the alias. The calls are idempotent."""
        for key, value in _tags(update):
            await mlflow.set_tag(update.model, key, value)
        service_controller = self._control_loop.services[update.service]
        alias = service_controller.service.mlflow.alias
        if alias is None or update.serves is None:
            return "no alias is configured" if alias is None else "the active version is no version of this model"
        if _serving(service_controller.registry) != (update.model.name, update.serves):
            return "another version is active"
        name, at = update.model.name, await mlflow.aliased(update.model.name, alias)
        if at != update.model.number:
            return f"{alias} points to {at or 'nothing'}, not to {update.model.number}, and stays so"
        await mlflow.set_alias(name, alias, update.serves)
        return f"{alias} moved from {update.model.number} to {update.serves}"

    def _failed(self, update: PendingUpdate, error: Refusal) -> bool:
        """Give up this update and return True, or postpone all updates and return False."""
        age_s, limits = clock.wall_s() - update.since, self._settings.mlflow
        final = isinstance(error, MlflowRefused) and error.final
        if final or age_s > limits.give_up_after_s:
            given_up = MlflowGivenUp(**_named_update(update), reason=error.detail, after_s=round(age_s, 1))
            self._journal_end(given_up, update)
            self._control_loop.alarms.up(
                GIVEN_UP, f"the update of {update.model} was given up: {error.detail}", update.service
            )
            return True
        self.due_ns = clock.now_ns() + int(self._wait_s * 1e9)
        waiting = f"{len(self._updates.open)} waiting, first {update.model}"
        self._control_loop.alarms.up(UNREACHABLE, f"{error.detail}; {waiting}; next try in {self._wait_s:g} s")
        self._wait_s = min(2 * self._wait_s, limits.retry_max_s)
        return False

    def _journal_end(self, fact: MlflowFact, update: PendingUpdate) -> None:
        """Journal the end of an update and remove it now: `on_entry` gets the entry only at a later tick."""
        self._updates.remove(update)
        service_controller = self._control_loop.services.get(update.service)
        if service_controller is None:  # it was removed meanwhile; when it comes back, the update is sent again
            return
        service_controller.executor.perform([Record(fact, "control")], clock.now_ns())

    # -- views
    def status(self, service: str) -> dict[str, Any]:
        """Return the pending updates of this service."""
        pending = self._of(service)
        if self._mlflow is None and not pending:
            return {}
        waiting = [{"version": e.version, "model": str(e.model), "since": clock.iso(e.since)} for e in pending]
        return {"mlflow": {"tracking_uri": self._settings.mlflow.tracking_uri, "waiting": waiting}}

    def metrics(self) -> Iterable[Metric]:
        """Return the number of pending updates, if there is a server."""
        if self._mlflow is None:
            return
        family = gauge("mlflow_waiting")
        for service in self._control_loop.services:
            family.add_metric([service], len(self._of(service)))
        yield family


def _label(found: ModelVersion) -> str:
    label = mu.label(found.uri, found.tags)
    try:
        return version_label(label)
    except ValueError as error:
        raise Refusal(RefusalCode.VERSION_INVALID, f"the tag {mu.TAG_LABEL} of {found.uri}: {error}") from None


def _named_update(update: PendingUpdate) -> dict[str, str]:
    return {"version": update.version, "token": update.token, "model": str(update.model)}


def _tags(update: PendingUpdate) -> list[tuple[str, str]]:
    tags = dict(update.tags)
    return [*tags.items(), *([(mu.TAG_AT, clock.iso(update.at))] if mu.TAG_REASON in tags else [])]


def _serving(registry: Registry) -> tuple[str, str | None] | None:
    """Return the active version as (registered model, number); None if it is no version of a registered model."""
    provenance = registry.provenances.get(registry.active.version) if registry.active else None
    uri = mu.exact(provenance.source if provenance else None)
    return (uri.name, uri.number) if uri is not None else None
