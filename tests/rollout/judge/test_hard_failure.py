from __future__ import annotations

import pytest

from router.rollout.judge.rules import Rules
from router.rollout.outcome import Outcome
from tests.rollout.simulator import START_NS, TICK_NS, JudgeHarness, idle, refuse, seconds, state
from tests.texts import golden

AT_ONCE = Rules(forgive_s=0.0)
"""For the limits of a burst: all of it happens within one sample."""


# -- errors: bursts
@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (0, 9, "pass"),
        (0, 10, "fail"),
        (1, 9, "pass"),
        (1, 10, "fail"),
        (2, 17, "pass"),  # 89.5 %
        (2, 18, "fail"),  # 90 %
        (100, 890, "pass"),
        (100, 900, "fail"),
    ],
)
def test_burst_needs_ten_faults_and_nine_in_ten(good: int, bad: int, expected: str) -> None:
    harness = JudgeHarness(AT_ONCE)
    harness.version.answer(good)
    harness.version.fail(bad)
    harness.tick()
    result = harness.result("hard_failure.errors")
    assert (result.state, result.failing, result.samples) == (expected, expected == "fail", good + bad)
    assert harness.verdict.failing == (result if expected == "fail" else None)


def test_a_burst_has_its_numbers() -> None:
    harness = JudgeHarness(AT_ONCE)
    harness.run(3)
    harness.version.fail(190)
    harness.version.answer(10)
    for _ in range(20):
        harness.tick()
    result = harness.result("hard_failure.errors")
    assert (result.value, result.limit, result.samples, result.window_s) == (0.95, 0.9, 200, 2.0)
    assert result.reason == golden("verdict.burst")
    assert (result.action, result.distance, result.evidence_since_ns) == ("rollback", "acts now", seconds(3.1))


@pytest.mark.parametrize(("per_s", "within_s"), [(100.0, 2.5), (5.0, 3.0), (1.0, 11.0), (0.2, 25.0)])
def test_everything_fails(per_s: float, within_s: float) -> None:
    harness = JudgeHarness()
    harness.run(30, per_s)
    begun_ns = harness.now_ns
    verdict = harness.run(60, per_s, faults=1.0)
    assert verdict is not None
    assert verdict.failing is not None
    assert verdict.failing.name == "hard_failure.errors"
    assert harness.now_ns - begun_ns <= within_s * 10 * TICK_NS


def test_half_of_everything_is_no_hard_failure() -> None:
    harness = JudgeHarness()
    assert state(harness, "errors") == "inconclusive"
    for _ in range(200):
        harness.run(0.1, faults=0.5)
        assert state(harness, "errors") != "fail"


# -- errors: streaks
@pytest.mark.parametrize(
    ("every_s", "faults", "expected"), [(2.5, 4, False), (2.4, 5, False), (2.5, 5, True), (2.4, 6, True)]
)
def test_streak_needs_five_faults_over_ten_seconds(every_s: float, faults: int, expected: bool) -> None:
    harness = JudgeHarness()
    for _ in range(faults):
        assert harness.verdict.failing is None
        harness.version.fail(1)
        harness.tick()
        if _ < faults - 1:
            idle(harness, every_s - 0.1)
    assert (harness.verdict.failing is not None) is expected
    if expected:
        result = harness.result("hard_failure.errors")
        assert (result.value, result.limit, result.evidence_since_ns) == (float(faults), 5.0, seconds(0.1))


def test_a_response_that_begins_ends_the_streak() -> None:
    harness = JudgeHarness()
    for number in range(9):
        harness.version.fail(1)
        idle(harness, 2.5)
        if number == 4 - 1:
            harness.version.answer(1, Outcome.CLIENT_ERROR)
            idle(harness, 0.1)
        assert (harness.verdict.failing is not None) is (number >= 8)


def test_streams_that_break_after_arrivals_have_ended_are_no_streak() -> None:
    """5 % of long streams fail; no new one comes; their ends alone must not look like faults in a row."""
    harness = JudgeHarness()
    harness.version.begin(1_200)
    harness.tick()
    for _ in range(60):
        harness.version.end(Outcome.OK, 19)
        harness.version.end(Outcome.TRUNCATED, 1)
        idle(harness, 1.0)
        assert harness.verdict.failing is None


def test_a_single_fault_after_a_quiet_hour_is_nothing() -> None:
    harness = JudgeHarness()
    harness.run(60)
    for _ in range(3_600):
        harness.tick(after_s=1.0)
    harness.version.fail(1)
    harness.tick()
    assert harness.verdict.failing is None
    assert harness.verdict.pending is False


def test_an_old_streak_does_not_act_when_a_standby_appears() -> None:
    harness = JudgeHarness()
    for _ in range(5):
        harness.version.fail(1)
        idle(harness, 2.5)
    assert state(harness, "errors") == "fail"
    idle(harness, 20)
    assert state(harness, "errors") != "fail"


# -- errors: whose fault, and when
@pytest.mark.parametrize("outcome", [Outcome.CLIENT_ERROR, Outcome.THROTTLED])
def test_client_errors_are_no_faults(outcome: Outcome) -> None:
    harness = JudgeHarness()
    assert harness.run(30, good=outcome) is None
    assert (state(harness, "errors"), harness.result("hard_failure.errors").value) == ("pass", 0.0)


