from __future__ import annotations

import pytest

from router.rollout.outcome import Outcome
from tests.rollout.simulator import START_NS, TICK_NS, Court, idle, refuse, seconds, state
from tests.texts import golden


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
    court = Court()
    court.version.answer(good)
    court.version.fail(bad)
    court.tick()
    result = court.result("hard_failure.errors")
    assert (result.state, result.failing, result.samples) == (expected, expected == "fail", good + bad)
    assert court.verdict.failing == (result if expected == "fail" else None)


def test_a_burst_tells_its_numbers() -> None:
    court = Court()
    court.run(3)
    court.version.fail(190)
    court.version.answer(10)
    for _ in range(20):
        court.tick()
    result = court.result("hard_failure.errors")
    assert (result.value, result.limit, result.samples, result.window_s) == (0.95, 0.9, 200, 2.0)
    assert result.reason == golden("verdict.burst")
    assert (result.action, result.distance, result.evidence_since_ns) == ("rollback", "acts now", seconds(3.1))


@pytest.mark.parametrize(("per_s", "within_s"), [(100.0, 2.0), (5.0, 2.5), (1.0, 11.0), (0.2, 25.0)])
def test_everything_fails(per_s: float, within_s: float) -> None:
    court = Court()
    court.run(30, per_s)
    begun_ns = court.now_ns
    verdict = court.run(60, per_s, faults=1.0)
    assert verdict is not None
    assert verdict.failing is not None
    assert verdict.failing.name == "hard_failure.errors"
    assert court.now_ns - begun_ns <= within_s * 10 * TICK_NS


def test_half_of_everything_is_no_hard_failure() -> None:
    court = Court()
    assert state(court, "errors") == "inconclusive"
    for _ in range(200):
        court.run(0.1, faults=0.5)
        assert state(court, "errors") != "fail"


# -- errors: streaks
@pytest.mark.parametrize(
    ("every_s", "faults", "expected"), [(2.5, 4, False), (2.4, 5, False), (2.5, 5, True), (2.4, 6, True)]
)
def test_streak_needs_five_faults_over_ten_seconds(every_s: float, faults: int, expected: bool) -> None:
    court = Court()
    for _ in range(faults):
        assert court.verdict.failing is None
        court.version.fail(1)
        court.tick()
        if _ < faults - 1:
            idle(court, every_s - 0.1)
    assert (court.verdict.failing is not None) is expected
    if expected:
        result = court.result("hard_failure.errors")
        assert (result.value, result.limit, result.evidence_since_ns) == (float(faults), 5.0, seconds(0.1))


def test_a_response_that_begins_ends_the_streak() -> None:
    court = Court()
    for number in range(9):
        court.version.fail(1)
        idle(court, 2.5)
        if number == 4 - 1:
            court.version.answer(1, Outcome.CLIENT_ERROR)
            idle(court, 0.1)
        assert (court.verdict.failing is not None) is (number >= 8)


def test_streams_that_break_after_arrivals_have_ended_are_no_streak() -> None:
    """5 % of long streams fail; no new one comes; their ends alone must not look like faults in a row."""
    court = Court()
    court.version.begin(1_200)
    court.tick()
    for _ in range(60):
        court.version.end(Outcome.OK, 19)
        court.version.end(Outcome.TRUNCATED, 1)
        idle(court, 1.0)
        assert court.verdict.failing is None


def test_a_single_fault_after_a_quiet_hour_is_nothing() -> None:
    court = Court()
    court.run(60)
    for _ in range(3_600):
        court.tick(after_s=1.0)
    court.version.fail(1)
    court.tick()
    assert court.verdict.failing is None
    assert court.verdict.pending is False


def test_an_old_streak_does_not_act_when_a_way_back_appears() -> None:
    court = Court()
    for _ in range(5):
        court.version.fail(1)
        idle(court, 2.5)
    assert state(court, "errors") == "fail"
    idle(court, 20)
    assert state(court, "errors") != "fail"


# -- errors: whose fault, and when
@pytest.mark.parametrize("outcome", [Outcome.CLIENT_ERROR, Outcome.THROTTLED])
def test_client_errors_are_no_faults(outcome: Outcome) -> None:
    court = Court()
    assert court.run(30, good=outcome) is None
    assert (state(court, "errors"), court.result("hard_failure.errors").value) == ("pass", 0.0)


