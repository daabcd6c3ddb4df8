from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rollout.judge.active.judge_inputs import JudgeInputs
from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import ErrorRateRule, HardFailureRule, LatencyRule, Rules
from router.rollout.judge.verdict import Verdict
from router.rollout.outcome import FAULTS, Outcome
from router.rollout.units import SECOND_NS
from tests.example_counts import examples
from tests.rollout.simulator import START_NS, JudgeHarness, Version, normal, seconds
from tests.texts import golden

NEVER = Rules(hard_failure=HardFailureRule(hang_after_s=10.0))


# -- verdicts
def test_without_an_active_version_there_is_nothing_to_judge() -> None:
    judge = Judge(Rules(), 120.0)
    assert judge.evaluate(JudgeInputs(None, None, 0, False), START_NS) == Verdict("inconclusive", ())
    assert judge.evaluate(JudgeInputs(3, None, 0, False), START_NS) == Verdict("inconclusive", ())


def test_the_results_and_their_order() -> None:
    harness = JudgeHarness()
    harness.run(5)
    assert [result.name for result in harness.verdict.results] == [
        "hard_failure.unreachable",
        "hard_failure.errors",
        "hard_failure.hang",
        "hard_failure.no_progress",
        "hard_failure.useful_share",
        "hard_failure.probe",
        "error_rate",
        "latency",
    ]
    assert harness.verdict.state == "pass"


def test_without_traffic_it_is_inconclusive() -> None:
    harness = JudgeHarness()
    for _ in range(50):
        harness.tick()
    assert (harness.verdict.state, harness.verdict.pending) == ("inconclusive", False)
    assert [result.state for result in harness.verdict.results] == [
        *["inconclusive"] * 5,
        "not_configured",
        "inconclusive",
        "not_configured",
    ]


@pytest.mark.parametrize("action", ["ask", "observe"])
def test_a_trigger_that_may_not_act_is_only_observed(action: str) -> None:
    harness = JudgeHarness(Rules(hard_failure=HardFailureRule(action=action), forgive_s=0.0))  # type: ignore[arg-type]
    harness.version.fail(10)
    harness.tick()
    assert (harness.verdict.state, harness.verdict.failing) == ("pass", None)
    assert [(result.name, result.action) for result in harness.verdict.observing] == [("hard_failure.errors", action)]


def test_a_result_is_plain_data() -> None:
    harness = JudgeHarness(Rules(forgive_s=0.0))
    harness.version.fail(10)
    harness.tick()
    assert harness.verdict.failing is not None
    assert harness.verdict.failing.as_dict() == {
        "kind": "hard_failure",
        "detail": "errors",
        "state": "fail",
        "action": "rollback",
        "reason": golden("verdict.ten_of_ten"),
        "distance": "acts now",
        "failing": True,
        "value": 1.0,
        "limit": 0.9,
        "baseline": None,
        "samples": 10,
        "window_s": 2.0,
        "sustained_s": 0.0,
        "sustained_needed_s": 0.0,
        "evidence_since_ns": seconds(0.1),
    }


# -- whose past it is
def test_only_the_active_slot_is_judged() -> None:
    harness = JudgeHarness()
    other = Version(incarnation=9)
    for _ in range(100):
        other.fail(50)
        harness.judge.observe(1, other.sample())
        harness.version.answer(10)
        assert harness.tick().failing is None


def test_a_streak_of_another_slot_is_no_evidence() -> None:
    harness = JudgeHarness()
    other = Version(incarnation=9)
    for tick in range(300):
        other.fail(tick % 20 == 0)
        other.leave(tick % 20 == 10)
        harness.judge.observe(1, other.sample())
        assert harness.tick().failing is None
    assert harness.result("hard_failure.errors").samples == 0
    assert harness.result("hard_failure.hang").samples == 0


