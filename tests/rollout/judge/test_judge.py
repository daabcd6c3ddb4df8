from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rollout.judge.criteria import Acceptance
from router.rollout.judge.judge import Judge, JudgeInputs
from router.rollout.judge.rules import ErrorRateRule, HardFailureRule, LatencyRule, Rules
from router.rollout.judge.verdict import Verdict
from router.rollout.outcome import FAULTS, Outcome
from router.rollout.stats.window import SECOND_NS
from tests.rollout.simulator import START_NS, Court, Version, normal, seconds
from tests.texts import golden

NEVER = Rules(hard_failure=HardFailureRule(hang_after_s=10.0))


# -- verdicts
def test_without_an_active_version_there_is_nothing_to_judge() -> None:
    judge = Judge(Rules(), 120.0)
    assert judge.evaluate(JudgeInputs(None, None, 0, False), START_NS) == Verdict("inconclusive", ())
    assert judge.evaluate(JudgeInputs(3, None, 0, False), START_NS) == Verdict("inconclusive", ())


def test_the_results_and_their_order() -> None:
    court = Court()
    court.run(5)
    assert [result.name for result in court.verdict.results] == [
        "hard_failure.unreachable",
        "hard_failure.errors",
        "hard_failure.hang",
        "error_rate",
        "latency",
    ]
    assert court.verdict.state == "pass"


def test_without_traffic_it_is_inconclusive() -> None:
    court = Court()
    for _ in range(50):
        court.tick()
    assert (court.verdict.state, court.verdict.pending) == ("inconclusive", False)
    assert [result.state for result in court.verdict.results] == ["inconclusive"] * 4 + ["not_configured"]


@pytest.mark.parametrize("action", ["ask", "observe"])
def test_a_trigger_that_may_not_act_is_only_observed(action: str) -> None:
    court = Court(Rules(hard_failure=HardFailureRule(action=action)))  # type: ignore[arg-type]
    court.version.fail(10)
    court.tick()
    assert (court.verdict.state, court.verdict.failing) == ("pass", None)
    assert [(result.name, result.action) for result in court.verdict.observing] == [("hard_failure.errors", action)]


