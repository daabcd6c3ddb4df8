"""The office that compares requests with those of a good time: it reads the workers' samples and says what has drifted.

Once a second, in a thread: control's loop is not kept waiting for JSON. What was learned is in the journal, so a restart knows
it; what is being learned begins again. Drift is no fault of the version that is active, and the one to go back to gets the same
requests; so by default it is only said. Where the settings have `action = "ask"` or `"rollback"` it is a trigger, `quality`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.core.service_controller import ServiceController
from router.control.views.metrics import PREFIX
from router.rollout.judge.rules import Action
from router.rollout.judge.verdict import TriggerResult
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.quality.drift import DriftContext, DriftJudge, DriftRules, DriftStatus, Finding
from router.rollout.quality.reference import Reference, reference_of
from router.rollout.stats.window import SECOND_NS
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing

FRESH_NS: Final = 10 * SECOND_NS
"""An opinion that is older says nothing of now."""
FAILING_MAX: Final = 10
_REFUSED: Final = ("json", "schema")
Document = dict[str, Any]


@dataclass(slots=True)
class DriftState:
    """One service. `asked` and `forget` wait for the next look, which is not interrupted."""

    service_controller: ServiceController
    judge: DriftJudge
    rules: DriftRules
    action: Action
    asked: DriftRules | None = None
    forget: bool = False
    opinion: DriftStatus = field(default_factory=DriftStatus)
    about: tuple[str, int] | None = None
    """Version and activation that the opinion is about."""
    looked_ns: int = 0
    drifting: bool = False


class QualityAddon(Addon):
    """Of all services. `look` is one look; `tick` starts the next one when the last is over."""

    def __init__(self, control_loop: ControlLoop, settings: Settings, entries: Sequence[Entry]) -> None:
        self._control_loop = control_loop
        segment = control_loop.segment
        self._rings = [CaptureRing(segment, worker, at.CAPTURE_INPUTS) for worker in range(segment.layout.workers)]
        self._read = [ring.written for ring in self._rings]
        self._looking = False
        known = _references(entries)
        self._watched: dict[str, DriftState] = {}
        for name, service_controller in control_loop.services.items():
            section = settings.services[name].inputs
            rules = section.plain()
            self._watched[name] = DriftState(
                service_controller, DriftJudge(rules, known.get(name)), rules, section.action
            )
            service_controller.trigger_sources.append(partial(self._say, self._watched[name]))

    def reconfigure(self, settings: Settings) -> None:
        """Judge by other rules from the next look on."""
        for name, watched in self._watched.items():
            section = settings.services[name].inputs if name in settings.services else None
            if section is not None:
                watched.rules = watched.asked = section.plain()
                watched.action = section.action

    # -- looking
    def on_second(self, now_ns: int) -> None:
        """Look, unless a look is under way or there is nothing to see."""
        if self._looking or not any(watched.rules.wanted or watched.drifting for watched in self._watched.values()):
            return
        self._looking = True
        self._control_loop.tasks.spawn(self._look_once(now_ns), "look at inputs")

    async def _look_once(self, now_ns: int) -> None:
        try:
            await self.look(now_ns)
        finally:
            self._looking = False

    async def look(self, now_ns: int) -> None:
        """Read what the workers have kept since the last look, and say what is to be said of it."""
        around: dict[str, DriftContext] = {}
        for name, watched in self._watched.items():
            if watched.asked is not None:
                watched.judge.reconfigure(watched.asked)
                watched.asked = None
            if watched.forget:
                watched.judge.relearn()
                watched.forget = False
            if (now := self._surroundings(watched)) is not None:
                around[name] = now
        for name, opinion in (await asyncio.to_thread(self._judged, around, now_ns)).items():
            self._hear(self._watched[name], around[name], opinion, now_ns)

    def _surroundings(self, watched: DriftState) -> DriftContext | None:
        service_controller = watched.service_controller
        active = service_controller.registry.active
        if active is None:
            return None
        verdict = service_controller.verdict
        well = active.accepted and verdict.failing is None and not verdict.pending and service_controller.unwell is None
        counts = self._control_loop.worker_stats.validated(service_controller.executor.index)
        refused = sum(counts["request", result] for result in _REFUSED)
        seen = counts["request", "ok"] + refused
        return DriftContext(active.version, service_controller.registry.active_since_ns, well, seen, refused)

    def _judged(self, around: dict[str, DriftContext], now_ns: int) -> dict[str, DriftStatus]:
        """In a thread: nothing else touches the judges and the places in the rings meanwhile."""
        bodies: dict[int, list[bytes]] = {}
        for worker, ring in enumerate(self._rings):
            written = ring.written
            for capture in ring.read(self._read[worker]):
                bodies.setdefault(capture.service, []).append(capture.payload)
            self._read[worker] = written
        return {
            name: self._watched[name].judge.take(
                bodies.get(self._watched[name].service_controller.executor.index, ()), now, now_ns
            )
            for name, now in around.items()
        }

    def _hear(self, watched: DriftState, now: DriftContext, opinion: DriftStatus, now_ns: int) -> None:
        watched.opinion, watched.about, watched.looked_ns = opinion, (now.version, now.since_ns), now_ns
        if opinion.reference is not None:
            self._note(watched, kinds.INPUTS_LEARNED, {"reference": opinion.reference.as_dict()}, now_ns)
        if opinion.drifted and not watched.drifting and opinion.worst is not None:
            watched.drifting = True
            self._note(watched, kinds.INPUT_DRIFT, {"state": "began", **self._told(watched, now.version)}, now_ns)
        elif watched.drifting and (opinion.state in ("pass", "not_configured")):
            watched.drifting = False
            self._note(watched, kinds.INPUT_DRIFT, {"state": "over", "version": now.version}, now_ns)
        self._alarm(watched)

    def _told(self, watched: DriftState, version: str) -> Document:
        worst = watched.opinion.worst
        assert worst is not None
        return {"version": version, "action": watched.action, "reason": watched.opinion.reason, **shown(worst)}

    def _note(self, watched: DriftState, kind: str, data: Document, now_ns: int) -> None:
        watched.service_controller.executor.perform([Record(kind, "control", data)], now_ns)

    def _alarm(self, watched: DriftState) -> None:
        name, alarms = watched.service_controller.name, self._control_loop.alarms
        if not watched.drifting:
            alarms.down("input_drift", name)
        elif watched.opinion.state == "fail":
            alarms.up("input_drift", watched.opinion.reason, name)

    # -- what it says
    def _say(self, watched: DriftState, now_ns: int) -> tuple[TriggerResult, ...]:
        """Return the trigger `quality`, where drift is to be one: a source of the bench."""
        if watched.action == "observe" or not watched.rules.wanted:
            return ()
        active, opinion = watched.service_controller.registry.active, watched.opinion
        about = (active.version, watched.service_controller.registry.active_since_ns) if active is not None else None
        if about != watched.about or now_ns - watched.looked_ns > FRESH_NS:
            opinion = DriftStatus("inconclusive", "the requests to this version were not looked at yet")
        return (_result(opinion, watched),)

    def status(self, service: str) -> Document:
        """Return `inputs`: what is known of good requests, and what is to be said of those of now."""
        watched = self._watched[service]
        opinion, known = watched.opinion, watched.judge.reference
        if not watched.rules.wanted:
            return {"inputs": None}
        return {
            "inputs": {
                "state": opinion.state,
                "reason": opinion.reason,
                "drifting": watched.drifting,
                "action": watched.action,
                "worst": shown(opinion.worst) if opinion.worst else None,
                "failing": [shown(finding) for finding in opinion.failing[:FAILING_MAX]],
                "learned": opinion.learned,
                "unreadable": opinion.unreadable,
                "reference": _summary(known) if known is not None else None,
            }
        }

    explain = status

    def metrics(self) -> Iterable[Metric]:
        """Return the worst share with its limit, and whether it is drift."""
        share = GaugeMetricFamily(
            PREFIX + "input_drift_share", "The share of requests that is furthest above its limit, or nearest to it.",
            labels=["service"],
        )  # fmt: skip
        limit = GaugeMetricFamily(PREFIX + "input_drift_limit", "Above this it fails.", labels=["service"])
        drifting = GaugeMetricFamily(PREFIX + "input_drift", "1: the requests have drifted.", labels=["service"])
        for name, watched in self._watched.items():
            if watched.rules.wanted:
                drifting.add_metric([name], float(watched.drifting))
                if (worst := watched.opinion.worst) is not None:
                    share.add_metric([name], worst.share)
                    limit.add_metric([name], worst.limit)
        return share, limit, drifting

    async def relearn(self, *, service: str, actor: str, reason: str) -> Document:
        """Take the requests from now on for good; raise OperatorError if that cannot be journalled."""
        watched = self._watched[self._control_loop.services[service].name]
        await watched.service_controller.executor.append_and_apply(
            Record(kinds.INPUTS_FORGOTTEN, actor, {"reason": reason})
        )
        watched.forget = True
        return {"service": service, "message": "what was known of good requests is forgotten, and is learned anew"}


def _references(entries: Sequence[Entry]) -> dict[str, Reference]:
    """Fold the facts of the journal: what is known of each service."""
    known: dict[str, Reference] = {}
    for entry in entries:
        if entry.type == kinds.INPUTS_LEARNED:
            known[entry.service] = reference_of(entry.data["reference"])
        elif entry.type == kinds.INPUTS_FORGOTTEN:
            known.pop(entry.service, None)
    return known


def _summary(known: Reference) -> Document:
    return {
        "version": known.version,
        "requests": known.samples,
        "fields": {
            name: {"kind": shape.kind, "low": shape.low, "high": shape.high, "categories": len(shape.categories),
                   "usual_missing": round(shape.usual_missing, 4), "judged": shape.steady}
            for name, shape in known.shapes.items()
        },
    }  # fmt: skip


def shown(finding: Finding) -> Document:
    """Return a finding as plain data."""
    return {
        "field": finding.field,
        "what": finding.what,
        "share": round(finding.share, 4),
        "limit": round(finding.limit, 4),
        "usual": round(finding.usual, 4),
        "samples": finding.samples,
    }


def _result(opinion: DriftStatus, watched: DriftState) -> TriggerResult:
    worst, needed_s = opinion.worst, watched.rules.sustained_s
    distance = f"fails from a share of {worst.limit:.1%}" if worst is not None else "decides with more requests"
    found = TriggerResult(
        kind="quality",
        detail="inputs",
        state=opinion.state,
        action=watched.action,
        reason=opinion.reason,
        distance=distance,
        value=worst.share if worst is not None else None,
        limit=worst.limit if worst is not None else None,
        baseline=worst.usual if worst is not None else None,
        samples=worst.samples if worst is not None else 0,
        window_s=watched.rules.window_s,
    )
    return found.sustained(opinion.sustained_s, needed_s, opinion.drifted)