def test_faults_from_before_the_promotion_do_not_count() -> None:
    """Rescues on a failing standby are no evidence against it once it is promoted."""
    harness = JudgeHarness(AT_ONCE)
    harness.version.fail(500)
    idle(harness, 2)
    harness.promoted_at_ns = harness.now_ns
    harness.version.answer(1)
    idle(harness, 1)
    assert state(harness, "errors") == "pass"
    harness.version.fail(10)
    harness.tick()
    assert state(harness, "errors") == "fail"


def test_faults_counted_while_we_stalled_do_not_count() -> None:
    harness = JudgeHarness()
    harness.run(5)
    harness.version.fail(900, Outcome.TIMED_OUT)
    harness.tick(stalled=True)
    assert harness.verdict.failing is None
    assert harness.run(5) is None


def test_under_lasting_stalls_what_the_target_answered_still_counts() -> None:
    harness = JudgeHarness()
    for _ in range(5):
        harness.version.fail(1, Outcome.SERVER_ERROR)
        harness.version.fail(20, Outcome.TIMED_OUT)
        harness.tick(stalled=True)
        idle(harness, 2.4, stalled=True)
    assert harness.result("hard_failure.errors").reason == (golden("verdict.in_a_row"))


# -- unreachable
@pytest.mark.parametrize(
    ("at_s", "expected"),
    [([0, 1.0], "pass"), ([0, 0.4, 0.9], "pass"), ([0, 0.5, 1.0], "fail"), ([0, 5.0, 9.0], "fail")],
)
def test_live_traffic_needs_three_refusals_over_a_second(at_s: list[float], expected: str) -> None:
    harness = JudgeHarness()
    harness.run(2)
    refuse(harness, at_s)
    assert state(harness, "unreachable") == expected


def test_a_crash_under_load_is_unreachable_within_a_second_and_not_quarantined_for_errors() -> None:
    harness = JudgeHarness()
    harness.promoted_at_ns = START_NS
    begun_ns = harness.now_ns
    verdict = harness.run(5, 200.0, faults=1.0, outcome=Outcome.CONNECT_FAILED)
    assert verdict is not None
    assert verdict.failing is not None
    assert (verdict.failing.name, verdict.failing.evidence_since_ns) == ("hard_failure.unreachable", seconds(0.1))
    assert harness.now_ns - begun_ns == 11 * TICK_NS
    assert state(harness, "errors") == "pass"


def test_other_faults_beside_refusals_are_judged_as_errors_after_all() -> None:
    harness = JudgeHarness()
    harness.version.fail(1, Outcome.CONNECT_FAILED)
    harness.tick()
    for _ in range(25):
        harness.version.fail(10, Outcome.TRUNCATED)
        harness.tick()
    assert harness.verdict.failing is not None
    assert harness.verdict.failing.name == "hard_failure.errors"


def test_a_target_that_answers_is_not_unreachable() -> None:
    harness = JudgeHarness()
    refuse(harness, [0, 0.5])
    harness.version.fail(1, Outcome.SERVER_ERROR)
    refuse(harness, [0.2, 0.5])
    assert state(harness, "unreachable") != "fail"


@pytest.mark.parametrize(("for_s", "expected"), [(0.9, "pass"), (1.0, "fail")])
def test_one_refusal_and_the_probes_are_two_witnesses(for_s: float, expected: str) -> None:
    harness = JudgeHarness()
    harness.run(2)
    harness.probes_unreachable_since_ns = harness.version.at_ns
    harness.version.fail(1, Outcome.CONNECT_FAILED)
    harness.tick()
    idle(harness, for_s)
    assert state(harness, "unreachable") == expected


@pytest.mark.parametrize(("for_s", "expected"), [(4.9, "pass"), (5.0, "fail")])
def test_probes_alone_need_five_seconds(for_s: float, expected: str) -> None:
    harness = JudgeHarness()
    harness.probes_unreachable_since_ns = harness.now_ns
    idle(harness, for_s)
    result = harness.result("hard_failure.unreachable")
    assert (result.state, result.value, result.limit) == (expected, pytest.approx(for_s), 5.0)


def test_probes_that_traffic_contradicts_say_nothing() -> None:
    harness = JudgeHarness()
    harness.probes_unreachable_since_ns = harness.now_ns
    assert harness.run(10) is None
    assert state(harness, "unreachable") == "pass"


def test_an_unwell_router_does_not_trust_refused_connections() -> None:
    harness = JudgeHarness()
    harness.unwell = "out of descriptors"
    assert harness.run(5, faults=1.0, outcome=Outcome.CONNECT_FAILED) is None
    assert (state(harness, "unreachable"), state(harness, "errors")) == ("inconclusive", "inconclusive")
    harness.probes_unreachable_since_ns = harness.now_ns
    harness.tick()
    assert state(harness, "unreachable") == "fail"


def test_an_unwell_router_still_sees_errors() -> None:
    harness = JudgeHarness(AT_ONCE)
    harness.unwell = "a loop is late"
    harness.version.fail(10)
    harness.tick()
    assert state(harness, "errors") == "fail"
