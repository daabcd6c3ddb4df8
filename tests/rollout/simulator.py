"""A version under load, in samples of 100 ms: says what happened, reads like the lanes, needs no clock."""

from __future__ import annotations

from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.baseline import Baseline, estimate
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import Rules
from router.rollout.judge.verdict import TriggerResult, Verdict
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats.histogram import BUCKETS, index
from router.rollout.stats.window import Sample
from router.rollout.units import SECOND_NS

START_NS = 1_000 * SECOND_NS
TICK_NS = SECOND_NS // 10


def seconds(at_s: float) -> int:
    """The simulator's time `at_s` seconds after its start."""
    return START_NS + round(at_s * SECOND_NS)


def normal(rate: float = 0.0, requests: int = 100_000, first_byte_ms: float = 5.0) -> Baseline:
    """A baseline with this rate whose answers all took `first_byte_ms`."""
    times = [0] * BUCKETS
    times[index(int(first_byte_ms * 1000))] = requests
    nothing = (0,) * BUCKETS
    return estimate(requests, rate * requests, 0.95, (tuple(times), tuple(times), nothing))


class Version:
    """One slot's cumulative counters; every call of `tick` is the next sample."""

    def __init__(self, incarnation: int = 1, at_ns: int = START_NS, role: int = 1) -> None:
        self.incarnation, self.at_ns, self.role = incarnation, at_ns, role
        self.claimed = self.begun = self.unbegun = self.rescued = self.abandoned_long = 0
        self.outcomes = [0] * len(OUTCOMES)
        self.last_begun_ns = 0
        self.times = [0] * BUCKETS
        self.durations = [0] * BUCKETS
        self.given_up = [0] * BUCKETS
        self.useful = [0] * BUCKETS
        self._ticks = 0

    def begin(self, number: int = 1, first_byte_ms: float = 5.0) -> None:
        self.claimed += number
        self.begun += number
        self.times[index(int(first_byte_ms * 1000))] += number
        if number:
            self.last_begun_ns = self.at_ns

    def end(self, outcome: Outcome, number: int = 1, duration_ms: float = 5.0) -> None:
        self.outcomes[outcome] += number
        self.durations[index(int(duration_ms * 1000))] += number

    def answer(self, number: int = 1, outcome: Outcome = Outcome.OK, first_byte_ms: float = 5.0) -> None:
        self.begin(number, first_byte_ms)
        self.end(outcome, number, first_byte_ms)

    def stream(self, number: int = 1, useful_ms: float = 5.0) -> None:
        """Event streams whose heads come at once, and whose first content comes after `useful_ms`."""
        self.begin(number, 1.0)
        self.useful[index(int(useful_ms * 1000))] += number
        self.end(Outcome.OK, number, useful_ms)

    def fail(self, number: int = 1, outcome: Outcome = Outcome.SERVER_ERROR) -> None:
        """Requests that fail before they begin."""
        self.claimed += number
        self.unbegun += number
        self.outcomes[outcome] += number

    def leave(self, number: int = 1, waited_s: float = 2.0) -> None:
        """Clients that give up on a first byte."""
        self.claimed += number
        self.outcomes[Outcome.CLIENT_GONE] += number
        self.given_up[index(int(waited_s * 1e6))] += number
        if waited_s >= 1:
            self.abandoned_long += number

    def sample(
        self,
        *,
        after_s: float = 0.1,
        waiting: int = 0,
        waiting_long: int = 0,
        oldest_ns: int = 0,
        stalled: bool = False,
    ) -> Sample:
        full = self._ticks % 10 == 0
        self._ticks += 1
        found = Sample(
            self.at_ns,
            self.incarnation,
            1,
            self.role,
            self.claimed,
            self.begun,
            self.unbegun,
            tuple(self.outcomes),
            self.rescued,
            self.abandoned_long,
            waiting,
            waiting_long,
            oldest_ns,
            self.last_begun_ns,
            0,
            stalled,
            tuple(self.times) if full else None,
            tuple(self.durations) if full else None,
            tuple(self.given_up) if full else None,
            tuple(self.useful) if full else None,
        )
        self.at_ns += round(after_s * SECOND_NS)
        return found