def test_a_result_is_plain_data() -> None:
    court = Court()
    court.version.fail(10)
    court.tick()
    assert court.verdict.failing is not None
    assert court.verdict.failing.as_dict() == {
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
    court = Court()
    other = Version(incarnation=9)
    for _ in range(100):
        other.fail(50)
        court.judge.observe(1, other.sample())
        court.version.answer(10)
        assert court.tick().failing is None


def test_a_streak_of_another_slot_is_no_evidence() -> None:
    court = Court()
    other = Version(incarnation=9)
    for tick in range(300):
        other.fail(tick % 20 == 0)
        other.leave(tick % 20 == 10)
        court.judge.observe(1, other.sample())
        assert court.tick().failing is None
    assert court.result("hard_failure.errors").samples == 0
    assert court.result("hard_failure.hang").samples == 0


def test_going_back_judges_the_old_version_anew() -> None:
    """What the standby did by rescues, or in an earlier term of office, is not held against it."""
    court = Court()
    first = court.version
    court.run(5, faults=0.5)
    court.promote(Version(incarnation=2, at_ns=court.version.at_ns), slot=1)
    court.run(5)
    first.at_ns = court.version.at_ns
    first.fail(300)
    court.promote(first, slot=0)
    court.promoted_at_ns = first.at_ns
    assert court.run(30) is None
    assert court.result("error_rate").value == 0.0


def test_a_new_incarnation_in_the_same_slot_starts_with_nothing() -> None:
    court = Court()
    court.run(10, faults=0.8)
    court.promote(Version(incarnation=2, at_ns=court.version.at_ns), slot=0)
    assert court.run(30) is None
    assert court.result("error_rate").value == 0.0


# -- acceptance
def test_a_version_is_accepted_after_ten_minutes_and_five_hundred_requests() -> None:
    court = Court()
    court.run(599.8, 10.0, faults=0.01)
    assert court.verdict.accepted is None
    court.run(0.2, 10.0, faults=0.01)
    baseline = court.verdict.accepted
    assert baseline is not None
    assert (baseline.requests, baseline.faults) == (6_000, 60)
    assert court.judge.baseline == baseline
    assert sum(baseline.first_byte) == pytest.approx(0.99 * 10 * 570, rel=0.01)  # not those of the warm-up
    court.tick()
    assert court.verdict.accepted is None


@pytest.mark.parametrize(("requests", "accepted"), [(499, False), (500, True)])
def test_acceptance_needs_requests(requests: int, accepted: bool) -> None:
    court = Court(acceptance=Acceptance(after_s=10.0))
    court.version.answer(requests)
    for _ in range(100):
        court.tick()
    assert (court.verdict.accepted is not None) is accepted


def test_a_failing_trigger_begins_the_time_again() -> None:
    court = Court(acceptance=Acceptance(after_s=60.0))
    court.run(50)
    assert court.run(5, faults=1.0, go_on=True) is not None
    court.run(59, go_on=True)
    assert court.judge.acceptance(court.now_ns)[1] < 59
    assert court.judge.baseline is None
    court.run(150, go_on=True)
    assert court.judge.baseline is not None
    assert court.judge.baseline.faults < 100  # those of the failure are not part of normal


def test_nothing_is_accepted_while_a_verdict_is_pending() -> None:
    court = Court(Rules(latency=LatencyRule(slo_ms=100.0)), acceptance=Acceptance(after_s=60.0))
    court.run(100, first_byte_ms=200.0)
    assert (court.verdict.pending, court.judge.baseline) == (True, None)


def test_acceptance_can_be_watched() -> None:
    court = Court()
    court.run(12, 10.0)
    assert court.judge.acceptance(court.now_ns) == (120, pytest.approx(12.0))


def test_a_version_surely_worse_than_normal_does_not_become_the_normal_at_once() -> None:
    court = Court(acceptance=Acceptance(after_s=60.0), baseline=normal(0.001))
    known = court.judge.baseline
    court.run(61, faults=0.01)
    assert court.judge.baseline == known
    court = Court(acceptance=Acceptance(after_s=60.0), baseline=normal(0.02))
    court.run(61, faults=0.01)
    assert court.judge.baseline is not None
    assert court.judge.baseline.rate == pytest.approx(0.01)


def test_an_accepted_version_is_estimated_anew_each_day() -> None:
    court = Court(baseline=normal(0.001))
    court.accepted = True
    for minute in range(24 * 60 + 2):
        court.version.answer(99)
        court.version.fail(1)
        court.tick(after_s=1.0)
        for _ in range(59 if minute < 1 else 0):
            court.tick(after_s=1.0)
        court.version.at_ns += 0 if minute < 1 else 59 * SECOND_NS
        if court.verdict.accepted is not None:
            break
    assert court.now_ns - START_NS == pytest.approx(86_400 * SECOND_NS, rel=0.01)


# -- restarts of control
def test_a_restarted_judge_goes_on_with_the_past_it_is_given() -> None:
    court = Court()
    court.run(100, faults=0.03)
    before = court.verdict
    court.restart()
    after = court.judge.evaluate(court.facts(), court.now_ns)
    assert after.results == before.results


def test_a_streak_goes_on_across_a_restart() -> None:
    court = Court()
    for tick in range(110):
        if tick == 90:
            court.restart()
        court.version.fail(1 if tick % 25 == 0 else 0)
        court.tick()
    assert court.verdict.failing is not None
    assert court.verdict.failing.samples == 5


def test_the_time_in_which_control_was_dead_is_left_out() -> None:
    court = Court()
    court.run(20)
    court.version.at_ns += 30 * SECOND_NS
    court.version.fail(5_000, Outcome.TIMED_OUT)
    assert court.run(10) is None
    assert court.result("error_rate").value == 0.0


# -- for others
def test_share_of_faults_for_the_gate() -> None:
    court = Court()
    assert court.judge.share_of_faults(5, 20.0, court.now_ns) is None
    court.version.answer(3)
    court.version.fail(1)
    court.tick()
    assert court.judge.share_of_faults(0, 20.0, court.now_ns) == (0.25, 4)


def test_reconfigured_rules_apply_at_the_next_tick() -> None:
    court = Court()
    court.version.fail(5)
    court.tick()
    assert court.verdict.failing is None
    court.judge.reconfigure(Rules(hard_failure=HardFailureRule(burst_faults_min=5)), 120.0)
    court.tick()
    assert court.verdict.failing is not None


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


def happen(court: Court, event: str, number: int) -> None:
    version = court.version
    if event in ("ok", "client_error", "throttled"):
        version.answer(number, Outcome[event.upper()])
    elif event == "gone":
        version.leave(number, 0.05)  # before the objective: a wait beyond it would be a late answer
    elif event == "stream":
        version.begin(number)
    elif event != "idle":
        version.claimed += number
        version.outcomes[Outcome[event.upper()]] += number
    court.tick()


HASTY = Rules(
    error_rate=ErrorRateRule(sustained_s=0.0), latency=LatencyRule(slo_ms=100.0, sustained_s=0.0), warmup_s=0.0
)


@settings(max_examples=30)
@given(EVENTS)
def test_without_a_fault_of_the_target_nothing_ever_fails(events: list[tuple[str, int]]) -> None:
    court = Court(HASTY)
    for event, number in events:
        happen(court, event, number)
        assert not court.verdict.pending


@settings(max_examples=30)
@given(EVENTS, st.lists(st.sampled_from([0] * 9 + [1]), max_size=80), st.sampled_from([int(o) for o in FAULTS]))
def test_fewer_faults_than_any_limit_never_fail(events: list[tuple[str, int]], faults: list[int], outcome: int) -> None:
    """Four faults are below every minimum; two refused connections below that of `unreachable`."""
    court = Court(HASTY)
    left = 2 if outcome == Outcome.CONNECT_FAILED else 4
    for position, (event, number) in enumerate(events):
        if left and position < len(faults) and faults[position]:
            court.version.fail(1, Outcome(outcome))
            left -= 1
        happen(court, event, number)
        assert not court.verdict.pending
