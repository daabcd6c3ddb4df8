"""Performs the drills of one service: measures before, during and after, sends events to the machine, journals the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from router.control.addon import Document
from router.control.core.probes import Probes
from router.control.core.service_controller import ServiceController
from router.control.core.workers import Workers
from router.rollout.drills.comparison import Performance, late_after_ms, performance_of, regressions
from router.rollout.drills.drill import Drill, DrillEnd, DrillPhase, DrillPlan, Mode, Observation, SwapBack
from router.rollout.drills.log import DrillLog
from router.rollout.drills.preconditions import RECENT_S, Objection, SafetyRules, Situation, objections
from router.rollout.facts.drills import DrillEnded, DrillResult, DrillStarted, DrillSwitched
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.facts.switches import Confirmed
from router.rollout.model.events import DrillMoveAsked
from router.rollout.model.route import successor
from router.rollout.model.target import State
from router.rollout.outcome import OUTCOMES
from router.rollout.placement.effects import route_of
from router.runtime import clock
from router.runtime.text.plurals import counted
from router.shm import layout as at
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

BEFORE_S: Final = 60.0
DAY_S: Final = 86_400.0


class DrillServices(Protocol):
    """The parts of the control loop that runners use."""

    segment: Segment
    worker_stats: WorkerStats
    workers: Workers
    probes: Probes


class DrillRunner:
    """The drills of one service. `drill` is the real drill under way; `log` has all drills with their results."""

    def __init__(
        self,
        service_controller: ServiceController,
        services: DrillServices,
        drill_log: DrillLog,
        now_ns: Callable[[], int] = clock.now_ns,
    ) -> None:
        self.service_controller = service_controller
        self.log = drill_log
        self.drill: Drill | None = None
        self._services = services
        self._now_ns = now_ns
        self._issued = drill_log.number
        self._before = Performance()
        self._during: Performance | None = None
        self._ended_before: list[int] = []
        self._gate_ms: float | None = None
        if (known := service_controller.registry.drill) is not None:
            self.drill = Drill.after_restart(_plan(service_controller.name, known), self._now_ns())

    def plan(self, mode: Mode, hold_s: float, by: str, actor: str, reason: str) -> DrillPlan:
        """Return a plan for the present roles, with an id that no other drill has."""
        self._issued = max(self._issued, self.log.number) + 1
        registry, name = self.service_controller.registry, self.service_controller.name
        active, standby = (target.version if target else "" for target in (registry.active, registry.standby))
        return DrillPlan(f"{name}-drill-{self._issued}", name, mode, by, actor, reason, active, standby, hold_s)

    # -- state
    def proven_at(self) -> float | None:
        """Return when the last drill passed in the configured mode (wall seconds); None if none has."""
        return self.log.proven_at(self.service_controller.service.drill.mode)

    def overdue(self, now_s: float) -> str | None:
        """Return the reason if a drill is overdue at `now_s` (wall seconds); None if it is not."""
        limit_days = self.service_controller.service.drill.overdue_after_days
        since_s = self.proven_at() or self.log.first_accepted_at
        if limit_days == "none" or since_s is None or now_s - since_s <= limit_days * DAY_S:
            return None
        days = counted((now_s - since_s) / DAY_S, "day", ".0f")
        if self.proven_at():
            return f"the last drill that passed was {days} ago; {limit_days:g} is the limit (drill.overdue_after_days)"
        since = f"no drill has passed in the {days} since a version was first accepted"
        return f"{since} (limit: {counted(limit_days, 'day', 'g')}, drill.overdue_after_days)"

    def failed(self) -> str | None:
        """Return the reasons why the last drill failed; None if it passed, or if there was none."""
        result = self.log.last_result
        if result in (None, "passed"):
            return None
        last = next(drill for drill in reversed(self.log.drills) if drill["result"] == result)
        return f"drill {last['drill']} to {last['to']} {result}: {'; '.join(last['reasons'])}"

    # -- preconditions
    def objections(self, under_way: str | None, now_ns: int) -> list[Objection]:
        """Return the reasons against a drill now. `under_way` is the id of a running drill of any service."""
        service_controller, registry = self.service_controller, self.service_controller.registry
        active, candidate = registry.active, registry.candidate
        incident = registry.incidents[-1] if registry.incidents else None
        situation = Situation(
            active=active.version if active else None,
            accepted=active is not None and active.accepted,
            gate=tuple(service_controller.machine.gate.swap_objections(service_controller.shares(now_ns))),
            frozen=registry.freeze_text if registry.frozen else None,
            candidate=candidate.version if candidate and candidate.state is State.VERIFYING else None,
            draining=next((target.version for target in registry.targets.values() if target.bounded), None),
            rollback=f"rollback {incident['id']}" if incident else None,
            rollback_age_s=clock.wall_s() - incident["detection_at"] if incident else None,
            results=service_controller.verdict.results,
            recent=self._performance_of(active.version, RECENT_S, now_ns) if active else Performance(),
            unwell="this router is taking over from another one"
            if self._services.segment.words[at.H_TAKING_OVER]
            else service_controller.unwell,
            workers=len(self._services.workers.living()),
            workers_behind=tuple(
                self._services.workers.unconfirmed(service_controller.executor.index, registry.generation)
            ),
            proposal=next((proposal.id for proposal in registry.proposals.pending()), None),
            under_way=under_way,
        )
        return objections(situation, self._safety_rules)

    @property
    def _safety_rules(self) -> SafetyRules:
        settings = self.service_controller.service.drill
        return SafetyRules(settings.fault_share_max, settings.quiet_after_rollback_s)

    # -- a real drill
    async def begin(self, plan: DrillPlan) -> Drill:
        """Journal the drill durably, and send the event of its first swap; raise JournalUnavailable."""
        record = Record(DrillStarted.from_data(plan.as_dict()), plan.actor)
        await self.service_controller.executor.append_and_apply(record)
        now_ns = self._now_ns()
        self._before = Performance()
        self._before = self._performance_of(plan.origin, BEFORE_S, now_ns)
        self._ended_before = self._services.worker_stats.exchanges(self.service_controller.executor.index)[1]
        self._during = None
        drill = self.drill = Drill(plan, now_ns)
        self._move(False, "", now_ns)
        return drill

    def tick(self, now_ns: int) -> None:
        """Advance the drill under way."""
        drill = self.drill
        if drill is None:
            return
        if drill.phase is DrillPhase.AWAY and self.service_controller.registry.frozen is not None:
            drill.stop(self.service_controller.registry.freeze_text)
        match drill.step(self._observation(drill, now_ns), now_ns):
            case SwapBack(why):
                self._move(True, why, now_ns)
            case DrillEnd(result):
                self._end(drill, result, now_ns)
            case None:
                pass

    def on_entry(self, entry: Entry) -> None:
        """Fold an entry of this service."""
        self.log.apply(entry)
        drill = self.drill
        if drill is None:
            return
        fact = entry.fact
        if isinstance(fact, DrillSwitched) and fact.drill == drill.plan.id:
            if not fact.home:
                self._gate_ms = round((entry.monotonic_ns - drill.begun_ns) / 1e6, 3)
            swap = {"home": fact.home, "generation": fact.generation, "at": clock.iso(entry.at)}
            drill.swapped(swap, fact.reason if fact.home else "", entry.monotonic_ns)
            if fact.home and drill.away_since_ns is not None:
                away_s = (entry.monotonic_ns - drill.away_since_ns) / 1e9
                self._during = self._performance_of(drill.plan.other, away_s, self._now_ns())
        elif isinstance(fact, Confirmed):
            drill.confirmed(fact)

    def _move(self, home: bool, why: str, now_ns: int) -> None:
        assert self.drill is not None
        self.service_controller.handle(DrillMoveAsked(self.drill.plan.id, home, why), now_ns)

    def _observation(self, drill: Drill, now_ns: int) -> Observation:
        registry = self.service_controller.registry
        known, active = registry.drill, registry.active
        is_open = known is not None and known["drill"] == drill.plan.id
        found: tuple[str, ...] = ()
        if drill.phase is DrillPhase.AWAY and is_open:
            found = tuple(self._worse(drill, now_ns))
        return Observation(
            open=is_open,
            away=known is not None and is_open and bool(known["away"]),
            active=active.version if active else None,
            blocked_reason=self.service_controller.machine.drill_blocked_reason,
            worse=found,
        )

    def _worse(self, drill: Drill, now_ns: int) -> list[str]:
        """Return the regressions since the swap; empty if there are none."""
        service_controller = self.service_controller
        since_s = (now_ns - (drill.away_since_ns or now_ns)) / 1e9
        self._during = self._performance_of(drill.plan.other, since_s, now_ns)
        latency = service_controller.service.rules.latency
        found = regressions(self._before, self._during, self._safety_rules.fault_share_max, latency.slo_share)
        found += [
            f"{result.name}: {result.reason}" for result in service_controller.verdict.results if result.state == "fail"
        ]
        target, streaks = service_controller.registry.active, service_controller.machine.streaks
        if target is not None and streaks.all_failing(target):
            found.append(f"the last probes of {target.version} failed: {streaks.detail(target.version)}")
        return [*found, service_controller.unwell] if service_controller.unwell else found

    def _end(self, drill: Drill, result: DrillResult, now_ns: int) -> None:
        """Journal the result. The report is part of the entry; its size does not depend on the traffic."""
        data = {**drill.plan.as_dict(), **self._report(drill, now_ns), "result": result, "reasons": drill.reasons}
        self.drill = None
        self.service_controller.executor.perform([Record(DrillEnded.from_data(data), "control")], now_ns)

    def _report(self, drill: Drill, now_ns: int) -> Document:
        """Return the measurements so far."""
        ended = self._services.worker_stats.exchanges(self.service_controller.executor.index)[1]
        clients = None
        if self._ended_before:
            counts = [now - before for now, before in zip(ended, self._ended_before, strict=True)]
            clients = {outcome.label: counts[outcome] for outcome in OUTCOMES if counts[outcome]}
        return {
            "gate_ms": self._gate_ms,
            "swaps": drill.swaps,
            "away_s": drill.away_s(now_ns),
            "before": self._before.as_dict() if self._ended_before else None,
            "during": self._during.as_dict() if self._during else None,
            "clients": clients,
        }

    def under_way(self, now_ns: int) -> Document | None:
        """Return the drill under way with its measurements so far; None without one."""
        drill = self.drill
        if drill is None:
            return None
        found = self.log.find(drill.plan.id) or {}
        report = self._report(drill, now_ns)
        return {**found, **drill.plan.as_dict(), **report, "phase": drill.phase.value, "reasons": drill.reasons}

    # -- a shadow drill
    async def shadow(self, plan: DrillPlan) -> Document:
        """Do everything but the swap; journal the report and return it; raise JournalUnavailable."""
        service_controller, began_ns = self.service_controller, clock.now_ns()
        await service_controller.executor.append_and_apply(Record(DrillStarted.from_data(plan.as_dict()), plan.actor))
        journalled_ms = _ms_since(began_ns)
        reasons, measurements = await self._perform_shadow(plan)
        data = {
            **plan.as_dict(),
            **measurements,
            "journal_ms": journalled_ms,
            "result": "refused" if reasons else "passed",
            "reasons": reasons,
        }
        service_controller.executor.perform([Record(DrillEnded.from_data(data), "control")], self._now_ns())
        return data

    async def _perform_shadow(self, plan: DrillPlan) -> tuple[list[str], Document]:
        service_controller, registry = self.service_controller, self.service_controller.registry
        standby, active = registry.standby, registry.active
        if standby is None or active is None:
            return [registry.missing_standby() or "there is no standby"], {}
        probe = await self._services.probes.probe_now(
            service_controller.name, standby.version, service_controller.machine.limits.gate_timeout_s
        )
        began_ns = clock.now_ns()
        reasons = service_controller.machine.gate.swap_objections(service_controller.shares(self._now_ns()))
        if not probe.ok:
            reasons.append(f"its fresh probe failed: {probe.detail}")
        gate_us = _us_since(began_ns)
        began_ns = clock.now_ns()
        route_of(registry, service_controller.executor.held.table, successor(registry.generation)).encode()
        encode_us = _us_since(began_ns)
        unconfirmed = self._services.workers.unconfirmed(service_controller.executor.index, registry.generation)
        if unconfirmed:
            reasons.append(f"workers {unconfirmed} do not follow the present route")
        measurements = {
            "probe_ms": probe.ms,
            "gate_us": gate_us,
            "encode_us": encode_us,
            "workers_behind": unconfirmed,
            "heartbeat_age_max_s": self._oldest_heartbeat_s(),
            "before": self._performance_of(plan.origin, BEFORE_S, self._now_ns()).as_dict(),
        }
        return reasons, measurements

    def _oldest_heartbeat_s(self) -> float | None:
        now_ns = clock.now_ns()
        ages = [
            (now_ns - self._services.worker_stats.worker(index).heartbeat_ns) / 1e9
            for index in self._services.workers.living()
        ]
        return round(max(0.0, *ages), 3) if ages else None

    # -- measuring
    def _performance_of(self, version: str, seconds: float, now_ns: int) -> Performance:
        slot = self.service_controller.executor.held.table.slot_of(version)
        if slot is None:
            return Performance()
        window = self.service_controller.judge.window(slot, seconds, now_ns)
        timed = self.service_controller.judge.window(slot, seconds, now_ns, histograms=True)
        limit_ms = self._before.limit_ms or late_after_ms(timed, self.service_controller.service.rules.latency.slo_ms)
        return performance_of(window, limit_ms, self._waiting_late(slot, limit_ms, now_ns), timed)

    def _waiting_late(self, slot: int, limit_ms: float | None, now_ns: int) -> int:
        """Return a lower bound of the requests that have waited longer than `limit_ms` and still wait.

        The workers' blocks count the requests that wait longer than hang_wait_min_s, and the age of the oldest one.
        """
        if limit_ms is None:
            return 0
        counts = self.service_controller.executor.counters.scalars(slot)
        if limit_ms <= self.service_controller.service.rules.hard_failure.hang_wait_min_s * 1000:
            return counts[at.L_WAITING_LONG]
        oldest_ns = counts[at.L_OLDEST_WAITING_NS]
        return int(oldest_ns > 0 and now_ns - oldest_ns > limit_ms * 1e6)


def _plan(service: str, known: Document) -> DrillPlan:
    return DrillPlan(
        known["drill"],
        service,
        known["mode"],
        known["by"],
        known["actor"],
        known["reason"],
        known["from"],
        known["to"],
        known["hold_s"],
    )


def _ms_since(began_ns: int) -> float:
    return round((clock.now_ns() - began_ns) / 1e6, 3)


def _us_since(began_ns: int) -> int:
    return (clock.now_ns() - began_ns) // 1000
