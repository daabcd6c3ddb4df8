"""What versions have to show before they are accepted: what rollbacks teach, what people edit, how the active one stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router import clock
from router.control.bench import Bench
from router.control.controller import Controller
from router.control.office import Office
from router.errors import OperatorError
from router.rollout import entry as kinds
from router.rollout.acceptance.acceptance import NOT_LATE, learned
from router.rollout.commands import Record
from router.rollout.entry import Entry
from router.rollout.events import CriterionRemoved, CriterionSet, Event

Document = dict[str, Any]


class Acceptances(Office):
    """The office. What the last rollback before this start taught is caught up with, should a kill have kept it away."""

    def __init__(self, controller: Controller, entries: Sequence[Entry]) -> None:
        self._controller = controller
        known = {entry.data["origin"] for entry in entries if entry.type == kinds.CRITERION_ADDED}
        for name in controller.benches:
            rollbacks = [entry for entry in entries if entry.service == name and entry.type == kinds.ROLLED_BACK]
            if rollbacks and rollbacks[-1].data["incident"] not in known:
                self.told(rollbacks[-1])

    def told(self, entry: Entry) -> None:
        """Learn from a rollback that a trigger has caused: by itself, or because it asked and a person approved."""
        bench = self._controller.benches.get(entry.service)
        trigger = entry.data.get("trigger") if entry.type == kinds.ROLLED_BACK else None
        if bench is None or not trigger or not bench.service.acceptance.learn:
            return
        rules = bench.service.rules
        if (found := learned(trigger, rules.error_rate.rate_floor, rules.latency.slo_share)) is None:
            return
        metric, limit = found
        reason = f"{entry.data['from']} was rolled back: {entry.data['reason']}"
        data = {"metric": metric, "limit": limit, "origin": entry.data["incident"], "reason": reason}
        bench.conductor.perform([Record(kinds.CRITERION_ADDED, "control", data)], clock.now_ns())

    # -- for people
    def show(self, service: str) -> Document:
        """Return the criteria of a service, and how the active version stands; raise OperatorError (404)."""
        bench = self._controller.view.bench(service)
        active = bench.registry.active
        return {
            "service": bench.name,
            "active": active.version if active else None,
            "accepted": active is not None and active.accepted,
            "criteria": [criterion.as_dict() for criterion in bench.criteria(clock.now_ns())],
            "settings": bench.service.acceptance.limits(),
            "needed": {
                "requests": bench.service.acceptance.requests_min,
                "seconds": bench.service.acceptance.after_s,
                "cases": bench.service.acceptance.cases,
            },
            "added": _added(bench),
        }

    async def set(self, *, service: str, metric: str, limit: float, actor: str, reason: str, dry_run: bool) -> Document:
        """Set the limit of a metric; raise OperatorError, having changed nothing."""
        if metric == "late_share" and self._controller.view.bench(service).service.rules.latency.slo_ms is None:
            raise OperatorError(409, "metric_not_measured", f"{metric}: {NOT_LATE}", exit_code=9)
        return await self._change(service, CriterionSet(metric, limit, actor, reason), dry_run)

    async def remove(self, *, service: str, metric: str, actor: str, reason: str, dry_run: bool) -> Document:
        """Take an added criterion away; raise OperatorError, having changed nothing."""
        return await self._change(service, CriterionRemoved(metric, actor, reason), dry_run)

    async def _change(self, service: str, event: Event, dry_run: bool) -> Document:
        bench = self._controller.view.bench(service)
        change = await bench.conductor.change(event, dry_run=dry_run)
        return {**self.show(service), "changed": change.changed, "dry_run": dry_run}


def _added(bench: Bench) -> list[Document]:
    known = bench.registry.criteria.known
    return [{"metric": metric, **told, "at": clock.iso(told["at"])} for metric, told in sorted(known.items())]