def test_going_back_judges_the_old_version_anew() -> None:
    """What the standby did by rescues, or in an earlier term of office, is not held against it."""
    harness = JudgeHarness()
    first = harness.version
    harness.run(5, faults=0.5)
    harness.promote(Version(incarnation=2, at_ns=harness.version.at_ns), slot=1)
    harness.run(5)
    first.at_ns = harness.version.at_ns
    first.fail(300)
    harness.promote(first, slot=0)
    harness.promoted_at_ns = first.at_ns
    assert harness.run(30) is None
    assert harness.result("error_rate").value == 0.0


def test_a_new_incarnation_in_the_same_slot_starts_with_nothing() -> None:
    harness = JudgeHarness()
    harness.run(10, faults=0.8)
    harness.promote(Version(incarnation=2, at_ns=harness.version.at_ns), slot=0)
    assert harness.run(30) is None
    assert harness.result("error_rate").value == 0.0


# -- acceptance
def test_a_version_is_accepted_after_ten_minutes_and_five_hundred_requests() -> None:
    harness = JudgeHarness()
    harness.run(599.8, 10.0, faults=0.01)
    assert harness.verdict.accepted is None
    harness.run(0.2, 10.0, faults=0.01)
    baseline = harness.verdict.accepted
    assert baseline is not None
    assert (baseline.requests, baseline.faults) == (6_000, 60)
    assert harness.judge.baseline == baseline
    assert sum(baseline.first_byte) == pytest.approx(0.99 * 10 * 570, rel=0.01)  # not those of the warm-up
    harness.tick()
    assert harness.verdict.accepted is None


@pytest.mark.parametrize(("requests", "accepted"), [(499, False), (500, True)])
def test_acceptance_needs_requests(requests: int, accepted: bool) -> None:
    harness = JudgeHarness(acceptance=Acceptance(after_s=10.0))
    harness.version.answer(requests)
    for _ in range(100):
        harness.tick()
    assert (harness.verdict.accepted is not None) is accepted


def test_a_failing_trigger_begins_the_time_again() -> None:
    harness = JudgeHarness(acceptance=Acceptance(after_s=60.0))
    harness.run(50)
    assert harness.run(5, faults=1.0, go_on=True) is not None
    harness.run(59, go_on=True)
    assert harness.judge.acceptance(harness.now_ns)[1] < 59
    assert harness.judge.baseline is None
    harness.run(150, go_on=True)
    assert harness.judge.baseline is not None
    assert harness.judge.baseline.faults < 100  # those of the failure are not part of normal


def test_nothing_is_accepted_while_a_verdict_is_pending() -> None:
    harness = JudgeHarness(Rules(latency=LatencyRule(slo_ms=100.0)), acceptance=Acceptance(after_s=60.0))
    harness.run(100, first_byte_ms=200.0)
    assert (harness.verdict.pending, harness.judge.baseline) == (True, None)


def test_acceptance_can_be_watched() -> None:
    harness = JudgeHarness()
    harness.run(12, 10.0)
    assert harness.judge.acceptance(harness.now_ns) == (120, pytest.approx(12.0))


def test_a_version_surely_worse_than_normal_does_not_become_the_normal_at_once() -> None:
    harness = JudgeHarness(acceptance=Acceptance(after_s=60.0), baseline=normal(0.001))
    known = harness.judge.baseline
    harness.run(61, faults=0.01)
    assert harness.judge.baseline == known
    harness = JudgeHarness(acceptance=Acceptance(after_s=60.0), baseline=normal(0.02))
    harness.run(61, faults=0.01)
    assert harness.judge.baseline is not None
    assert harness.judge.baseline.rate == pytest.approx(0.01)


def test_an_accepted_version_is_estimated_anew_each_day() -> None:
    harness = JudgeHarness(baseline=normal(0.001))
    harness.accepted = True
    for minute in range(24 * 60 + 2):
        harness.version.answer(99)
        harness.version.fail(1)
        harness.tick(after_s=1.0)
        for _ in range(59 if minute < 1 else 0):
            harness.tick(after_s=1.0)
        harness.version.at_ns += 0 if minute < 1 else 59 * SECOND_NS
        if harness.verdict.accepted is not None:
            break
    assert harness.now_ns - START_NS == pytest.approx(86_400 * SECOND_NS, rel=0.01)


