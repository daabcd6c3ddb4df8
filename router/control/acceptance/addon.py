"""Acceptance criteria: learned from rollbacks, edited by operators, and evaluated for the active version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.automation import CriterionLearned
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.switches import RolledBack
from router.rollout.judge.criteria import NOT_LATE, learned
from router.rollout.model.events import CriterionRemoved, CriterionSet, Event
from router.runtime import clock


class AcceptanceAddon(Addon):
    """The criteria of all services. At start it learns from the last rollback, in case a kill prevented that before."""

    def __init__(self, control_loop: ControlLoop, entries: Sequence[Entry]) -> None:
        self._control_loop = control_loop
        self._learn_from_last(control_loop.services, entries)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Learn from the last rollback of a service that comes back."""
        self._learn_from_last((service,), entries)

    def _learn_from_last(self, services: Iterable[str], entries: Sequence[Entry]) -> None:
        known = {entry.fact.origin for entry in entries if isinstance(entry.fact, CriterionLearned)}
        for name in services:
            rollbacks = [e.fact for e in entries if e.service == name and isinstance(e.fact, RolledBack)]
            if rollbacks and rollbacks[-1].incident not in known:
                self._learn(name, rollbacks[-1])

    def on_entry(self, entry: Entry) -> None:
        """Learn from a rollback with a trigger: an automatic one, or a proposal that an operator approved."""
        if isinstance(entry.fact, RolledBack):
            self._learn(entry.service, entry.fact)

    def _learn(self, service: str, rollback: RolledBack) -> None:
        service_controller, trigger = self._control_loop.services.get(service), rollback.trigger
        if service_controller is None or not trigger or not service_controller.service.acceptance.learn:
            return
        rules = service_controller.service.rules
        if (found := learned(trigger, rules.error_rate.rate_floor, rules.latency.slo_share)) is None:
            return
        metric, limit = found
        reason = f"{rollback.left} was rolled back: {rollback.reason}"
        fact = CriterionLearned(metric=metric, limit=limit, origin=rollback.incident or "", reason=reason)
        service_controller.executor.perform([Record(fact, "control")], clock.now_ns())

    # -- for operators
    def show(self, service: str) -> Document:
        """Return the criteria of a service, evaluated for the active version; raise Refusal."""
        service_controller = self._control_loop.services[service]
        active = service_controller.registry.active
        return {
            "service": service_controller.name,
            "active": active.version if active else None,
            "accepted": active is not None and active.accepted,
            "criteria": [criterion.as_dict() for criterion in service_controller.criteria(clock.now_ns())],
            "settings": service_controller.service.acceptance.limits(),
            "needed": {
                "requests": service_controller.service.acceptance.requests_min,
                "seconds": service_controller.service.acceptance.after_s,
                "cases": service_controller.service.acceptance.cases,
            },
            "added": _added(service_controller),
        }

    async def set(self, *, service: str, metric: str, limit: float, actor: str, reason: str, dry_run: bool) -> Document:
        """Set the limit of a metric; raise Refusal without any change."""
        if metric == "late_share" and self._control_loop.services[service].service.rules.latency.slo_ms is None:
            raise Refusal(RefusalCode.METRIC_NOT_MEASURED, f"{metric}: {NOT_LATE}")
        return await self._change(service, CriterionSet(metric, limit, actor, reason), dry_run)

    async def remove(self, *, service: str, metric: str, actor: str, reason: str, dry_run: bool) -> Document:
        """Remove an added criterion; raise Refusal without any change."""
        return await self._change(service, CriterionRemoved(metric, actor, reason), dry_run)

    async def _change(self, service: str, event: Event, dry_run: bool) -> Document:
        service_controller = self._control_loop.services[service]
        change = await service_controller.executor.change(event, dry_run=dry_run)
        return {**self.show(service), "changed": change.changed, "dry_run": dry_run}


def _added(service_controller: ServiceController) -> list[Document]:
    known = service_controller.registry.criteria.known
    return [{"metric": metric, **added, "at": clock.iso(added["at"])} for metric, added in sorted(known.items())]
