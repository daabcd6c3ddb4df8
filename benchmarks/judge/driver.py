"""The virtual clock: arrivals become attempts, attempts become samples, and the project's judge decides on them at 10 Hz.

A tick is skipped while no version can be failing: no rule acts on fewer than SUSPECTS_MIN attempts that fail, bring nothing, or
wait. So between full seconds nothing is judged unless so many lie less than DENSE_BEFORE_S ahead or DENSE_AFTER_S behind.
`tests/rollout/test_driver.py` compares this with a driver that skips nothing.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from benchmarks.judge.answers import NEVER, Answer
from benchmarks.judge.buckets import Buckets
from benchmarks.judge.probes import InferenceProbes, ProbeModel
from benchmarks.judge.slot import LONG_NS, Attempt, Slot
from benchmarks.judge.traffic import Arrivals, Flow, Query
from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import Rules
from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import FAULTS, Outcome
from router.rollout.stats.sample import Sample
from router.rollout.units import SECOND_NS
from router.rollout.work import WorkEnd

START_NS: Final = 1_000 * SECOND_NS
TICK_NS: Final = SECOND_NS // 10
TICKS_PER_S: Final = 10
DENSE_BEFORE_S: Final = 30
"""Longer than the finest tier of samples reaches back, so that the judge has the same samples as without skipped ticks."""
DENSE_AFTER_S: Final = 310
"""Longer than the longest window in which a fault must still happen for a verdict."""
SUSPECTS_MIN: Final = 3
DENSE_PROMOTION_S: Final = 2
DAY_NS: Final = 86_400 * SECOND_NS
VERDICTS_APART_S: Final = 300.0
FIRST_BYTE_TIMEOUT_S: Final = 600.0

Model = Callable[[Query, float, Random], Answer]
"""(request, seconds since the promotion of the version, random) to what the version does with the request."""

_CLAIM, _ANSWER, _BEGIN, _LONG, _USE, _END, _PAIR = range(7)


@dataclass(frozen=True, slots=True)
class Service:
    """What is driven. `before` serves from the start, `after` from its promotion at `promoted_s` on; without `before` from the
    start. `accepted`: the active version is accepted already. `named`: work buckets that are known at the start. `probe`: the
    inference probe of `after`; `standby_passes`: the result of that of `before`.
    """

    flows: tuple[Flow, ...]
    after: Model
    before: Model | None = None
    promoted_s: float = 0.0
    baseline: Baseline | None = None
    rules: Rules = field(default_factory=Rules)
    acceptance: Acceptance = field(default_factory=Acceptance)
    first_byte_timeout_s: float = FIRST_BYTE_TIMEOUT_S
    replay: bool = False
    accepted: bool = False
    named: tuple[str, ...] = ()
    cheap: frozenset[str] = frozenset()
    probe: ProbeModel | None = None
    standby_passes: bool | None = True
    set_aside: Callable[[float], int] | None = None
    """Seconds since the promotion to the faults of `after` at ejected replicas so far."""

    @property
    def promoted_ns(self) -> int:
        """Start of serving of `after`."""
        return START_NS + (round(self.promoted_s * SECOND_NS) if self.before is not None else 0)


@dataclass(slots=True)
class Run:
    """What came of it. `verdict` is the first result that demands a rollback, at `verdict_s` seconds after the promotion.

    The version before serves so that it is known: its verdicts do not count.
    """

    verdict: TriggerResult | None = None
    verdict_s: float = NEVER
    accepted: Baseline | None = None
    accepted_s: float = NEVER
    asked: dict[str, float] = field(default_factory=dict)
    """Names of results with another action that were due, and when first."""
    noted: dict[str, float] = field(default_factory=dict)
    """Codes of notes, and when first."""
    verdicts: int = 0
    """Verdicts that demanded a rollback; those within VERDICTS_APART_S of one another are one."""
    last_verdict_s: float = -NEVER
    ticks: int = 0
    judged: int = 0
    attempts: int = 0
    useful: int = 0

    @property
    def trigger(self) -> str:
        """The name of the rule that acted; empty if none did."""
        return self.verdict.name if self.verdict else ""


class Driver:
    """Drives one service with one stream of random numbers."""

    def __init__(self, service: Service, seed: object = 0, *, skip: bool = True) -> None:
        self.service = service
        self.judge = Judge(service.rules, service.first_byte_timeout_s, service.baseline, acceptance=service.acceptance)
        self.run_so_far = Run()
        self._skip = skip
        self._random = Random(repr(("answers", seed)))
        self._arrivals = Arrivals(service.flows, Random(repr(("arrivals", seed))))
        self._buckets = Buckets(service.named, service.cheap)
        self._slots = (Slot(self._buckets), Slot(self._buckets))
        self._events: defaultdict[int, list[tuple[int, Slot, Attempt]]] = defaultdict(list)
        self._generated_s = 0.0
        self._suspects_ns: list[int] = []
        self._dense_until_ns = START_NS + DENSE_PROMOTION_S * SECOND_NS
        self._probes: InferenceProbes | None = None
        if service.probe is not None:
            standby = service.standby_passes if service.before is not None else None
            self._probes = InferenceProbes(service.probe, standby, service.promoted_ns)

    def run(self, for_s: float, *, go_on: bool = False) -> Run:
        """Let `for_s` seconds pass; return at the first verdict unless told to `go_on`."""
        run = self.run_so_far
        for tick in range(run.ticks, run.ticks + round(for_s * TICKS_PER_S)):
            self._generate(tick)
            for kind, slot, attempt in self._events.pop(tick, ()):
                _APPLY[kind](slot, attempt)
            run.ticks = tick + 1
            now_ns = START_NS + tick * TICK_NS
            if self._probes is not None and now_ns >= self.service.promoted_ns:
                self._probe(self._probes, now_ns)
            full = tick % TICKS_PER_S == 0
            if full or not self._skip or self._is_dense(now_ns):
                self._judge(now_ns, full)
                if run.verdict is not None and not go_on:
                    break
        return run

    def sample(self, at_ns: int, slot: int = 0) -> Sample:
        """Return what a full sample of a slot holds now."""
        return self._slots[slot].sample(at_ns, 1, full=True)

    # -- one tick
    def _judge(self, now_ns: int, full: bool) -> None:
        active = self._active(now_ns)
        if full:
            self._buckets.settle()
            self._slots[active].learn(self.judge.known_times(now_ns))
        if self.service.set_aside is not None and now_ns >= self.service.promoted_ns:
            self._slots[active].set_aside = self.service.set_aside((now_ns - self.service.promoted_ns) / SECOND_NS)
        for number, slot in enumerate(self._slots):
            if number == active or self.service.before is not None:
                self.judge.observe(number, slot.sample(now_ns, 1 if number == active else 2, full=full))
        verdict = self.judge.evaluate(self._inputs(active), now_ns)
        run, at_s = self.run_so_far, (now_ns - START_NS) / SECOND_NS - self.service.promoted_s
        run.judged += 1
        if verdict.pending:
            self._stay_dense(now_ns, 1)
        if verdict.failing is not None and (active == 1 or self.service.before is None):
            if run.verdict is None:
                run.verdict, run.verdict_s = verdict.failing, at_s
            run.verdicts += at_s - run.last_verdict_s > VERDICTS_APART_S
            run.last_verdict_s = at_s
        if verdict.accepted is not None:
            if active == 1 or self.service.before is None:
                run.accepted = run.accepted or verdict.accepted
                run.accepted_s = min(run.accepted_s, at_s)
        for result in verdict.observing:
            run.asked.setdefault(result.name, at_s)
        for note in verdict.notes:
            run.noted.setdefault(note.code, at_s)

    def _is_dense(self, now_ns: int) -> bool:
        suspects = self._suspects_ns
        while suspects and suspects[0] < now_ns:
            heapq.heappop(suspects)
        return now_ns <= self._dense_until_ns or len(suspects) >= SUSPECTS_MIN

    def _probe(self, probes: InferenceProbes, now_ns: int) -> None:
        probes.step(now_ns, self._slots[self._active(now_ns)].last_useful_ns)
        if probes.is_failing:
            self._stay_dense(now_ns, DENSE_AFTER_S)

    def _active(self, now_ns: int) -> int:
        return int(self.service.before is not None and now_ns >= self.service.promoted_ns)

    def _inputs(self, active: int) -> JudgeInputs:
        service = self.service
        is_new = service.before is None or active == 1
        accepted = not is_new or service.accepted or self.run_so_far.accepted is not None
        return JudgeInputs(
            active_slot=active,
            standby_slot=0 if active else None,
            promoted_at_ns=service.promoted_ns if is_new else START_NS,
            accepted=accepted,
            buckets=self._buckets.table(),
            inference_probe=self._probes.evidence() if self._probes is not None and is_new else None,
        )

    # -- requests
    def _generate(self, tick: int) -> None:
        """Decide on the requests of the next DENSE_BEFORE_S, so that skipped ticks lie far enough before a fault."""
        until_s = tick / TICKS_PER_S + DENSE_BEFORE_S
        if until_s < self._generated_s + 1:
            return
        self._generated_s = until_s
        promoted_s = self.service.promoted_s
        if abs(until_s - promoted_s) < DENSE_BEFORE_S + 2:
            self._stay_dense(START_NS + round(promoted_s * SECOND_NS), DENSE_PROMOTION_S)
        for query in self._arrivals.until(until_s):
            self._ask(query)

    def _ask(self, query: Query) -> None:
        service = self.service
        promoted = service.before is None or query.at_s >= service.promoted_s
        model = service.after if promoted or service.before is None else service.before
        answer = self._clipped(query, model(query, query.at_s - service.promoted_s, self._random))
        slot = self._slots[1 if promoted and service.before is not None else 0]
        attempt = self._plan(slot, query, answer, query.at_s)
        if service.replay and promoted and service.before is not None and _is_rescuable(attempt):
            self._rescue(query, attempt)
        elif query.retries and attempt.outcome in FAULTS and attempt.ended_ns is not None:
            ended_s = (attempt.ended_ns - START_NS) / SECOND_NS
            self._arrivals.repeat(query, ended_s + query.flow.retry_s)

    def _rescue(self, query: Query, failed: Attempt) -> None:
        """Let the standby answer what failed on the active version, and count the pair."""
        assert self.service.before is not None
        assert failed.ended_ns is not None
        at_s = (failed.ended_ns - START_NS) / SECOND_NS
        answer = self._clipped(query, self.service.before(query, at_s - self.service.promoted_s, self._random))
        second = self._plan(self._slots[0], query, answer, at_s)
        self._events[_tick(second.ended_ns or failed.ended_ns)].append((_PAIR, self._slots[1], second))

    def _clipped(self, query: Query, answer: Answer) -> Answer:
        """Return the answer as far as the client and the first-byte timeout let it come."""
        flow, limit_s = query.flow, self.service.first_byte_timeout_s
        worked_s = min(answer.useful_s, answer.ended_s)
        if flow.patience_s < worked_s and flow.patience_s <= (limit_s if answer.begun_s > limit_s else NEVER):
            begun_s = answer.begun_s if answer.begun_s <= flow.patience_s else NEVER
            return Answer(
                begun_s,
                NEVER,
                flow.patience_s,
                Outcome.CLIENT_GONE,
                WorkEnd.GONE_LATE,
                answer.progresses,
                answer.streams,
            )
        if limit_s < min(answer.begun_s, answer.ended_s):
            return Answer(ended_s=limit_s, outcome=Outcome.TIMED_OUT, end=WorkEnd.FAULT)
        return answer

    def _plan(self, slot: Slot, query: Query, answer: Answer, at_s: float) -> Attempt:
        """Enter the events of one attempt into the calendar."""
        begun_ns, useful_ns, ended_ns = (
            _ns(at_s + answer.begun_s),
            _ns(at_s + answer.useful_s),
            _ns(at_s + answer.ended_s),
        )
        at_ns = START_NS + int(at_s * SECOND_NS)
        attempt = Attempt(
            at_ns,
            query.flow.bucket,
            query.client,
            query.body,
            begun_ns,
            useful_ns,
            ended_ns,
            answer.outcome,
            answer.end,
            answer.progresses,
            answer.streams,
        )
        self.run_so_far.attempts += 1
        self.run_so_far.useful += useful_ns is not None
        events, long_ns = self._events, at_ns + LONG_NS
        events[_tick(at_ns)].append((_CLAIM, slot, attempt))
        if ended_ns is not None and begun_ns == useful_ns == ended_ns <= long_ns and answer.outcome is Outcome.OK:
            events[_tick(ended_ns)].append((_ANSWER, slot, attempt))
            return attempt
        if begun_ns is not None:
            events[_tick(begun_ns)].append((_BEGIN, slot, attempt))
        if (useful_ns or ended_ns or long_ns + 1) > long_ns:
            events[_tick(long_ns)].append((_LONG, slot, attempt))
        if useful_ns is not None:
            events[_tick(useful_ns)].append((_USE, slot, attempt))
        if ended_ns is not None:
            events[_tick(ended_ns)].append((_END, slot, attempt))
        if useful_ns is None or answer.outcome is not Outcome.OK or useful_ns > long_ns:
            heapq.heappush(self._suspects_ns, (ended_ns or at_ns + DAY_NS) + DENSE_AFTER_S * SECOND_NS)
        return attempt

    def _stay_dense(self, from_ns: int, for_s: float) -> None:
        self._dense_until_ns = max(self._dense_until_ns, from_ns + round(for_s * SECOND_NS))


def _count_pair(slot: Slot, second: Attempt) -> None:
    well = second.outcome not in FAULTS and second.end is WorkEnd.USEFUL
    slot.rescued += 1
    slot.pairs_well += well
    slot.pairs_failed += not well


_APPLY: Final = (Slot.claim, Slot.answer, Slot.begin, Slot.become_long, Slot.use, Slot.end, _count_pair)


def _is_rescuable(attempt: Attempt) -> bool:
    return attempt.outcome in FAULTS and attempt.begun_ns is None and attempt.ended_ns is not None


def _ns(at_s: float) -> int | None:
    return None if at_s == NEVER else START_NS + int(at_s * SECOND_NS)


def _tick(at_ns: int) -> int:
    """Return the first tick at or after `at_ns`."""
    return -((START_NS - at_ns) // TICK_NS)