class JudgeHarness:
    """A judge, an active version in slot 0, and the time that passes between them."""

    def __init__(
        self,
        rules: Rules | None = None,
        baseline: Baseline | None = None,
        first_byte_timeout_s: float = 120.0,
        acceptance: Acceptance | None = None,
    ) -> None:
        self.judge = Judge(rules or Rules(), first_byte_timeout_s, baseline, acceptance)
        self.version = Version()
        self.slot = 0
        self.promoted_at_ns = START_NS
        self.accepted = False
        self.probes_unreachable_since_ns: int | None = None
        self.unwell: str | None = None
        self.now_ns = START_NS
        self.kept: dict[str, list[Sample]] = {"tick": [], "second": [], "decade": []}
        self._owed = 0.0
        self._owed_faults = 0.0
        self.verdict = self.tick()

    def facts(self) -> JudgeInputs:
        return JudgeInputs(
            self.slot, None, self.promoted_at_ns, self.accepted, self.probes_unreachable_since_ns, self.unwell
        )

    def tick(self, **gauges: object) -> Verdict:
        """Sample, judge, and go on by 100 ms (`after_s`)."""
        sample = self.version.sample(**gauges)  # type: ignore[arg-type]
        for name in self.judge.observe(self.slot, sample):
            self.kept[name].append(sample)
        self.now_ns = sample.at_ns
        self.verdict = self.judge.evaluate(self.facts(), self.now_ns)
        return self.verdict

    def run(
        self,
        for_s: float,
        per_s: float = 100.0,
        faults: float = 0.0,
        outcome: Outcome = Outcome.SERVER_ERROR,
        first_byte_ms: float = 5.0,
        good: Outcome = Outcome.OK,
        *,
        go_on: bool = False,
    ) -> Verdict | None:
        """Let a steady load pass; return the first verdict that acts, or None. It ends there unless told to `go_on`."""
        for _ in range(round(for_s * 10)):
            self._owed += per_s / 10
            number = int(self._owed + 1e-9)
            self._owed -= number
            self._owed_faults += number * faults
            bad = int(self._owed_faults + 1e-9)
            self._owed_faults -= bad
            self.version.answer(number - bad, good, first_byte_ms)
            self.version.fail(bad, outcome)
            if self.tick().failing and not go_on:
                return self.verdict
        return self.verdict if self.verdict.failing else None

    def promote(self, version: Version, slot: int) -> None:
        """From here on `version` is the active one, in `slot`."""
        self.version, self.slot, self.promoted_at_ns, self.accepted = version, slot, self.now_ns, False

    def restart(self) -> None:
        """Replace the judge by a successor that is given what the wall keeps."""
        self.judge = Judge(Rules(), 120.0)
        sizes = {"tick": 200, "second": 90, "decade": 90}
        for name in ("decade", "tick", "second"):
            self.judge.restore(self.slot, name, self.kept[name][-sizes[name] :])

    def result(self, name: str) -> TriggerResult:
        return next(result for result in self.verdict.results if result.name == name)


def state(harness: JudgeHarness, detail: str) -> str:
    return harness.result(f"hard_failure.{detail}").state


def idle(harness: JudgeHarness, for_s: float, **gauges: object) -> None:
    for _ in range(round(for_s * 10)):
        harness.tick(**gauges)


def refuse(harness: JudgeHarness, at_s: list[float]) -> None:
    for tick in range(round(at_s[-1] * 10) + 1):
        if any(round(at * 10) == tick for at in at_s):
            harness.version.fail(1, Outcome.CONNECT_FAILED)
        harness.tick()


def wait(harness: JudgeHarness, for_s: float, waiting: int = 3, since_ns: int | None = None, **more: object) -> None:
    since_ns = harness.version.at_ns if since_ns is None else since_ns
    for _ in range(round(for_s * 10)):
        long = waiting if harness.version.at_ns - since_ns >= 10 * TICK_NS else 0
        harness.tick(waiting=waiting, waiting_long=long, oldest_ns=since_ns, **more)
