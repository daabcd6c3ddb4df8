"""The controller of one service: samples, the verdict, events for its state machine, commands for its executor. No policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from router.control.addon import TriggerSource
from router.control.core.executor import Change, CommandExecutor
from router.control.core.probes import Probes
from router.control.core.sampler import RouterHealth, Sampler, evidence
from router.control.core.work_buckets import WorkBuckets
from router.control.monitors.alarms import Alarms
from router.control.monitors.observed_day import ObservedDay
from router.control.monitors.pressure_monitor import PressureMonitor
from router.control.monitors.probe_monitor import ProbeMonitor
from router.control.monitors.refused_answers import RefusedAnswersMonitor, cause_text
from router.control.monitors.replica_monitor import ReplicaMonitor
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.drills import DrillSwitched
from router.rollout.facts.switches import RolledBack
from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.criteria import Criterion
from router.rollout.judge.judge import Judge
from router.rollout.judge.verdict import Note, NoteCode, TriggerResult, Verdict, conclude, with_cause
from router.rollout.machine.limits import RolloutLimits
from router.rollout.model.addresses import KnownNames
from router.rollout.model.events import (
    Accepted,
    Event,
    ProbeCompleted,
    ProposalDue,
    StandbyChecked,
    Ticked,
    VerdictReached,
)
from router.rollout.model.rewrite import NO_REWRITE, Rewrite, SentRewrite
from router.rollout.model.target import HURRIED, WATCHED
from router.rollout.proposals.proposal import ProposalRules
from router.rollout.units import SECOND_NS
from router.runtime import clock
from router.runtime.text.suggestion import known_names
from router.settings.sections.service import Probe, Service
from router.settings.settings import Settings
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats

log = logging.getLogger(__name__)
GATE_WINDOW_S: Final = 60.0
"""Rescued requests of this time confirm or veto a verdict."""
ACTIVE_WINDOW_S: Final = 20.0
"""The share of faults of the active version is that of this time."""


def limits(settings: Settings, service: Service) -> RolloutLimits:
    """Return the limits of the state machine of one service, from the settings."""
    drain = settings.timeouts.rollback_drain_timeout_s
    probe = Probe() if service.probe == "none" else service.probe
    return RolloutLimits(
        inference=service.probe != "none" and probe.inference,
        warmup_probes=probe.warmup_probes,
        recover_probes=probe.recover_probes,
        gate_timeout_s=probe.probe_timeout_s if probe.inference else RolloutLimits().gate_timeout_s,
        verify_timeout_s=settings.timeouts.verify_timeout_s,
        rollback_drain_timeout_s=None if drain == "none" else drain,
        proposals=proposal_rules(service),
    )


def proposal_rules(service: Service) -> ProposalRules:
    """Return the rules for decisions that wait for an operator, from the settings."""
    section = service.proposals
    return ProposalRules(
        expire_after_s=section.expire_after_s,
        at_expiry=section.at_expiry,
        repeat_after_s=section.repeat_after_s,
        promote_needs_approval=service.promote_needs == "approval",
        promotion_expire_after_s=section.promotion_expire_after_s,
    )


def first_byte_timeout_s(settings: Settings, service: Service) -> float:
    """Return the seconds after which an unanswered request of this service is a fault."""
    return service.first_byte_timeout_s or settings.timeouts.first_byte_timeout_s


def _known_buckets(baseline: dict[str, Any] | None) -> list[str]:
    """Return the names of the work buckets of a baseline; an older one has none."""
    return list((baseline or {}).get("work", ()))


class ServiceController:
    """One service. `on_switch` is called for every automatic change that published a route."""

    def __init__(
        self,
        executor: CommandExecutor,
        settings: Settings,
        segment: Segment,
        worker_stats: WorkerStats,
        ring: SampleRing,
        alarms: Alarms,
        on_switch: Callable[[ServiceController, Change], None],
        names: KnownNames,
    ) -> None:
        self.executor = executor
        self.name = executor.name
        self.machine = executor.machine
        self.registry = executor.registry
        self.service = settings.services[self.name]
        baseline = self.registry.baseline
        self.judge = Judge(
            self.service.rules,
            first_byte_timeout_s(settings, self.service),
            Baseline.from_dict(baseline) if baseline else None,
            self.service.acceptance,
        )
        self.verdict: Verdict = conclude(())
        self.unwell: str | None = None
        self.work_buckets = WorkBuckets(segment, executor.index, self.service.inference.rules, _known_buckets(baseline))
        self._buckets_at_ns = 0
        self.replica_monitor = ReplicaMonitor(segment, executor.index, self.name, alarms, names, self._failed_probes)
        self._sampler = Sampler(executor, self.judge, ring, self.replica_monitor)
        self._judge_inputs: JudgeInputs | None = None
        self._judged_values: tuple[Any, ...] = ()
        self._health = RouterHealth(worker_stats, executor.index)
        self.refused_answers = RefusedAnswersMonitor(worker_stats, executor.index)
        self._probe_monitor = ProbeMonitor(self.name, self.machine, alarms)
        self._pressure_monitor = PressureMonitor(self.name, self.registry, self.judge, alarms, executor.held.slot_of)
        self.observation = ObservedDay(self.name, clock.now_ns()) if settings.observe else None
        """What would have been rolled back; None if the rules act."""
        self._alarms = alarms
        self._on_switch = on_switch
        self._probed: dict[str, tuple[tuple[str, ...], bool, Rewrite]] = {}
        self._trigger_sources: list[TriggerSource] = []
        self._noted: set[NoteCode] = set()
        self._checked: tuple[object, ...] = ()
        """What the alarms about probes were decided on."""
        self._reported_at = -1
        """The `changes` of the registry after the last report."""
        self._watched_at: int | None = None
        """The `changes` of the registry for which the probes are right; None if the settings have changed since."""

    @property
    def active_slot(self) -> int | None:
        """The slot of the active version; None without one."""
        return self.executor.held.slot_of(self.registry.active)

    def add_trigger_source(self, source: TriggerSource) -> None:
        """Judge the active version by the triggers of `source`, too."""
        self._trigger_sources.append(source)

    def criteria(self, now_ns: int) -> tuple[Criterion, ...]:
        """Return the criteria of acceptance of the active version with the values so far; empty once it is accepted.

        The added criteria are those of now: a change after the last tick counts.
        """
        active = self.registry.active
        if active is None or active.accepted or self.registry.in_drill or self._judge_inputs is None:
            return ()
        return self.judge.criteria(replace(self._judge_inputs, criteria=self.registry.criteria.known), now_ns)

    def restore(self) -> None:
        """Give the judge the samples that a previous control has left in shared memory."""
        self._sampler.restore()

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings to judge, machine and probes."""
        self.service = settings.services.get(self.name, self.service)
        if (self.observation is not None) != settings.observe:
            self.observation = ObservedDay(self.name, clock.now_ns()) if settings.observe else None
        self.machine.reconfigure(limits(settings, self.service))
        self.judge.reconfigure(
            self.service.rules, first_byte_timeout_s(settings, self.service), self.service.acceptance
        )
        self.work_buckets.reconfigure(self.service.inference.rules)
        self._probed = dict.fromkeys(self._probed, ((), False, NO_REWRITE))
        self._watched_at = None
        self._reported_at = -1

    # -- the tick
    def tick(self, now_ns: int, stalled: bool) -> None:
        """Do one round: sample, judge, and handle the resulting events."""
        self._sampler.sample(now_ns, stalled)
        self._update_buckets(now_ns)
        self.unwell = self._health.unwell(now_ns, self.service.rules)
        self._judge_inputs = self._inputs(now_ns)
        before, changes = self.verdict, self.registry.changes
        self.verdict = self._with_cause(self.judge.evaluate(self._judge_inputs, now_ns), now_ns)
        self.handle(Ticked(self.executor.drained()), now_ns)
        if self.verdict.accepted is not None:
            self.handle(Accepted(self.verdict.accepted.as_dict()), now_ns)
        if self.verdict.failing is not None:
            self.handle(self._reached(self.verdict.failing, now_ns), now_ns)
        # A verdict that still holds was reported; only what is observed or waits for an operator depends on the time, too.
        same = self.verdict is before and self.registry.changes == changes == self._reported_at
        if not same or self.verdict.observing or self.observation is not None or self.registry.proposals.pending():
            self._report(now_ns)
        self._check_standby()

    def sample(self, now_ns: int, stalled: bool) -> None:
        """Count, and decide nothing: the service is removed, and ends its last requests."""
        self._sampler.sample(now_ns, stalled)

    def _report(self, now_ns: int) -> None:
        """Raise or end the alarms of the verdict, and act on what waits for an operator."""
        self._report_observed(self.verdict.observing, now_ns)
        self._report_notes(self.verdict.notes)
        self._propose(self.verdict.observing, now_ns)
        self._apply_overdue(now_ns)
        self._reported_at = self.registry.changes

    def _with_cause(self, verdict: Verdict, now_ns: int) -> Verdict:
        """Name in the verdict why workers have refused answers of the active version."""
        active = self.registry.active
        held = self.executor.held.table.held.get(active.version) if active is not None else None
        if held is None:
            return verdict
        self.refused_answers.observe(held.slot, held.incarnation, now_ns)
        return with_cause(verdict, cause_text(self.refused_answers.recent())) if verdict.pending else verdict

    def _update_buckets(self, now_ns: int) -> None:
        """Take proposed work buckets, and tell the workers which waits are overdue; once a second."""
        if now_ns - self._buckets_at_ns >= SECOND_NS:
            self._buckets_at_ns = now_ns
            slot = self.active_slot
            work = self._sampler.work.get(slot, {}) if slot is not None else {}
            self.work_buckets.update(work, self.judge.known_times(now_ns))

    def _check_standby(self) -> None:
        """Raise the alarms about addresses and probes before the standby is needed, or end them."""
        self.replica_monitor.check(self.executor.held.holders())
        evidence = self._judge_inputs.inference_probe if self._judge_inputs else None
        checked = self.registry.changes, self.machine.streaks.changes, self.machine.limits, evidence
        if checked == self._checked:
            return
        self._checked = checked
        failing = self.machine.gate.no_standby_reason() if self.registry.standby is not None else None
        if failing:
            self._alarms.up("standby_failing", failing, self.name)
        else:
            self._alarms.down("standby_failing", self.name)
        self._probe_monitor.check(evidence)

    def _inputs(self, now_ns: int) -> JudgeInputs:
        """Return the inputs of the judge: the same object while they are equal, so that the judge compares it by identity."""
        values = self._input_values(now_ns)
        if self._judge_inputs is None or values != self._judged_values:
            self._judged_values, self._judge_inputs = values, JudgeInputs(*values)
        return self._judge_inputs

    def _input_values(self, now_ns: int) -> tuple[Any, ...]:
        """Return the members of JudgeInputs, in their order."""
        registry, streaks = self.registry, self.machine.streaks
        active, standby = registry.active, registry.standby
        since_ns = streaks.unreachable_since_ns(active) if active is not None else None
        external_results: tuple[TriggerResult, ...] = ()
        for source in self._trigger_sources:
            external_results += source(now_ns)
        return (
            self.active_slot,
            self.executor.held.slot_of(standby),
            registry.active_since_ns,
            active is not None and active.accepted,
            since_ns,
            self.unwell,
            external_results + self._pressure_monitor.check(now_ns),
            registry.probation_since_ns,
            registry.in_drill,
            registry.criteria.known,
            self.machine.promotion_check().last_result(active) if active is not None else None,
            self.work_buckets.buckets,
            self._probe_monitor.evidence(),
        )

    def _reached(self, failing: TriggerResult, now_ns: int) -> VerdictReached:
        return VerdictReached(
            trigger=failing.as_dict(),
            unreachable=failing.detail == "unreachable",
            shares=self.shares(now_ns),
            evidence=self.impact(failing.as_dict(), now_ns),
        )

    def impact(self, trigger: dict[str, Any], now_ns: int) -> dict[str, object] | None:
        """Return the impact of the active version since the beginning of the evidence of `trigger` (sampler.py, `evidence`), with
        the size of the standby.
        """
        found = evidence(self.judge, self.active_slot, trigger.get("evidence_since_ns"), now_ns, trigger)
        return None if found is None else {**found, "standby_size": self._probe_monitor.standby_size()}

    def shares(self, now_ns: int) -> tuple[float, float, int] | None:
        """Return (share of the requests rescued on the standby that failed there, too; share of faults of the active version;
        rescued requests) of the last 60 s and since the promotion. None without rescues.
        """
        slot = self.active_slot
        if slot is None or self.registry.standby is None:
            return None
        well, failed = self.judge.pairs(slot, GATE_WINDOW_S, now_ns, self.registry.active_since_ns)
        active_share = self.judge.share_of_faults(slot, ACTIVE_WINDOW_S, now_ns)
        if not well + failed or active_share is None:
            return None
        return failed / (well + failed), active_share[0], well + failed

    def _report_observed(self, observing: tuple[TriggerResult, ...], now_ns: int) -> None:
        observed = [result for result in observing if result.action == "observe"]
        if self.observation is not None:
            self.observation.note({result.name: result.reason for result in observed})
            if (line := self.observation.line(now_ns)) is not None:
                log.warning("%s", line)
        if observed:
            detail = "; ".join(f"{result.name} ({result.action}): {result.reason}" for result in observed)
            self._alarms.up("would_roll_back", detail, self.name)
        else:
            self._alarms.down("would_roll_back", self.name)

    def _report_notes(self, notes: tuple[Note, ...]) -> None:
        """Raise an alarm for each note, and end the alarms of the notes that are gone."""
        for note in notes:
            self._alarms.up(note.code, note.detail, self.name)
        codes = {note.code for note in notes}
        for code in self._noted - codes:
            self._alarms.down(code, self.name)
        self._noted = codes

    def _propose(self, observing: tuple[TriggerResult, ...], now_ns: int) -> None:
        """Open a proposal for each sustained rule with the action `ask`; raise an alarm while proposals wait for an operator."""
        active, proposals = self.registry.active, self.registry.proposals
        for result in observing:
            if result.action == "ask" and active is not None and proposals.is_new(active.version, result.name, now_ns):
                trigger = result.as_dict()
                impact = self.impact(trigger, now_ns)
                self.handle(ProposalDue(active.version, result.name, trigger, impact=impact), now_ns)
        waiting = [proposal for proposal in proposals.pending() if proposal.kind == "rollback"]
        if waiting:
            questions = [f"{p.id}: roll back from {p.version} to {p.to or 'nothing'}? {p.reason}" for p in waiting]
            self._alarms.up("proposal_waiting", "; ".join(questions), self.name)
        else:
            self._alarms.down("proposal_waiting", self.name)

    def _apply_overdue(self, now_ns: int) -> None:
        """Roll back if a proposal has expired and its default is a rollback; the gate applies as to a verdict."""
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
                self.handle(reached, now_ns)

    def sent_rewrite(self, rewrite: Rewrite) -> SentRewrite:
        """Return how control's own requests to a version differ from the client's; without its fields if they are unusable."""
        return SentRewrite(self.service.path_prefix, rewrite, self.executor.held.header_fields(rewrite))

    def roles(self) -> dict[str, str | None]:
        """Return the active version, the standby and the candidate."""
        registry = self.registry
        targets = {"active": registry.active, "standby": registry.standby, "candidate": registry.candidate}
        return {role: target.version if target else None for role, target in targets.items()}

    # -- events
    def handle(self, event: Event, now_ns: int) -> None:
        """Give an event that no operator has caused to the machine; carry out its commands."""
        commands = self.machine.handle(event, now_ns)
        if not commands:
            return
        change = self.executor.perform(commands, now_ns)
        if change.entry is not None and isinstance(change.entry.fact, RolledBack | DrillSwitched):
            self._on_switch(self, change)

    def last_useful_ns(self, version: str, url: str) -> int:
        """Return when an endpoint gave its last useful inference answer (monotonic nanoseconds); 0 if unknown.

        A version with several endpoints counts as unknown: the answers of one prove nothing about another.
        """
        target = self.registry.targets.get(version)
        slot = self.executor.held.slot_of(target)
        newest = self.judge.newest_full(slot) if slot is not None else None
        if target is None or len(target.endpoints) != 1 or self._judge_inputs is None:
            return 0
        if newest is None or newest.work is None:
            return 0
        buckets = self._judge_inputs.buckets
        return max(
            (
                counts.last_useful_ns
                for bucket, counts in newest.work.items()
                if (known := buckets.get(bucket)) is not None and known.inference
            ),
            default=0,
        )

    def _failed_probes(self, slot: int, name: str) -> int:
        """Return the failed probes in a row of an address, -1 if it was not probed."""
        holder = self.executor.held.holder_in(slot)
        streak = self.machine.streaks.of_endpoint(holder.target.version, name) if holder is not None else None
        return streak.bad if streak is not None else -1

    def probed(self, event: ProbeCompleted) -> None:
        """Handle the result of a probe of this service."""
        self.handle(event, event.at_ns)

    def checked(self, event: StandbyChecked, now_ns: int) -> None:
        """Handle the result of the probe that the gate has requested."""
        self.handle(event, now_ns)

    def unwatch(self, probes: Probes) -> None:
        """Probe no version of this service any more."""
        for version in self._probed:
            probes.unwatch(self.name, version)
        self._probed, self._watched_at = {}, None

    def watch(self, probes: Probes) -> None:
        """Probe exactly the versions that should be kept warm."""
        if self._watched_at == self.registry.changes:
            return
        warm = {
            target.version: (target.endpoints, target.state in HURRIED, target.rewrite)
            for target in self.registry.targets.values()
            if target.state in WATCHED
        }
        for version in self._probed.keys() - warm.keys():
            probes.unwatch(self.name, version)
        for version, watched in warm.items():
            if self._probed.get(version) != watched:
                endpoints, hurried, rewrite = watched
                sent = self.sent_rewrite(rewrite)
                probes.watch(self.name, version, endpoints, self.service.probe, hurried=hurried, rewrite=sent)
        self._probed, self._watched_at = warm, self.registry.changes


class Services(dict[str, ServiceController]):
    """Service name → its controller. `services[name]` raises Refusal if the router has no such service."""

    def __missing__(self, name: str) -> ServiceController:
        raise Refusal(RefusalCode.SERVICE_UNKNOWN, f"there is no service {name!r}; {known_names(name, self)}")
