"""Where one service is judged: sample, verdict, events to its machine, commands to its conductor. No policy of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from router.control.core.executor import Change, CommandExecutor
from router.control.core.probes import Probes
from router.control.core.sampler import RouterHealth, Sampler, evidence
from router.control.monitors.alarms import Alarms
from router.errors import OperatorError
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.criteria import Criterion
from router.rollout.judge.judge import Judge, JudgeInputs
from router.rollout.judge.verdict import TriggerResult, Verdict, conclude
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model import entry as kinds
from router.rollout.model.events import (
    Accepted,
    Event,
    ProbeCompleted,
    ProposalDue,
    StandbyChecked,
    Ticked,
    VerdictReached,
)
from router.rollout.model.target import WATCHED
from router.rollout.proposals.proposal import ProposalRules
from router.settings.sections.service import Service
from router.settings.settings import Settings
from router.shm.sample_ring import SampleRing
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)
GATE_WINDOW_S: Final = 20.0
GATE_MARGIN_S: Final = 0.2
"""Two ticks: a window's base is a sample from before its beginning."""


def limits(settings: Settings, service: Service) -> RolloutLimits:
    """Return what the settings tell the machine of one service."""
    drain = settings.timeouts.rollback_drain_timeout_s
    probe = service.probe
    told = RolloutLimits() if probe == "none" else RolloutLimits(False, probe.warmup_probes, probe.recover_probes)
    return RolloutLimits(
        inference=probe != "none" and probe.inference,
        warmup_probes=told.warmup_probes,
        recover_probes=told.recover_probes,
        verify_timeout_s=settings.timeouts.verify_timeout_s,
        rollback_drain_timeout_s=None if drain == "none" else drain,
        proposals=terms(service),
    )


def terms(service: Service) -> ProposalRules:
    """Return what the settings say of decisions that wait for a person."""
    told = service.proposals
    return ProposalRules(
        expire_after_s=told.expire_after_s,
        at_expiry=told.at_expiry,
        repeat_after_s=told.repeat_after_s,
        promote_needs_approval=service.promote_needs == "approval",
        promotion_expire_after_s=told.promotion_expire_after_s,
    )


def first_byte_timeout_s(settings: Settings, service: Service) -> float:
    """Return after how long an unanswered request of this service is a fault."""
    return service.first_byte_timeout_s or settings.timeouts.first_byte_timeout_s


