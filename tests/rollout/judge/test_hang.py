from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.judge.rules import HardFailureRule, Rules
from router.rollout.outcome import Outcome
from tests.rollout.simulator import JudgeHarness, idle, refuse, state, wait


def quick_hang(**more: object) -> Rules:
    return Rules(hard_failure=replace(HardFailureRule(hang_after_s=10.0), **more))


@pytest.mark.parametrize(
    ("waiting", "for_s", "expected"), [(3, 10.0, "pass"), (3, 10.1, "fail"), (2, 30.0, "pass"), (50, 10.1, "fail")]
)
def test_hang_needs_three_waits_and_its_time(waiting: int, for_s: float, expected: str) -> None:
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    since_ns = harness.version.at_ns
    wait(harness, for_s, waiting)
    result = harness.result("hard_failure.hang")
    assert (result.state, result.samples) == (expected, waiting)
    if expected == "fail":
        assert (result.value, result.limit, result.evidence_since_ns) == (10.0, 10.0, since_ns)


def test_clients_that_give_up_after_two_seconds_are_evidence() -> None:
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    for _ in range(4):
        wait(harness, 2.0, 1)
        harness.version.leave(1, 2.0)
        harness.tick()
        assert harness.verdict.failing is None
        idle(harness, 0.4)
    wait(harness, 0.2, 1)
    assert state(harness, "hang") == "fail"
    assert harness.result("hard_failure.hang").samples == 4


def test_timeouts_are_evidence() -> None:
    harness = JudgeHarness(quick_hang(), first_byte_timeout_s=4.0)
    harness.run(5)
    for _ in range(2):
        wait(harness, 4.0, 1)
        harness.version.fail(1, Outcome.TIMED_OUT)
        harness.tick()
    wait(harness, 2.0, 1)
    assert harness.result("hard_failure.hang").samples == 3
    assert state(harness, "hang") == "fail"


def test_timeouts_shorter_than_a_long_wait_are_not() -> None:
    harness = JudgeHarness(quick_hang(), first_byte_timeout_s=0.5)
    for _ in range(30):
        wait(harness, 0.4, 1)
        harness.version.fail(1, Outcome.TIMED_OUT)
        harness.tick()
    assert harness.result("hard_failure.hang").samples == 0


def test_impatient_clients_before_a_quiet_spell_are_no_hang() -> None:
    """Three leave after 2 s, then nobody comes: nothing began for 10 s, but nobody waited for that either."""
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    wait(harness, 2.0, 3)
    harness.version.leave(3)
    idle(harness, 30)
    assert harness.verdict.failing is None
    wait(harness, 2.0, 1)
    assert state(harness, "hang") == "fail"  # but the next wait shows that it goes on
    harness.version.answer(1)
    harness.tick()
    assert state(harness, "hang") != "fail"


def test_waits_a_quiet_minute_apart_are_two_stretches() -> None:
    harness = JudgeHarness(quick_hang())
    wait(harness, 2.0, 3)
    harness.version.leave(3)
    idle(harness, 61)
    wait(harness, 2.0, 1)
    assert (state(harness, "hang"), harness.result("hard_failure.hang").samples) == ("pass", 1)


def test_the_first_waits_after_a_quiet_hour_are_no_hang() -> None:
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    for _ in range(3_600):
        harness.tick(after_s=1.0)
    wait(harness, 5.0, 10)
    assert state(harness, "hang") == "pass"


def test_a_response_that_begins_ends_the_hang_of_those_that_wait_on() -> None:
    harness = JudgeHarness(quick_hang())
    since_ns = harness.version.at_ns
    for _ in range(8):
        wait(harness, 9.0, 5, since_ns)
        harness.version.answer(1)
        wait(harness, 0.1, 5, since_ns)
        assert harness.verdict.failing is None


@pytest.mark.parametrize(
    ("p99_ms", "expected_s"), [(100, 10.0), (4_095, 12.3), (10_000, 30.0), (30_000, 90.0)], ids=str
)
def test_hang_after_is_three_times_the_p99_and_at_least_its_lower_bound(p99_ms: float, expected_s: float) -> None:
    harness = JudgeHarness()
    harness.run(31, first_byte_ms=p99_ms)
    assert harness.result("hard_failure.hang").limit == pytest.approx(expected_s, rel=0.07)


@pytest.mark.parametrize(("answers", "expected_s"), [(99, 50.0), (100, 10.0)])
def test_hang_after_needs_a_hundred_samples(answers: int, expected_s: float) -> None:
    harness = JudgeHarness()
    harness.version.answer(answers)
    idle(harness, 31)
    assert harness.result("hard_failure.hang").limit == expected_s


def test_hang_after_is_the_first_byte_timeout_at_first_if_that_is_shorter() -> None:
    harness = JudgeHarness(first_byte_timeout_s=20.0)
    harness.run(0.9)
    assert harness.result("hard_failure.hang").limit == 20.0


def test_a_stall_of_ours_is_no_hang_unless_the_probes_confirm_it() -> None:
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    wait(harness, 20, 5, stalled=True)
    assert harness.verdict.failing is None
    harness.probes_unreachable_since_ns = harness.now_ns
    harness.tick(waiting=5, waiting_long=5, stalled=True)
    assert state(harness, "hang") == "fail"


def test_the_time_that_we_slept_is_no_part_of_a_hang() -> None:
    harness = JudgeHarness(quick_hang())
    harness.run(5)
    since_ns = harness.version.at_ns
    wait(harness, 20, 5, since_ns, stalled=True)
    for _ in range(99):
        wait(harness, 0.1, 5, since_ns)
        assert harness.verdict.failing is None
    wait(harness, 0.3, 5, since_ns)
    assert state(harness, "hang") == "fail"


def test_an_unwell_router_needs_the_probes_to_confirm() -> None:
    harness = JudgeHarness(quick_hang())
    harness.unwell = "1.5 % of exchanges ended by our own fault"
    refuse(harness, [0, 0.5, 1.0])
    wait(harness, 10.1, 5)
    hang, unreachable = harness.result("hard_failure.hang"), harness.result("hard_failure.unreachable")
    assert (hang.state, unreachable.state) == ("inconclusive", "inconclusive")
    assert hang.reason.endswith(", but 1.5 % of exchanges ended by our own fault")
    harness.probes_unreachable_since_ns = harness.now_ns
    wait(harness, 1.1, 5)
    assert state(harness, "hang") == "fail"
