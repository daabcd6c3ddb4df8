"""Drills of all services: started by operators or by schedule, never two at once; their results; overdue drills."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document
from router.control.core.loop import ControlLoop
from router.control.drills.runner import DrillRunner
from router.control.views.addon_answers import DrillSummary
from router.control.views.metric_table import gauge
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.drills.drill import DrillPhase, DrillPlan, Mode
from router.rollout.drills.log import DrillLog
from router.rollout.drills.preconditions import Objection
from router.rollout.facts.drills import DrillRefused
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.runtime import clock
from router.settings.settings import Settings

log = logging.getLogger(__name__)
LATE_MAX_S: Final = 300.0
"""A scheduled drill that is noticed later than this (control was down, the clock jumped) is skipped."""
TURN_MAX_S: Final = 1800.0
"""How long a scheduled drill waits for a drill of another service."""
BEGIN_WAIT_S: Final = 15.0
_POLL_S: Final = 0.02


class DrillsAddon(Addon):
    """Drills of all services. One at a time in the whole router: two failed drills at once would be an outage."""

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
        self._starting: str | None = None
        self._due_s: dict[str, float] = {}
        self._turns: dict[str, float] = {}
        """Services whose schedule was due, and since when they wait (wall seconds)."""
        self.reconfigure(settings)

    # -- the add-on
    def reconfigure(self, settings: Settings) -> None:
        """Apply changed schedules. Drills that were due in between are not made up for."""
        now_s = clock.wall_s()
        dues = {
            name: settings.services[name].drill.next_due_s(now_s) for name in self.runners if name in settings.services
        }
        self._due_s = {name: due_s for name, due_s in dues.items() if due_s is not None}

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Drill one more service."""
        service_controller = self._control_loop.services[service]
        self.runners[service] = DrillRunner(
            service_controller, self._control_loop, DrillLog.of(entries, service), self._now_ns
        )
        if (due_s := service_controller.service.drill.next_due_s(clock.wall_s())) is not None:
            self._due_s[service] = due_s

    def service_removed(self, service: str) -> None:
        """Forget a service. A drill under way there ends: when the service comes back, its roles are swapped back."""
        self.runners.pop(service, None)
        for known in (self._due_s, self._turns):
            known.pop(service, None)

    def on_entry(self, entry: Entry) -> None:
        """Pass an entry to the runner of its service."""
        if (runner := self.runners.get(entry.service)) is not None:
            runner.on_entry(entry)

    def on_second(self, now_ns: int) -> None:
        """Advance the running drill, start the drill that is due, raise alarms for overdue and failed ones."""
        for runner in self.runners.values():
            runner.tick(now_ns)
        now_s = clock.wall_s()
        self.keep_time(now_s, now_ns)
        for name, runner in self.runners.items():
            self._warn(name, runner, now_s)

    def status(self, service: str) -> Document:
        """Return the member `drill` of a service's status."""
        return {"drill": self._summary(service, clock.wall_s())}

    def verbs(self, service: str) -> Mapping[str, list[str]]:
        """Return why a drill would be refused now."""
        found = self.runners[service].objections(self.under_way(), self._now_ns())
        return {"drill": [objection.detail for objection in found]}

    def metrics(self) -> Iterable[Metric]:
        """Return the time of the last drill that passed. It is absent if there was none."""
        passed = gauge("last_drill_passed_timestamp_seconds")
        for name, runner in self.runners.items():
            if (at := runner.proven_at()) is not None:
                passed.add_metric([name], at)
        yield passed

    # -- by schedule
    def keep_time(self, now_s: float, now_ns: int) -> None:
        """Start the scheduled drill that is due; `now_s` is wall time."""
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
        runner = self.runners[name]
        settings = runner.service_controller.service.drill
        found = runner.objections(self.under_way(), now_ns)
        plan = runner.plan(settings.mode, settings.hold_s, "schedule", "schedule", settings.schedule)
        if found:
            why = {"reasons": [refusal.detail for refusal in found], "codes": [str(refusal.code) for refusal in found]}
            fact = DrillRefused.from_data({**plan.as_dict(), **why})
            runner.service_controller.executor.perform([Record(fact, "schedule")], now_ns)
            return
        self._starting = plan.id
        self._control_loop.tasks.spawn(self._scheduled(runner, plan), f"drill {plan.id}")

    async def _scheduled(self, runner: DrillRunner, plan: DrillPlan) -> None:
        try:
            await self._perform(runner, plan)
        except Refusal as error:
            log.warning("drill %s did not begin: %s", plan.id, error.detail)

    # -- by operators
    async def drill(
        self, *, service: str, mode: Mode, hold_s: float | None, force: bool, actor: str, reason: str, dry_run: bool
    ) -> Document:
        """Start a drill; return once the standby serves in every worker (a shadow drill: once it is over).

        Raise Refusal (`drill_unsafe`) with every reason against the drill.
        """
        runner = self._runner(service)
        hold_s = runner.service_controller.service.drill.hold_s if hold_s is None else hold_s
        found = [
            refusal
            for refusal in runner.objections(self.under_way(), self._now_ns())
            if not (force and refusal.may_be_forced)
        ]
        if found:
            raise _unsafe(service, found)
        plan = runner.plan(mode, hold_s, "operator", actor, reason)
        if dry_run:
            return {**plan.as_dict(), "service": service, "dry_run": True, "message": "a drill would be safe now"}
        self._starting = plan.id
        await self._perform(runner, plan)
        return await self._begun(runner, plan)

    async def _perform(self, runner: DrillRunner, plan: DrillPlan) -> None:
        try:
            if plan.mode == "shadow":
                await runner.shadow(plan)
            else:
                await runner.begin(plan)
        finally:
            self._starting = None

    async def _begun(self, runner: DrillRunner, plan: DrillPlan) -> Document:
        """Return the drill once it is confirmed or has a result; raise Refusal if the gate refused it."""
        for _ in range(int(BEGIN_WAIT_S / _POLL_S)):
            drill, logged = runner.drill, runner.log.find(plan.id)
            if logged is not None and (logged["result"] is not None or (drill is not None and drill.is_confirmed)):
                break
            await asyncio.sleep(_POLL_S)
        found = self.show(plan.id)
        if found["result"] == "refused":
            raise _unsafe(plan.service, [Objection("gate_closed", why) for why in found["reasons"]])
        return found

    def stop(self, service: str, actor: str) -> Document:
        """End the drill of a service at once; raise Refusal if there is none."""
        drill = self._runner(service).drill
        if drill is None:
            raise Refusal(RefusalCode.NO_DRILL, f"no drill of {service} is under way")
        drill.stop(f"stopped by {actor}")
        self._runner(service).tick(self._now_ns())
        return self.show(drill.plan.id)

    # -- reading
    def under_way(self) -> str | None:
        """Return the id of the drill that is not over; None if there is none."""
        found = [runner.drill.plan.id for runner in self.runners.values() if runner.drill is not None]
        return found[0] if found else self._starting

    def listing(self, service: str | None = None) -> Document:
        """Return all drills, newest first, and a summary of each service; raise Refusal for an unknown one."""
        names = list(self.runners) if service is None else [self._runner(service).service_controller.name]
        drills = [self._document(name, drill) for name in names for drill in self.runners[name].log.drills]
        drills.sort(key=lambda drill: str(drill["started_at"]), reverse=True)
        now_s = clock.wall_s()
        return {"drills": drills, "services": {name: self._summary(name, now_s) for name in names}}

    def show(self, drill: str) -> Document:
        """Return one drill; raise Refusal."""
        for name, runner in self.runners.items():
            if (logged := runner.log.find(drill)) is not None:
                return self._document(name, logged)
            if runner.drill is not None and runner.drill.plan.id == drill:
                return self._document(name, {"started_at": clock.wall_s(), "ended_at": None, "result": None})
        raise Refusal(RefusalCode.DRILL_UNKNOWN, f"there is no drill {drill!r}")

    def _document(self, service: str, logged: Document) -> Document:
        """Return a drill with its present state, and with times in RFC 3339."""
        present = self.runners[service].under_way(self._now_ns())
        if present is not None and logged.get("drill", present["drill"]) == present["drill"]:
            logged = {**logged, **present}
        times = {
            name: clock.iso(logged[name]) if logged[name] is not None else None for name in ("started_at", "ended_at")
        }
        return {"phase": DrillPhase.OVER.value, **logged, **times, "service": service}

    def _summary(self, service: str, now_s: float) -> DrillSummary:
        runner = self.runners[service]
        settings, at = runner.service_controller.service.drill, runner.proven_at()
        due_s = self._due_s.get(service)
        return {
            "under_way": runner.drill.plan.id if runner.drill else None,
            "schedule": None if settings.schedule == "none" else settings.schedule,
            "mode": settings.mode,
            "next_at": clock.iso(due_s) if due_s is not None else None,
            "last_passed_at": clock.iso(at) if at is not None else None,
            "seconds_since_last_passed": round(now_s - at, 1) if at is not None else None,
            "last_result": runner.log.last_result,
            "overdue": runner.overdue(now_s) is not None,
        }

    def _runner(self, service: str) -> DrillRunner:
        return self.runners[self._control_loop.services[service].name]

    def _warn(self, name: str, runner: DrillRunner, now_s: float) -> None:
        alarms = self._control_loop.alarms
        for code, detail in (("drill_overdue", runner.overdue(now_s)), ("drill_failed", runner.failed())):
            if detail is not None:
                alarms.up(code, detail, name)
            else:
                alarms.down(code, name)


def _unsafe(service: str, found: list[Objection]) -> Refusal:
    forced = "; --force goes on all the same" if all(refusal.may_be_forced for refusal in found) else ""
    return Refusal(
        RefusalCode.DRILL_UNSAFE,
        f"no drill of {service} now: {'; '.join(refusal.detail for refusal in found)}{forced}",
        facts={"refusals": [{"code": refusal.code, "detail": refusal.detail} for refusal in found]},
    )