class ServiceController:
    """One service. `on_switch` is told of every automatic change that published a route."""

    def __init__(
        self,
        executor: CommandExecutor,
        settings: Settings,
        worker_stats: WorkerStats,
        ring: SampleRing,
        alarms: Alarms,
        on_switch: Callable[[ServiceController, Change], None],
    ) -> None:
        self.executor = executor
        self.name = executor.name
        self.machine = executor.machine
        self.registry = executor.registry
        self.service = settings.services[self.name]
        plain = self.registry.baseline
        self.judge = Judge(
            self.service.rules,
            first_byte_timeout_s(settings, self.service),
            Baseline.from_dict(plain) if plain else None,
            self.service.acceptance,
        )
        self.verdict: Verdict = conclude(())
        self.unwell: str | None = None
        self._sampler = Sampler(executor, self.judge, ring)
        self._seen: JudgeInputs | None = None
        self._health = RouterHealth(worker_stats, executor.index)
        self._alarms = alarms
        self._on_switch = on_switch
        self._probed: dict[int, tuple[str, tuple[str, ...]]] = {}
        self.sources: list[Callable[[int], tuple[TriggerResult, ...]]] = []
        """Who else has something to say of the active version; asked at each tick, with its time."""

    def criteria(self, now_ns: int) -> tuple[Criterion, ...]:
        """Return what the active version has to show before it is accepted, and what it has shown; empty once it is."""
        active = self.registry.active
        if active is None or active.accepted or self.registry.in_drill or self._seen is None:
            return ()
        return self.judge.criteria(self._seen, now_ns)

    def restore(self) -> None:
        """Give the judge what a predecessor of this process has seen."""
        self._sampler.restore()

    def reconfigure(self, settings: Settings) -> None:
        """Judge and probe by other settings from now on."""
        self.service = settings.services.get(self.name, self.service)
        self.machine.limits = limits(settings, self.service)
        self.judge.reconfigure(
            self.service.rules, first_byte_timeout_s(settings, self.service), self.service.acceptance
        )
        self._probed = dict.fromkeys(self._probed, ("", ()))

    # -- the tick
    def tick(self, now_ns: int, stalled: bool) -> None:
        """Look once: sample, judge, act."""
        self._sampler.sample(now_ns, stalled)
        self.unwell = self._health.unwell(now_ns, self.service.rules)
        self._seen = self._judge_inputs(now_ns)
        self.verdict = self.judge.evaluate(self._seen, now_ns)
        self.service_document(Ticked(self.executor.drained()), now_ns)
        if self.verdict.accepted is not None:
            self.service_document(Accepted(self.verdict.accepted.as_dict()), now_ns)
        if self.verdict.failing is not None:
            self.service_document(self._reached(self.verdict.failing, now_ns), now_ns)
        self._observe(self.verdict.observing)
        self._ask(self.verdict.observing, now_ns)
        self._go_on_without(now_ns)
        self._look_back()

    def _look_back(self) -> None:
        """A standby that has died is told before it is needed."""
        failing = self.machine.gate.no_standby_reason() if self.registry.standby is not None else None
        if failing:
            self._alarms.up("standby_failing", failing, self.name)
        else:
            self._alarms.down("standby_failing", self.name)

    def _judge_inputs(self, now_ns: int) -> JudgeInputs:
        registry, streaks = self.registry, self.machine.streaks
        active, standby = registry.active, registry.standby
        since_ns = None
        if active is not None and active.slot is not None:
            since_ns = streaks.unreachable_since_ns(active.slot, active.endpoints)
        return JudgeInputs(
            active_slot=active.slot if active else None,
            standby_slot=standby.slot if standby else None,
            promoted_at_ns=registry.active_since_ns,
            accepted=active is not None and active.accepted,
            probes_unreachable_since_ns=since_ns,
            unwell=self.unwell,
            external_results=tuple(result for source in self.sources for result in source(now_ns)),
            probation_since_ns=registry.probation_since_ns,
            in_drill=registry.in_drill,
            criteria=registry.criteria.known,
            cases=self.machine.promotion_check.shown(active) if active is not None else None,
        )

    def _reached(self, failing: TriggerResult, now_ns: int) -> VerdictReached:
        return VerdictReached(
            trigger=failing.as_dict(),
            unreachable=failing.detail == "unreachable",
            shares=self.shares(now_ns),
            evidence=self.impact(failing.as_dict(), now_ns),
        )

    def impact(self, trigger: dict[str, Any], now_ns: int) -> dict[str, object] | None:
        """Return what the active version has cost since the beginning of what `trigger` tells (sampler.py, `evidence`)."""
        return evidence(self.judge, self.registry, trigger.get("evidence_since_ns"), now_ns, trigger)

    def shares(self, now_ns: int) -> tuple[float, float, int] | None:
        """Return (standby's, active's share of faults, the standby's attempts) of the last 20 s; None without any.

        What the standby did while it was active is no rescue and does not count.
        """
        active, standby = self.registry.active, self.registry.standby
        if active is None or standby is None or active.slot is None or standby.slot is None:
            return None
        standing_by_s = (now_ns - self.registry.active_since_ns) / 1e9 - GATE_MARGIN_S
        if standing_by_s <= 0:
            return None
        mine = self.judge.share_of_faults(standby.slot, min(GATE_WINDOW_S, standing_by_s), now_ns)
        its = self.judge.share_of_faults(active.slot, GATE_WINDOW_S, now_ns)
        return None if mine is None or its is None else (mine[0], its[0], mine[1])

    def _observe(self, observing: tuple[TriggerResult, ...]) -> None:
        only = [result for result in observing if result.action == "observe"]
        if only:
            told = "; ".join(f"{result.name} ({result.action}): {result.reason}" for result in only)
            self._alarms.up("would_roll_back", told, self.name)
        else:
            self._alarms.down("would_roll_back", self.name)

    def _ask(self, observing: tuple[TriggerResult, ...], now_ns: int) -> None:
        """A rule with the action `ask` is sustained: a person decides. What waits for one is an alarm."""
        active, proposals = self.registry.active, self.registry.proposals
        for result in observing:
            if result.action == "ask" and active is not None and proposals.wants(active.version, result.name, now_ns):
                told = result.as_dict()
                impact = self.impact(told, now_ns)
                self.service_document(ProposalDue(active.version, result.name, told, impact=impact), now_ns)
        waiting = [proposal for proposal in proposals.pending() if proposal.kind == "rollback"]
        if waiting:
            asked = [f"{p.id}: should {p.version} go back to {p.to or 'nothing'}? {p.reason}" for p in waiting]
            self._alarms.up("proposal_waiting", "; ".join(asked), self.name)
        else:
            self._alarms.down("proposal_waiting", self.name)

    def _go_on_without(self, now_ns: int) -> None:
        """Nobody has decided in time, and a rollback is the default: it goes through the gate of every automatic one."""
        for proposal in self.registry.proposals.pending():
            if proposal.state == "due" and self.registry.active is not None:
                trigger = proposal.evidence[0]["trigger"]
                reached = VerdictReached(
                    trigger=trigger,
                    unreachable=trigger.get("detail") == "unreachable",
                    shares=self.shares(now_ns),
                    evidence=self.impact(trigger, now_ns),
                    proposal=proposal.id,
                )
                self.service_document(reached, now_ns)

    def roles(self) -> dict[str, str | None]:
        """Return which version is active, standby and candidate."""
        registry = self.registry
        targets = {"active": registry.active, "standby": registry.standby, "candidate": registry.candidate}
        return {role: target.version if target else None for role, target in targets.items()}

    # -- events
    def service_document(self, event: Event, now_ns: int) -> None:
        """Hand an event that needs no person to the machine and carry out what it asks for."""
        commands = self.machine.handle(event, now_ns)
        if not commands:
            return
        change = self.executor.perform(commands, now_ns)
        if change.entry is not None and change.entry.type in (kinds.ROLLED_BACK, kinds.DRILL_SWITCHED):
            self._on_switch(self, change)

    def probed(self, event: ProbeCompleted) -> None:
        """A probe of this service has ended."""
        self.service_document(event, event.at_ns)

    def checked(self, event: StandbyChecked, now_ns: int) -> None:
        """The probe that the gate had asked for has ended."""
        self.service_document(event, now_ns)

    def watch(self, probes: Probes) -> None:
        """Have exactly those versions probed that should be kept warm."""
        wanted = {
            target.slot: (target.version, target.endpoints)
            for target in self.registry.holders()
            if target.slot is not None and target.state in WATCHED
        }
        for slot in self._probed.keys() - wanted.keys():
            probes.unwatch(self.name, slot)
        for slot, (version, endpoints) in wanted.items():
            if self._probed.get(slot) != (version, endpoints):
                probes.watch(self.name, slot, version, endpoints, self.service.probe)
        self._probed = wanted


class Services(dict[str, ServiceController]):
    """Service name → its controller. `services[name]` raises OperatorError (404) if the router has no such service."""

    def __missing__(self, name: str) -> ServiceController:
        names = ", ".join(self) or "none"
        raise OperatorError(404, "service_unknown", f"there is no service {name!r}; there are: {names}", exit_code=9)
