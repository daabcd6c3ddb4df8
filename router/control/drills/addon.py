"""Drills of all services: asked for by people, due by schedule, never two at once; what they came to; who is overdue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.drills.runner import DrillRunner
from router.errors import OperatorError
from router.rollout.drills.drill import DrillPhase, DrillPlan, Mode
from router.rollout.drills.log import DrillLog
from router.rollout.drills.preconditions import Refusal
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.runtime import clock
from router.settings.settings import Settings

log = logging.getLogger(__name__)
LATE_MAX_S: Final = 300.0
"""A schedule that is noticed later than this (control was down, the clock jumped) waits for its next time."""
TURN_MAX_S: Final = 1800.0
"""How long a scheduled drill waits for that of another service."""
BEGIN_WAIT_S: Final = 15.0
_LOOK_S: Final = 0.02
Document = dict[str, Any]


class DrillsAddon(Addon):
    """The office. One drill at a time in the whole router: two that go wrong together are an outage."""

    def __init__(
        self,
        control_loop: ControlLoop,
        settings: Settings,
        entries: Sequence[Entry],
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        self._control_loop = control_loop
        self._now_ns = now_ns
        self.runners = {
            name: DrillRunner(service_controller, control_loop, DrillLog.of(entries, name), now_ns)
            for name, service_controller in control_loop.services.items()
        }
        self._beginning: str | None = None
        self._due_s: dict[str, float] = {}
        self._turns: dict[str, float] = {}
        """Services whose schedule was due, and since when they wait for their turn (wall seconds)."""
        self.reconfigure(settings)

    # -- as an office
    def reconfigure(self, settings: Settings) -> None:
        """Plan by other schedules: what was due meanwhile is not caught up."""
        now_s = clock.wall_s()
        dues = {
            name: settings.services[name].drill.next_due_s(now_s) for name in self.runners if name in settings.services
        }
        self._due_s = {name: due_s for name, due_s in dues.items() if due_s is not None}

    def on_entry(self, entry: Entry) -> None:
        """Hand a fact to the service that it is about."""
        if (rehearsal := self.runners.get(entry.service)) is not None:
            rehearsal.on_entry(entry)

    def on_second(self, now_ns: int) -> None:
        """Go on with what is under way, begin what is due, warn of what is overdue."""
        for rehearsal in self.runners.values():
            rehearsal.tick(now_ns)
        now_s = clock.wall_s()
        self.keep_time(now_s, now_ns)
        for name, rehearsal in self.runners.items():
            self._warn(name, rehearsal, now_s)

    def status(self, service: str) -> Document:
        """Return the member `drill` of a service's status."""
        return {"drill": self._summary(service, clock.wall_s())}

    def metrics(self) -> Iterable[Metric]:
        """Return the age of the last drill that passed; absent if there was none."""
        age = GaugeMetricFamily(
            "rollback_router_seconds_since_last_drill", "Since the last drill that passed.", labels=["service"]
        )
        now_s = clock.wall_s()
        for name, rehearsal in self.runners.items():
            if (at := rehearsal.proven_at()) is not None:
                age.add_metric([name], max(0.0, now_s - at))
        yield age

    # -- by schedule
    def keep_time(self, now_s: float, now_ns: int) -> None:
        """Begin the scheduled drill whose turn it is; `now_s` is wall time."""
        for name, due_s in list(self._due_s.items()):
            if now_s < due_s:
                continue
            following_s = self.runners[name].service_controller.service.drill.next_due_s(now_s)
            assert following_s is not None
            self._due_s[name] = following_s
            if now_s - due_s > LATE_MAX_S:
                log.warning("drill of service=%s was due %.0f s ago: left to the next time", name, now_s - due_s)
            else:
                self._turns[name] = now_s
        for name, since_s in list(self._turns.items()):
            if self.under_way() is None or now_s - since_s > TURN_MAX_S:
                del self._turns[name]
                self._begin_scheduled(name, now_ns)
                return

    def _begin_scheduled(self, name: str, now_ns: int) -> None:
        rehearsal = self.runners[name]
        settings = rehearsal.service_controller.service.drill
        found = rehearsal.refusals(self.under_way(), now_ns)
        plan = rehearsal.plan(settings.mode, settings.hold_s, "schedule", "schedule", settings.schedule)
        if found:
            data = {**plan.as_dict(), "result": "refused", "reasons": [refusal.detail for refusal in found]}
            data["codes"] = [refusal.code for refusal in found]
            rehearsal.service_controller.executor.perform([Record(kinds.DRILL_REFUSED, "schedule", data)], now_ns)
            return
        self._beginning = plan.id
        self._control_loop.tasks.spawn(self._scheduled(rehearsal, plan), f"drill {plan.id}")

    async def _scheduled(self, rehearsal: DrillRunner, plan: DrillPlan) -> None:
        try:
            await self._perform(rehearsal, plan)
        except OperatorError as error:
            log.warning("drill %s did not begin: %s", plan.id, error.detail)

    # -- by people
    async def drill(
        self, *, service: str, mode: Mode, hold_s: float | None, force: bool, actor: str, reason: str, dry_run: bool
    ) -> Document:
        """Begin a drill; return once the standby serves in every worker (a shadow: once it is over). Raise OperatorError
        (409 `drill_unsafe`) naming every reason against it.
        """
        rehearsal = self._of(service)
        hold_s = rehearsal.service_controller.service.drill.hold_s if hold_s is None else hold_s
        found = [
            refusal
            for refusal in rehearsal.refusals(self.under_way(), self._now_ns())
            if not (force and refusal.may_be_forced)
        ]
        if found:
            raise _unsafe(service, found)
        plan = rehearsal.plan(mode, hold_s, "operator", actor, reason)
        if dry_run:
            return {**plan.as_dict(), "service": service, "dry_run": True, "message": "a drill would be safe now"}
        self._beginning = plan.id
        await self._perform(rehearsal, plan)
        return await self._begun(rehearsal, plan)

    async def _perform(self, rehearsal: DrillRunner, plan: DrillPlan) -> None:
        try:
            if plan.mode == "shadow":
                await rehearsal.shadow(plan)
            else:
                await rehearsal.begin(plan)
        finally:
            self._beginning = None

    async def _begun(self, rehearsal: DrillRunner, plan: DrillPlan) -> Document:
        """Return the drill once there is something to say; raise OperatorError (409) if the gate did not let it pass."""
        for _ in range(int(BEGIN_WAIT_S / _LOOK_S)):
            drill, told = rehearsal.drill, rehearsal.log.find(plan.id)
            if told is not None and (told["result"] is not None or (drill is not None and drill.is_confirmed)):
                break
            await asyncio.sleep(_LOOK_S)
        found = self.show(plan.id)
        if found["result"] == "refused":
            raise _unsafe(plan.service, [Refusal("gate_closed", why) for why in found["reasons"]])
        return found

    def stop(self, service: str, actor: str) -> Document:
        """End the drill of a service at once; raise OperatorError (409) if there is none."""
        drill = self._of(service).drill
        if drill is None:
            raise OperatorError(409, "no_drill", f"no drill of {service} is under way", exit_code=9)
        drill.stop(f"stopped by {actor}")
        self._of(service).tick(self._now_ns())
        return self.show(drill.plan.id)

    # -- reading
    def under_way(self) -> str | None:
        """Return the id of the drill that is not over; None if there is none."""
        found = [rehearsal.drill.plan.id for rehearsal in self.runners.values() if rehearsal.drill is not None]
        return found[0] if found else self._beginning

    def listing(self, service: str | None = None) -> Document:
        """Return all drills, newest first, and how each service stands; raise OperatorError (404) for an unknown one."""
        names = list(self.runners) if service is None else [self._of(service).service_controller.name]
        told = [self._shown(name, drill) for name in names for drill in self.runners[name].log.drills]
        told.sort(key=lambda drill: str(drill["started_at"]), reverse=True)
        now_s = clock.wall_s()
        return {"drills": told, "services": {name: self._summary(name, now_s) for name in names}}

    def show(self, drill: str) -> Document:
        """Return one drill; raise OperatorError (404)."""
        for name, rehearsal in self.runners.items():
            if (told := rehearsal.log.find(drill)) is not None:
                return self._shown(name, told)
            if rehearsal.drill is not None and rehearsal.drill.plan.id == drill:
                return self._shown(name, {"started_at": clock.wall_s(), "ended_at": None, "result": None})
        raise OperatorError(404, "drill_unknown", f"there is no drill {drill!r}", exit_code=9)

    def _shown(self, service: str, told: Document) -> Document:
        """Return a drill with what is known of it now, and times for people."""
        present = self.runners[service].under_way(self._now_ns())
        if present is not None and told.get("drill", present["drill"]) == present["drill"]:
            told = {**told, **present}
        times = {name: clock.iso(told[name]) if told[name] is not None else None for name in ("started_at", "ended_at")}
        return {"phase": DrillPhase.OVER.value, **told, **times, "service": service}

    def _summary(self, service: str, now_s: float) -> Document:
        rehearsal = self.runners[service]
        settings, at = rehearsal.service_controller.service.drill, rehearsal.proven_at()
        due_s = self._due_s.get(service)
        return {
            "under_way": rehearsal.drill.plan.id if rehearsal.drill else None,
            "schedule": None if settings.schedule == "none" else settings.schedule,
            "mode": settings.mode,
            "next_at": clock.iso(due_s) if due_s is not None else None,
            "last_passed_at": clock.iso(at) if at is not None else None,
            "seconds_since_last_passed": round(now_s - at, 1) if at is not None else None,
            "last_result": rehearsal.log.last_result,
            "overdue": rehearsal.overdue(now_s) is not None,
        }

    def _of(self, service: str) -> DrillRunner:
        return self.runners[self._control_loop.services[service].name]

    def _warn(self, name: str, rehearsal: DrillRunner, now_s: float) -> None:
        alarms = self._control_loop.alarms
        for code, detail in (("drill_overdue", rehearsal.overdue(now_s)), ("drill_failed", rehearsal.failed())):
            if detail is not None:
                alarms.up(code, detail, name)
            else:
                alarms.down(code, name)


def _unsafe(service: str, found: list[Refusal]) -> OperatorError:
    forced = "; --force goes on all the same" if all(refusal.may_be_forced for refusal in found) else ""
    return OperatorError(
        409,
        "drill_unsafe",
        f"no drill of {service} now: {'; '.join(refusal.detail for refusal in found)}{forced}",
        exit_code=9,
        facts={"refusals": [{"code": refusal.code, "detail": refusal.detail} for refusal in found]},
    )
