"""A version under load as the workers would write it: work rows, epochs and counters, in samples of 100 ms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.baseline import Baseline, BucketNormal
from router.rollout.judge.judge import Judge
from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.judge.rules import Rules
from router.rollout.judge.verdict import Note, TriggerResult, Verdict
from router.rollout.outcome import Outcome
from router.rollout.stats.breadth import Distinct, Epoch
from router.rollout.stats.sample import Sample
from router.rollout.stats.work_counts import NO_CELLS, NO_ENDS, WorkBucket, WorkCounts
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd, time_cell
from tests.rollout.simulator import START_NS, TICK_NS, Version, normal

CHAT, MODELS = 0, 1
BUCKETS = {
    CHAT: WorkBucket("POST /v1/chat/completions", True),
    MODELS: WorkBucket("GET /v1/models", False),
}
OUTCOME_OF = {
    WorkEnd.USEFUL: Outcome.OK,
    WorkEnd.FAULT: Outcome.SERVER_ERROR,
    WorkEnd.CLIENT_ERROR: Outcome.CLIENT_ERROR,
    WorkEnd.UNAUTHORISED: Outcome.CLIENT_ERROR,
    WorkEnd.THROTTLED: Outcome.THROTTLED,
    WorkEnd.GONE_EARLY: Outcome.CLIENT_GONE,
    WorkEnd.GONE_LATE: Outcome.CLIENT_GONE,
    WorkEnd.EMPTY: Outcome.OK,
    WorkEnd.NEUTRAL: Outcome.CUT,
}


@dataclass
class Request:
    at_ns: int
    bucket: int
    fingerprint: int
    client: int
    end: WorkEnd | None
    after_s: float
    """None as `end`: it waits until its client leaves after `after_s`."""
    head: bool = False
    """The response begins at once, but nothing of it is useful."""
    due_ns: int = 0

    def __post_init__(self) -> None:
        self.due_ns = self.at_ns + round(self.after_s * SECOND_NS)


Plan = Callable[[int], tuple[WorkEnd | None, float]]
"""Number of the request → (how it ends, after how many seconds); None: it hangs, and its client leaves then."""


def ok(after_s: float = 0.2) -> Plan:
    return lambda _: (WorkEnd.USEFUL, after_s)


def ends(end: WorkEnd, after_s: float = 0.01) -> Plan:
    return lambda _: (end, after_s)


def hangs(patience_s: float = 20.0) -> Plan:
    return lambda _: (None, patience_s)


def every(number: int, bad: Plan, good: Plan) -> Plan:
    """Each `number`th request as `bad`, the others as `good`."""
    return lambda index: bad(index) if index % number == 0 else good(index)


@dataclass
class Counts:
    ends: list[int] = field(default_factory=lambda: list(NO_ENDS))
    asked: int = 0
    times: list[int] = field(default_factory=lambda: list(NO_CELLS))
    last_useful_ns: int = 0
    moving: int = 0
    last_moved_ns: int = 0
    requests: dict[int, None] = field(default_factory=dict)
    clients: dict[int, None] = field(default_factory=dict)


class WorkVersion(Version):
    """`breadth`: whether workers write fingerprints."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.counts: dict[int, Counts] = {}
        self.open: list[Request] = []
        self.epochs: dict[int, dict[str, Any]] = {}
        self.limits: dict[int, float] = {}
        self.medians: dict[int, float] = {}
        self.good: dict[int, None] = {}
        self.breadth = True

    def ask(self, request: Request) -> None:
        self.claimed += 1
        counts = self.counts.setdefault(request.bucket, Counts())
        counts.asked += 1
        if request.head:
            self.begin(0)
            self.begun += 1
            self.last_begun_ns = self.at_ns
        self.open.append(request)

    def advance(self) -> None:
        """End what is due at the time of the next sample."""
        kept, due = [], []
        for request in self.open:
            (due if self.at_ns >= request.due_ns else kept).append(request)
        self.open = kept
        for request in due:
            self._end(request)

    def _end(self, request: Request) -> None:
        counts, waited_s = self.counts[request.bucket], (self.at_ns - request.at_ns) / SECOND_NS
        median = self.medians.get(request.bucket, 1.0)
        end = request.end
        if end is None:
            end = WorkEnd.GONE_LATE if waited_s >= median else WorkEnd.GONE_EARLY
            self.abandoned_long += 0 if request.head or waited_s < 1 else 1
        counts.ends[end] += 1
        if end is WorkEnd.FAULT:
            self.unbegun += 1
        elif end not in (WorkEnd.GONE_EARLY, WorkEnd.GONE_LATE) and not request.head:
            self.begun += 1
            self.last_begun_ns = self.at_ns
        self.outcomes[OUTCOME_OF[end]] += 1
        if end is WorkEnd.USEFUL:
            self._useful(request, counts, waited_s)
        else:
            self._lost(request, counts, fault=end is WorkEnd.FAULT)

    def _useful(self, request: Request, counts: Counts, waited_s: float) -> None:
        counts.times[time_cell(int(waited_s * 1e6))] += 1
        counts.last_useful_ns = counts.last_moved_ns = self.at_ns
        counts.requests.clear()
        counts.clients.clear()
        epoch = self._epoch()
        epoch["useful_clients"][request.client] = None
        if self.breadth and any(found["faults"] for found in self.epochs.values()):
            epoch["unaffected_clients"][request.client] = None
        self.good[request.fingerprint] = None
        self.good = dict(list(self.good.items())[-16:])

    def _lost(self, request: Request, counts: Counts, *, fault: bool) -> None:
        epoch = self._epoch()
        epoch["lost"] += 1
        epoch["faults"] += fault
        if not self.breadth:
            return
        if len(counts.requests) < 4:
            counts.requests[request.fingerprint] = None
        if len(counts.clients) < 4:
            counts.clients[request.client] = None
        for name in ("lost", "fault") if fault else ("lost",):
            epoch[f"{name}_requests"][request.fingerprint] = None
            epoch[f"{name}_clients"][request.client] = None
        if fault and request.fingerprint in self.good:
            epoch["known"][request.fingerprint] = None

    def _epoch(self) -> dict[str, Any]:
        number = self.at_ns // (10 * SECOND_NS)
        names = ("fault_requests", "fault_clients", "lost_requests", "lost_clients")
        found: dict[str, Any] = {name: {} for name in (*names, "useful_clients", "unaffected_clients", "known")}
        return self.epochs.setdefault(number, found | {"faults": 0, "lost": 0})

    def _epochs(self) -> tuple[Epoch, ...]:
        return tuple(
            Epoch(
                number,
                found["faults"],
                found["lost"],
                len(found["known"]),
                *(
                    Distinct.of(found[name])
                    for name in ("fault_requests", "fault_clients", "lost_requests", "lost_clients")
                ),
                Distinct.of(found["useful_clients"]),
                Distinct.of(found["unaffected_clients"]),
            )
            for number, found in sorted(self.epochs.items())[-2:]
        )

    def _work(self) -> dict[int, WorkCounts]:
        found = {}
        for bucket, counts in self.counts.items():
            waits = [request for request in self.open if request.bucket == bucket]
            limit_s = self.limits.get(bucket)
            long = [request for request in waits if self.at_ns - request.at_ns >= SECOND_NS]
            if self.breadth:
                for request in long[:4]:
                    counts.requests[request.fingerprint] = counts.clients[request.client] = None
            found[bucket] = WorkCounts(
                ends=tuple(counts.ends),
                asked=counts.asked,
                waiting=len(waits),
                waiting_long=len(long),
                overdue=0
                if limit_s is None
                else sum(self.at_ns - request.at_ns > limit_s * SECOND_NS for request in waits),
                oldest_wait_ns=min((request.at_ns for request in waits), default=0),
                last_useful_ns=counts.last_useful_ns,
                moving=counts.moving,
                last_moved_ns=self.at_ns if counts.moving else counts.last_moved_ns,
                lost_requests=frozenset(list(counts.requests)[:4]),
                lost_clients=frozenset(list(counts.clients)[:4]),
                times=tuple(counts.times),
            )
        return found

    def sample(self, **gauges: Any) -> Sample:
        waits = [request for request in self.open if not request.head]
        full = self._ticks % 10 == 0
        gauges.setdefault("waiting", len(waits))
        gauges.setdefault("waiting_long", sum(self.at_ns - request.at_ns >= SECOND_NS for request in waits))
        gauges.setdefault("oldest_ns", min((request.at_ns for request in waits), default=0))
        work, epochs = (self._work(), self._epochs()) if full else (None, ())
        return replace(super().sample(**gauges), work=work, epochs=epochs if self.breadth else ())