def test_faults_from_before_the_promotion_do_not_count() -> None:
    """Rescues on a failing standby are no evidence against it once it is promoted."""
    court = Court()
    court.version.fail(500)
    idle(court, 2)
    court.promoted_at_ns = court.now_ns
    court.version.answer(1)
    idle(court, 1)
    assert state(court, "errors") == "pass"
    court.version.fail(10)
    court.tick()
    assert state(court, "errors") == "fail"


def test_faults_counted_while_we_stalled_do_not_count() -> None:
    court = Court()
    court.run(5)
    court.version.fail(900, Outcome.TIMED_OUT)
    court.tick(stalled=True)
    assert court.verdict.failing is None
    assert court.run(5) is None


def test_under_lasting_stalls_what_the_target_answered_still_counts() -> None:
    court = Court()
    for _ in range(5):
        court.version.fail(1, Outcome.SERVER_ERROR)
        court.version.fail(20, Outcome.TIMED_OUT)
        court.tick(stalled=True)
        idle(court, 2.4, stalled=True)
    assert court.result("hard_failure.errors").reason == (golden("verdict.in_a_row"))


# -- unreachable
@pytest.mark.parametrize(
    ("at_s", "expected"),
    [([0, 1.0], "pass"), ([0, 0.4, 0.9], "pass"), ([0, 0.5, 1.0], "fail"), ([0, 5.0, 9.0], "fail")],
)
def test_live_traffic_needs_three_refusals_over_a_second(at_s: list[float], expected: str) -> None:
    court = Court()
    court.run(2)
    refuse(court, at_s)
    assert state(court, "unreachable") == expected


def test_a_crash_under_load_is_unreachable_within_a_second_and_not_quarantined_for_errors() -> None:
    court = Court()
    court.promoted_at_ns = START_NS
    begun_ns = court.now_ns
    verdict = court.run(5, 200.0, faults=1.0, outcome=Outcome.CONNECT_FAILED)
    assert verdict is not None
    assert verdict.failing is not None
    assert (verdict.failing.name, verdict.failing.evidence_since_ns) == ("hard_failure.unreachable", seconds(0.1))
    assert court.now_ns - begun_ns == 11 * TICK_NS
    assert state(court, "errors") == "inconclusive"


def test_other_faults_beside_refusals_are_judged_as_errors_after_all() -> None:
    court = Court()
    court.version.fail(1, Outcome.CONNECT_FAILED)
    court.tick()
    for _ in range(25):
        court.version.fail(10, Outcome.TRUNCATED)
        court.tick()
    assert court.verdict.failing is not None
    assert court.verdict.failing.name == "hard_failure.errors"


def test_whoever_answers_is_not_unreachable() -> None:
    court = Court()
    refuse(court, [0, 0.5])
    court.version.fail(1, Outcome.SERVER_ERROR)
    refuse(court, [0.2, 0.5])
    assert state(court, "unreachable") != "fail"


@pytest.mark.parametrize(("for_s", "expected"), [(0.9, "pass"), (1.0, "fail")])
def test_one_refusal_and_the_probes_are_two_witnesses(for_s: float, expected: str) -> None:
    court = Court()
    court.run(2)
    court.probes_unreachable_since_ns = court.version.at_ns
    court.version.fail(1, Outcome.CONNECT_FAILED)
    court.tick()
    idle(court, for_s)
    assert state(court, "unreachable") == expected


@pytest.mark.parametrize(("for_s", "expected"), [(4.9, "pass"), (5.0, "fail")])
def test_probes_alone_need_five_seconds(for_s: float, expected: str) -> None:
    court = Court()
    court.probes_unreachable_since_ns = court.now_ns
    idle(court, for_s)
    result = court.result("hard_failure.unreachable")
    assert (result.state, result.value, result.limit) == (expected, pytest.approx(for_s), 5.0)


def test_probes_that_traffic_contradicts_say_nothing() -> None:
    court = Court()
    court.probes_unreachable_since_ns = court.now_ns
    assert court.run(10) is None
    assert state(court, "unreachable") == "pass"


def test_an_unwell_router_does_not_trust_refused_connections() -> None:
    court = Court()
    court.unwell = "out of descriptors"
    assert court.run(5, faults=1.0, outcome=Outcome.CONNECT_FAILED) is None
    assert (state(court, "unreachable"), state(court, "errors")) == ("inconclusive", "inconclusive")
    court.probes_unreachable_since_ns = court.now_ns
    court.tick()
    assert state(court, "unreachable") == "fail"


def test_an_unwell_router_still_sees_errors() -> None:
    court = Court()
    court.unwell = "a loop is late"
    court.version.fail(10)
    court.tick()
    assert state(court, "errors") == "fail"
