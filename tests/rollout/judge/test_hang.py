from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.judge.rules import HardFailureRule, Rules
from router.rollout.outcome import Outcome
from tests.rollout.simulator import Court, idle, refuse, state, wait


def quick_hang(**more: object) -> Rules:
    return Rules(hard_failure=replace(HardFailureRule(hang_after_s=10.0), **more))


@pytest.mark.parametrize(
    ("waiting", "for_s", "expected"), [(3, 10.0, "pass"), (3, 10.1, "fail"), (2, 30.0, "pass"), (50, 10.1, "fail")]
)
def test_hang_needs_three_waits_and_its_time(waiting: int, for_s: float, expected: str) -> None:
    court = Court(quick_hang())
    court.run(5)
    since_ns = court.version.at_ns
    wait(court, for_s, waiting)
    result = court.result("hard_failure.hang")
    assert (result.state, result.samples) == (expected, waiting)
    if expected == "fail":
        assert (result.value, result.limit, result.evidence_since_ns) == (10.0, 10.0, since_ns)


def test_clients_that_give_up_after_two_seconds_are_evidence() -> None:
    court = Court(quick_hang())
    court.run(5)
    for _ in range(4):
        wait(court, 2.0, 1)
        court.version.leave(1, 2.0)
        court.tick()
        assert court.verdict.failing is None
        idle(court, 0.4)
    wait(court, 0.2, 1)
    assert state(court, "hang") == "fail"
    assert court.result("hard_failure.hang").samples == 4


def test_timeouts_are_evidence() -> None:
    court = Court(quick_hang(), first_byte_timeout_s=4.0)
    court.run(5)
    for _ in range(2):
        wait(court, 4.0, 1)
        court.version.fail(1, Outcome.TIMED_OUT)
        court.tick()
    wait(court, 2.0, 1)
    assert court.result("hard_failure.hang").samples == 3
    assert state(court, "hang") == "fail"


def test_timeouts_shorter_than_a_long_wait_are_not() -> None:
    court = Court(quick_hang(), first_byte_timeout_s=0.5)
    for _ in range(30):
        wait(court, 0.4, 1)
        court.version.fail(1, Outcome.TIMED_OUT)
        court.tick()
    assert court.result("hard_failure.hang").samples == 0


def test_impatient_clients_before_a_quiet_spell_are_no_hang() -> None:
    """Three leave after 2 s, then nobody comes: nothing began for 10 s, but nobody waited for that either."""
    court = Court(quick_hang())
    court.run(5)
    wait(court, 2.0, 3)
    court.version.leave(3)
    idle(court, 30)
    assert court.verdict.failing is None
    wait(court, 2.0, 1)
    assert state(court, "hang") == "fail"  # but the next wait shows that it goes on
    court.version.answer(1)
    court.tick()
    assert state(court, "hang") != "fail"


def test_waits_a_quiet_minute_apart_are_two_stretches() -> None:
    court = Court(quick_hang())
    wait(court, 2.0, 3)
    court.version.leave(3)
    idle(court, 61)
    wait(court, 2.0, 1)
    assert (state(court, "hang"), court.result("hard_failure.hang").samples) == ("pass", 1)


def test_the_first_waits_after_a_quiet_hour_are_no_hang() -> None:
    court = Court(quick_hang())
    court.run(5)
    for _ in range(3_600):
        court.tick(after_s=1.0)
    wait(court, 5.0, 10)
    assert state(court, "hang") == "pass"


def test_a_response_that_begins_ends_the_hang_of_those_that_wait_on() -> None:
    court = Court(quick_hang())
    since_ns = court.version.at_ns
    for _ in range(8):
        wait(court, 9.0, 5, since_ns)
        court.version.answer(1)
        wait(court, 0.1, 5, since_ns)
        assert court.verdict.failing is None


@pytest.mark.parametrize(
    ("p99_ms", "expected_s"), [(100, 10.0), (4_095, 12.3), (10_000, 30.0), (30_000, 50.0)], ids=str
)
def test_hang_after_is_three_times_the_p99_within_its_bounds(p99_ms: float, expected_s: float) -> None:
    court = Court()
    court.run(31, first_byte_ms=p99_ms)
    assert court.result("hard_failure.hang").limit == pytest.approx(expected_s, rel=0.07)


@pytest.mark.parametrize(("answers", "expected_s"), [(99, 50.0), (100, 10.0)])
def test_hang_after_needs_a_hundred_samples(answers: int, expected_s: float) -> None:
    court = Court()
    court.version.answer(answers)
    idle(court, 31)
    assert court.result("hard_failure.hang").limit == expected_s


@pytest.mark.parametrize(("for_s", "expected_s"), [(29.9, 50.0), (30.0, 10.0)])
def test_hang_after_is_the_longest_during_the_warm_up(for_s: float, expected_s: float) -> None:
    court = Court()
    court.run(for_s)
    assert court.result("hard_failure.hang").limit == expected_s


def test_hang_after_is_the_first_byte_timeout_at_first_if_that_is_shorter() -> None:
    court = Court(first_byte_timeout_s=20.0)
    court.run(1)
    assert court.result("hard_failure.hang").limit == 20.0


def test_a_stall_of_ours_is_no_hang_unless_the_probes_confirm_it() -> None:
    court = Court(quick_hang())
    court.run(5)
    wait(court, 20, 5, stalled=True)
    assert court.verdict.failing is None
    court.probes_unreachable_since_ns = court.now_ns
    court.tick(waiting=5, waiting_long=5, stalled=True)
    assert state(court, "hang") == "fail"


def test_the_time_that_we_slept_is_no_part_of_a_hang() -> None:
    court = Court(quick_hang())
    court.run(5)
    since_ns = court.version.at_ns
    wait(court, 20, 5, since_ns, stalled=True)
    for _ in range(99):
        wait(court, 0.1, 5, since_ns)
        assert court.verdict.failing is None
    wait(court, 0.3, 5, since_ns)
    assert state(court, "hang") == "fail"


def test_an_unwell_router_needs_the_probes_to_confirm() -> None:
    court = Court(quick_hang())
    court.unwell = "1.5 % of exchanges ended by our own fault"
    refuse(court, [0, 0.5, 1.0])
    wait(court, 10.1, 5)
    hang, unreachable = court.result("hard_failure.hang"), court.result("hard_failure.unreachable")
    assert (hang.state, unreachable.state) == ("inconclusive", "inconclusive")
    assert hang.reason.endswith(", but 1.5 % of exchanges ended by our own fault")
    court.probes_unreachable_since_ns = court.now_ns
    wait(court, 1.1, 5)
    assert state(court, "hang") == "fail"