class WorkHarness:
    """A judge, the active version in slot 0, and a version before it in slot 1."""

    def __init__(self, rules: Rules | None = None, baseline: Baseline | None = None) -> None:
        self.judge = Judge(rules or Rules(), 600.0, baseline)
        self.version = WorkVersion()
        self.slot, self.standby = 0, 1
        self.promoted_at_ns = START_NS
        self.accepted = False
        self.probe: ProbeEvidence | None = None
        self.verdict: Verdict | None = None
        self.bodies, self.clients = 100, 4
        self.buckets = dict(BUCKETS)
        self._asked = 0
        self._owed = 0.0

    @property
    def now_ns(self) -> int:
        return self.version.at_ns

    def inputs(self) -> JudgeInputs:
        return JudgeInputs(
            self.slot,
            self.standby,
            self.promoted_at_ns,
            self.accepted,
            buckets=self.buckets,
            inference_probe=self.probe,
        )

    def tick(self, **gauges: Any) -> Verdict:
        self.version.advance()
        sample = self.version.sample(**gauges)
        self.judge.observe(self.slot, sample)
        self.verdict = self.judge.evaluate(self.inputs(), sample.at_ns)
        known = self.judge.known_times(sample.at_ns)
        self.version.limits = {bucket: limit for bucket, (limit, _) in known.items() if limit is not None}
        self.version.medians = {bucket: median for bucket, (_, median) in known.items() if median is not None}
        return self.verdict

    def run(
        self,
        for_s: float,
        per_s: float,
        plan: Plan | None = None,
        *,
        bucket: int = CHAT,
        head: bool = False,
        beside: Iterable[tuple[float, int, Plan]] = (),
        go_on: bool = False,
        **gauges: Any,
    ) -> Verdict | None:
        """Let a load pass; return the first verdict that acts. `beside`: (seconds between requests, bucket, plan)."""
        plan, others = plan or ok(), list(beside)
        for tick in range(round(for_s * 10)):
            self._owed += per_s / 10
            while self._owed >= 1 - 1e-9:
                self._owed -= 1
                self.ask(plan, bucket, head)
            for every_s, other, other_plan in others:
                if tick % round(every_s * 10) == 0:
                    self.ask(other_plan, other, False)
            if self.tick(**gauges).failing and not go_on:
                return self.verdict
        return None

    def ask(self, plan: Plan, bucket: int = CHAT, head: bool = False, body: int | None = None, client: int = 0) -> None:
        self._asked += 1
        end, after_s = plan(self._asked)
        body = self._asked % self.bodies if body is None else body
        name = client or 1 + self._asked % self.clients
        at_ns = self.version.at_ns - TICK_NS // 2
        self.version.ask(Request(at_ns, bucket, 1_000_003 * (body + 1), 7_919 * name, end, after_s, head))

    def promote(self) -> None:
        """Promote a new version; the present one becomes the standby."""
        self.slot, self.standby = self.standby, self.slot
        self.version = WorkVersion(incarnation=self.version.incarnation + 1, at_ns=self.version.at_ns)
        self.promoted_at_ns, self.accepted = self.version.at_ns, False

    def known(self, seconds: float = 60.0, per_s: float = 10.0, after_s: float = 0.2) -> WorkHarness:
        """Let a version before serve well, and promote the next one."""
        assert self.run(seconds, per_s, ok(after_s)) is None
        self.promote()
        return self

    def seconds_to_verdict(self, for_s: float, per_s: float, plan: Plan, **more: Any) -> float | None:
        begun_ns = self.now_ns
        verdict = self.run(for_s, per_s, plan, **more)
        return None if verdict is None else (self.now_ns - begun_ns) / SECOND_NS

    @property
    def failing(self) -> TriggerResult:
        assert self.verdict is not None
        assert self.verdict.failing is not None
        return self.verdict.failing

    def result(self, name: str) -> TriggerResult:
        assert self.verdict is not None
        return next(result for result in self.verdict.results if result.name == name)

    @property
    def notes(self) -> dict[str, Note]:
        assert self.verdict is not None
        return {note.code: note for note in self.verdict.notes}


def chat_baseline(rate: float = 0.0, after_s: float = 0.2, requests: int = 10_000) -> Baseline:
    """A baseline of chat requests whose answers took `after_s`, and of which a share of `rate` failed."""
    found, lost = list(NO_ENDS), round(rate * requests)
    found[WorkEnd.USEFUL], found[WorkEnd.FAULT] = requests - lost, lost
    times = [0] * len(NO_CELLS)
    times[time_cell(int(after_s * 1e6))] = requests - lost
    return replace(
        normal(rate, requests, after_s * 1000), work={BUCKETS[CHAT].name: BucketNormal(tuple(found), tuple(times))}
    )