# -- restarts of control
def test_a_restarted_judge_goes_on_with_the_past_it_is_given() -> None:
    harness = JudgeHarness()
    harness.run(100, faults=0.03)
    before = harness.verdict
    harness.restart()
    after = harness.judge.evaluate(harness.facts(), harness.now_ns)
    assert after.results == before.results


def test_a_streak_goes_on_across_a_restart() -> None:
    harness = JudgeHarness()
    for tick in range(110):
        if tick == 90:
            harness.restart()
        harness.version.fail(1 if tick % 25 == 0 else 0)
        harness.tick()
    assert harness.verdict.failing is not None
    assert harness.verdict.failing.samples == 5


def test_the_time_in_which_control_was_dead_is_left_out() -> None:
    harness = JudgeHarness()
    harness.run(20)
    harness.version.at_ns += 30 * SECOND_NS
    harness.version.fail(5_000, Outcome.TIMED_OUT)
    assert harness.run(10) is None
    assert harness.result("error_rate").value == 0.0


# -- for others
def test_share_of_faults_for_the_gate() -> None:
    harness = JudgeHarness()
    assert harness.judge.share_of_faults(5, 20.0, harness.now_ns) is None
    harness.version.answer(3)
    harness.version.fail(1)
    harness.tick()
    assert harness.judge.share_of_faults(0, 20.0, harness.now_ns) == (0.25, 4)


def test_reconfigured_rules_apply_at_the_next_tick() -> None:
    harness = JudgeHarness()
    harness.version.fail(5)
    harness.tick()
    assert harness.verdict.failing is None
    harness.judge.reconfigure(Rules(hard_failure=HardFailureRule(burst_faults_min=5), forgive_s=0.0), 120.0)
    harness.tick()
    assert harness.verdict.failing is not None


# -- what must hold whatever happens
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ok", "client_error", "throttled", "gone", "saturated", "cut", "router_fault", "stream", "idle"]
        ),
        st.integers(1, 60),
    ),
    max_size=60,
)


def happen(harness: JudgeHarness, event: str, number: int) -> None:
    version = harness.version
    if event in ("ok", "client_error", "throttled"):
        version.answer(number, Outcome[event.upper()])
    elif event == "gone":
        version.leave(number, 0.05)  # before the objective: a wait beyond it would be a late answer
    elif event == "stream":
        version.begin(number)
    elif event != "idle":
        version.claimed += number
        version.outcomes[Outcome[event.upper()]] += number
    harness.tick()


HASTY = Rules(
    error_rate=ErrorRateRule(sustained_s=0.0), latency=LatencyRule(slo_ms=100.0, sustained_s=0.0), warmup_s=0.0
)


@settings(max_examples=examples(30))
@given(EVENTS)
def test_without_a_fault_of_the_target_nothing_ever_fails(events: list[tuple[str, int]]) -> None:
    harness = JudgeHarness(HASTY)
    for event, number in events:
        happen(harness, event, number)
        assert not harness.verdict.pending


@settings(max_examples=examples(30))
@given(EVENTS, st.lists(st.sampled_from([0] * 9 + [1]), max_size=80), st.sampled_from([int(o) for o in FAULTS]))
def test_fewer_faults_than_any_limit_never_fail(events: list[tuple[str, int]], faults: list[int], outcome: int) -> None:
    """Four faults are below every minimum; two refused connections below that of `unreachable`."""
    harness = JudgeHarness(HASTY)
    left = 2 if outcome == Outcome.CONNECT_FAILED else 4
    for position, (event, number) in enumerate(events):
        if left and position < len(faults) and faults[position]:
            harness.version.fail(1, Outcome(outcome))
            left -= 1
        happen(harness, event, number)
        assert not harness.verdict.pending
