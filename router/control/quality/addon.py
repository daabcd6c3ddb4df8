"""Input drift: compares the workers' samples of requests with a learned reference.

It runs once a second in a thread, so control's loop never waits for JSON. A learned reference is in the journal and survives a
restart; an unfinished one is learned anew. Drift is no fault of the active version, and the standby would get the same
requests, so by default it is only reported. With `action = "ask"` or `"rollback"` it is the trigger `quality`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon, Document, TriggerSource
from router.control.core.executor import CommandExecutor
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.quality.answers import RelearnAnswer
from router.control.views.addon_answers import DriftFinding, ReferenceSummary
from router.control.views.metric_table import gauge
from router.rollout.facts.entry import Entry
from router.rollout.facts.fact import Fact
from router.rollout.facts.inputs import InputDrift, InputsForgotten, InputsLearned
from router.rollout.facts.record import Record
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import TriggerResult
from router.rollout.quality.drift import DriftContext, DriftJudge, DriftRules, DriftStatus, Finding
from router.rollout.quality.reference import Reference, reference_from_dict
from router.rollout.units import SECOND_NS
from router.settings.sections.inputs import InputSettings
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import Capture, CaptureRing

FRESH_NS: Final = 10 * SECOND_NS
"""An older drift status is not used."""
FAILING_MAX: Final = 10
_REFUSED: Final = ("json", "schema")


@dataclass(slots=True)
class DriftState:
    """The drift of one service. `new_rules` and `forget` are applied by the next evaluation, which runs in a thread."""

    service_controller: ServiceController
    judge: DriftJudge
    rules: DriftRules
    action: Action
    new_rules: DriftRules | None = None
    forget: bool = False
    status: DriftStatus = field(default_factory=DriftStatus)
    about: tuple[str, int] | None = None
    """Version and activation that the status is about."""
    evaluated_ns: int = 0
    drifting: bool = False


class QualityAddon(Addon):
    """The input drift of all services. `on_second` starts an evaluation once the last one has ended."""

    def __init__(self, control_loop: ControlLoop, settings: Settings, entries: Sequence[Entry]) -> None:
        self._control_loop = control_loop
        segment = control_loop.segment
        self._rings = [CaptureRing(segment, worker, at.CAPTURE_INPUTS) for worker in range(segment.layout.workers)]
        self._positions = [ring.written for ring in self._rings]
        self._evaluating = False
        known = _references(entries)
        self._states: dict[str, DriftState] = {}
        for name in control_loop.services:
            self._begin(name, settings.services[name].inputs, known.get(name))

    def _begin(self, service: str, section: InputSettings, known: Reference | None) -> None:
        service_controller, rules = self._control_loop.services[service], section.as_rules()
        self._states[service] = DriftState(service_controller, DriftJudge(rules, known), rules, section.action)

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Judge the inputs of one more service."""
        section = self._control_loop.services[service].service.inputs
        self._begin(service, section, _references(entries).get(service))

    def service_removed(self, service: str) -> None:
        """Forget a service; an evaluation that is running leaves it out."""
        self._states.pop(service, None)

    def trigger_sources(self) -> dict[str, TriggerSource]:
        """Return the trigger `quality` of each service."""
        return {name: partial(self._trigger_results, state) for name, state in self._states.items()}

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed rules from the next evaluation on."""
        for name, state in self._states.items():
            section = settings.services[name].inputs if name in settings.services else None
            if section is not None:
                state.rules = state.new_rules = section.as_rules()
                state.action = section.action

    # -- evaluation
    def on_second(self, now_ns: int) -> None:
        """Start an evaluation, unless one is running or no service needs one."""
        if self._evaluating or not any(state.rules.enabled or state.drifting for state in self._states.values()):
            return
        self._evaluating = True
        self._control_loop.tasks.spawn(self._evaluate_once(now_ns), "evaluate inputs")

    async def _evaluate_once(self, now_ns: int) -> None:
        try:
            await self.evaluate(now_ns)
        finally:
            self._evaluating = False

    async def evaluate(self, now_ns: int) -> None:
        """Read the requests that workers have sampled since the last evaluation, and apply the results."""
        contexts: dict[str, DriftContext] = {}
        for name, state in self._states.items():
            if state.new_rules is not None:
                state.judge.reconfigure(state.new_rules)
                state.new_rules = None
            if state.forget:
                state.judge.relearn()
                state.forget = False
            if (now := self._context(state)) is not None:
                contexts[name] = now
        states = dict(self._states)  # a service may be removed, and another one added, while the thread runs
        for name, status in (await asyncio.to_thread(self._judge_samples, states, contexts, now_ns)).items():
            if self._states.get(name) is states[name]:
                self._apply(states[name], contexts[name], status, now_ns)

    def _context(self, state: DriftState) -> DriftContext | None:
        service_controller = state.service_controller
        active = service_controller.registry.active
        if active is None:
            return None
        verdict = service_controller.verdict
        well = active.accepted and verdict.failing is None and not verdict.pending and service_controller.unwell is None
        counts = self._control_loop.worker_stats.validated(service_controller.executor.index)
        refused = sum(counts["request", result] for result in _REFUSED)
        seen = counts["request", "ok"] + refused
        return DriftContext(active.version, service_controller.registry.active_since_ns, well, seen, refused)

    def _judge_samples(
        self, states: dict[str, DriftState], contexts: dict[str, DriftContext], now_ns: int
    ) -> dict[str, DriftStatus]:
        """Judge the new samples; runs in a thread. Nothing else uses the judges and the ring positions meanwhile."""
        captures: dict[int, list[Capture]] = {}
        for worker, ring in enumerate(self._rings):
            written = ring.written
            for capture in ring.read(self._positions[worker]):
                captures.setdefault(capture.service, []).append(capture)
            self._positions[worker] = written
        return {
            name: states[name].judge.take(_bodies(states[name].service_controller.executor, captures), now, now_ns)
            for name, now in contexts.items()
        }

    def _apply(self, state: DriftState, now: DriftContext, status: DriftStatus, now_ns: int) -> None:
        state.status, state.about, state.evaluated_ns = status, (now.version, now.since_ns), now_ns
        if status.reference is not None:
            self._journal(state, InputsLearned(reference=status.reference.as_dict()), now_ns)
        if status.drifted and not state.drifting and status.worst is not None:
            state.drifting = True
            self._journal(state, _drift_began(state, status.worst, now.version), now_ns)
        elif state.drifting and (status.state in ("pass", "not_configured")):
            state.drifting = False
            self._journal(state, InputDrift(state="over", version=now.version), now_ns)
        self._alarm(state)

    def _journal(self, state: DriftState, fact: Fact, now_ns: int) -> None:
        state.service_controller.executor.perform([Record(fact, "control")], now_ns)

    def _alarm(self, state: DriftState) -> None:
        name, alarms = state.service_controller.name, self._control_loop.alarms
        if not state.drifting:
            alarms.down("input_drift", name)
        elif state.status.state == "fail":
            alarms.up("input_drift", state.status.reason, name)

    # -- results
    def _trigger_results(self, state: DriftState, now_ns: int) -> tuple[TriggerResult, ...]:
        """Return the trigger `quality` if the settings make drift a trigger: a source of the service's controller."""
        if state.action == "observe" or not state.rules.enabled:
            return ()
        active, status = state.service_controller.registry.active, state.status
        about = (active.version, state.service_controller.registry.active_since_ns) if active is not None else None
        if about != state.about or now_ns - state.evaluated_ns > FRESH_NS:
            status = DriftStatus("inconclusive", "the requests to this version were not evaluated yet")
        return (_result(status, state),)

    def status(self, service: str) -> Document:
        """Return the member `inputs`: the reference, and the drift of the present requests."""
        state = self._states[service]
        status, known = state.status, state.judge.reference
        if not state.rules.enabled:
            return {"inputs": None}
        return {
            "inputs": {
                "state": status.state,
                "reason": status.reason,
                "drifting": state.drifting,
                "action": state.action,
                "worst": as_document(status.worst) if status.worst else None,
                "failing": [as_document(finding) for finding in status.failing[:FAILING_MAX]],
                "learned": status.learned,
                "unreadable": status.unreadable,
                "reference": _summary(known) if known is not None else None,
            }
        }

    explain = status

    def metrics(self) -> Iterable[Metric]:
        """Return the worst share with its limit, and whether requests have drifted."""
        share = gauge("input_drift_share")
        limit = gauge("input_drift_limit")
        drifting = gauge("input_drift")
        for name, state in self._states.items():
            if state.rules.enabled:
                drifting.add_metric([name], float(state.drifting))
                if (worst := state.status.worst) is not None:
                    share.add_metric([name], worst.share)
                    limit.add_metric([name], worst.limit)
        return share, limit, drifting

    async def relearn(self, *, service: str, actor: str, reason: str) -> RelearnAnswer:
        """Forget the reference and learn a new one; raise Refusal if that cannot be journalled."""
        state = self._states[self._control_loop.services[service].name]
        await state.service_controller.executor.append_and_apply(Record(InputsForgotten(reason=reason), actor))
        state.forget = True
        return {"service": service, "message": "the reference is deleted, and a new one is learned"}


def _bodies(executor: CommandExecutor, captures: Mapping[int, Sequence[Capture]]) -> list[bytes]:
    """Return the sampled bodies of a service, without those of a service that had its place before."""
    return [one.payload for one in captures.get(executor.index, ()) if one.at_ns >= executor.since_ns]


def _drift_began(state: DriftState, worst: Finding, version: str) -> InputDrift:
    members = {"state": "began", "version": version, "action": state.action, "reason": state.status.reason}
    return InputDrift.from_data({**members, **as_document(worst)})


def _references(entries: Sequence[Entry]) -> dict[str, Reference]:
    """Return the reference of each service: a fold of the journal's entries."""
    known: dict[str, Reference] = {}
    for entry in entries:
        if isinstance(entry.fact, InputsLearned):
            known[entry.service] = reference_from_dict(entry.fact.reference)
        elif isinstance(entry.fact, InputsForgotten):
            known.pop(entry.service, None)
    return known


def _summary(known: Reference) -> ReferenceSummary:
    return {
        "version": known.version,
        "requests": known.samples,
        "fields": {
            name: {
                "kind": profile.kind,
                "low": profile.low,
                "high": profile.high,
                "categories": len(profile.categories),
                "usual_missing": round(profile.usual_missing, 4),
                "judged": profile.steady,
            }
            for name, profile in known.profiles.items()
        },
    }


def as_document(finding: Finding) -> DriftFinding:
    """Return a finding as plain data."""
    return {
        "field": finding.field,
        "what": finding.what,
        "share": round(finding.share, 4),
        "limit": round(finding.limit, 4),
        "usual": round(finding.usual, 4),
        "samples": finding.samples,
    }


def _result(status: DriftStatus, state: DriftState) -> TriggerResult:
    worst, needed_s = status.worst, state.rules.sustained_s
    distance = f"fails from a share of {worst.limit:.1%}" if worst is not None else "decides with more requests"
    found = TriggerResult(
        kind="quality",
        detail="inputs",
        state=status.state,
        action=state.action,
        reason=status.reason,
        distance=distance,
        value=worst.share if worst is not None else None,
        limit=worst.limit if worst is not None else None,
        baseline=worst.usual if worst is not None else None,
        samples=worst.samples if worst is not None else 0,
        window_s=state.rules.window_s,
    )
    return found.sustained(status.sustained_s, needed_s, status.drifted)
