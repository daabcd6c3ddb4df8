from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from router.rollout.judge.rules import LatencyRule, Rules
from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import BUCKETS, index
from tests.rollout.simulator import JudgeHarness, normal
from tests.texts import golden

SLO = LatencyRule(slo_ms=100.0)
"""100 ms is 100,000 µs, in the bucket from 98,304 to 106,495: the tests stay clear of it."""
RULES = Rules(latency=SLO, warmup_s=0.0)


def once(
    early: int, late: int, harness: JudgeHarness | None = None, late_ms: float = 200.0, given_up: int = 0
) -> TriggerResult:
    """What latency says when these answers come within one second."""
    harness = harness or JudgeHarness(RULES)
    harness.version.answer(early, first_byte_ms=5)
    harness.version.answer(late, first_byte_ms=late_ms)
    harness.version.leave(given_up, 0.15)
    for _ in range(11):
        harness.tick()
    return harness.result("latency")


# -- boundaries
@pytest.mark.parametrize(
    ("early", "late", "expected"),
    [
        (0, 0, "inconclusive"),
        (0, 49, "inconclusive"),
        (47, 3, "fail"),
        (95, 5, "pass"),  # 5 % exactly
        (94, 6, "fail"),
        (9_500, 500, "pass"),
        (9_499, 501, "fail"),
    ],
)
def test_more_than_five_per_cent_late(early: int, late: int, expected: str) -> None:
    result = once(early, late)
    assert (result.state, result.samples) == (expected, early + late)


@pytest.mark.parametrize(("late", "expected"), [(96, "pass"), (97, "fail")])
def test_with_a_baseline_it_must_be_above_that_too(late: int, expected: str) -> None:
    """7 % of the baseline are late: 96 of 1,000 is not surely more, 97 is (99.9 %)."""
    baseline = normal(first_byte_ms=5.0, requests=930)
    times = list(baseline.first_byte)
    times[normal(first_byte_ms=200.0).first_byte.index(100_000)] = 70
    harness = JudgeHarness(RULES, replace(baseline, first_byte=tuple(times)))
    result = once(1_000 - late, late, harness)
    assert (result.state, result.baseline) == (expected, 0.07)


@pytest.mark.parametrize(("slo_on", "expected"), [("first_byte", "pass"), ("useful", "fail"), ("last_byte", "fail")])
def test_a_head_is_no_work(slo_on: Literal["first_byte", "useful", "last_byte"], expected: str) -> None:
    """The heads of all streams come at once, and the first content of 6 % of them after 200 ms."""
    harness = JudgeHarness(replace(RULES, latency=replace(SLO, slo_on=slo_on)))
    harness.version.stream(94)
    harness.version.stream(6, useful_ms=200.0)
    for _ in range(11):
        harness.tick()
    result = harness.result("latency")
    assert (result.state, result.samples) == (expected, 100)


@pytest.mark.parametrize(("slow", "expected"), [(70, "pass"), (0, "fail")])
def test_first_useful_bytes_are_compared_with_those_of_the_baseline(slow: int, expected: str) -> None:
    baseline, useful = normal(first_byte_ms=1.0, requests=1_000), [0] * BUCKETS
    useful[index(5_000)], useful[index(200_000)] = 1_000 - slow, slow
    rules = replace(RULES, latency=replace(SLO, slo_on="useful"))
    harness = JudgeHarness(rules, replace(baseline, first_useful=tuple(useful)))
    harness.version.stream(93)
    harness.version.stream(7, useful_ms=200.0)
    for _ in range(11):
        harness.tick()
    result = harness.result("latency")
    assert (result.state, result.baseline) == (expected, slow / 1_000)


def test_waits_given_up_after_the_objective_are_late() -> None:
    result = once(94, 0, given_up=6)
    assert (result.state, result.samples) == ("fail", 100)


def test_waits_given_up_before_the_objective_say_nothing() -> None:
    harness = JudgeHarness(RULES)
    harness.version.leave(500, 0.05)
    result = once(94, 6, harness)
    assert (result.state, result.samples) == ("fail", 100)


def test_failures_are_not_fast() -> None:
    harness = JudgeHarness(RULES)
    harness.version.fail(10_000)
    result = once(94, 6, harness)
    assert (result.state, result.samples) == ("fail", 100)


def test_whole_answers_when_the_service_says_so() -> None:
    def text_of(slo_on: str) -> str:
        harness = JudgeHarness(Rules(latency=replace(SLO, slo_on=slo_on), warmup_s=0.0))  # type: ignore[arg-type]
        harness.version.begin(100, 5)
        harness.version.end(Outcome.OK, 100, 900)
        return once(0, 0, harness).state

    assert (text_of("first_byte"), text_of("last_byte")) == ("pass", "fail")


# -- sustained
def test_a_sustained_breach_acts_after_five_minutes() -> None:
    harness = JudgeHarness(RULES, baseline=normal())
    harness.run(60)
    begun_ns = harness.now_ns
    assert harness.run(290, first_byte_ms=200.0) is None
    assert harness.result("latency").state == "fail"
    verdict = harness.run(30, first_byte_ms=200.0)
    assert verdict is not None
    assert verdict.failing is not None
    assert (verdict.failing.name, verdict.failing.limit, verdict.failing.sustained_s) == ("latency", 0.05, 300.0)
    assert 300 <= (harness.now_ns - begun_ns) / 1e9 <= 310


def test_most_answers_three_times_too_late_act_after_half_a_minute() -> None:
    harness = JudgeHarness(RULES, baseline=normal())
    harness.run(60)
    begun_ns = harness.now_ns
    verdict = harness.run(120, first_byte_ms=500.0)
    assert verdict is not None
    assert verdict.failing is not None
    assert (verdict.failing.limit, verdict.failing.sustained_s) == (0.5, 30.0)
    assert 60 <= (harness.now_ns - begun_ns) / 1e9 <= 63  # half of the window, then the period


@pytest.mark.parametrize(("late", "expected"), [(50, 0.05), (51, 0.5)])
def test_the_fast_path_needs_more_than_half(late: int, expected: float) -> None:
    """The slow path fails in both cases; the limit shown is that of the path that will act first."""
    assert once(100 - late, late, late_ms=500.0).limit == expected


def test_slow_answers_that_have_ended_are_forgiven() -> None:
    """After 45 s the window stays above one half for 15 s more, which would make 30 s."""
    harness = JudgeHarness(RULES)
    harness.run(60)
    assert harness.run(45, first_byte_ms=500.0) is None
    for _ in range(600):
        assert harness.run(0.1) is None
        if "no longer" in harness.result("latency").reason:
            break
    assert harness.run(300) is None


# -- when it may not decide
def test_without_an_objective_it_is_not_configured() -> None:
    harness = JudgeHarness()
    harness.run(2)
    result = harness.result("latency")
    assert (result.state, result.reason, result.distance) == (
        "not_configured",
        golden("verdict.no_slo"),
        "set rules.latency.slo_ms",
    )


def test_a_warm_up_is_granted() -> None:
    harness = JudgeHarness(Rules(latency=SLO))
    harness.run(29.9, first_byte_ms=500.0)
    assert harness.result("latency").reason == golden("verdict.warm_up")
    harness.run(0.1, first_byte_ms=500.0)
    assert harness.result("latency").reason == golden("verdict.nothing_timed")
    harness.run(3, first_byte_ms=500.0)
    assert harness.result("latency").state == "fail"


def test_slow_first_requests_alone_roll_nothing_back() -> None:
    harness = JudgeHarness(Rules(latency=SLO))
    assert harness.run(40, first_byte_ms=2_000.0) is None
    assert harness.run(300) is None


def test_a_stall_of_ours_pauses_it() -> None:
    harness = JudgeHarness(RULES)
    once(0, 100, harness)
    harness.tick(stalled=True)
    result = harness.result("latency")
    assert (result.state, result.reason) == ("inconclusive", golden("verdict.stalled"))


def test_answers_that_waited_for_our_own_stall_are_left_out() -> None:
    harness = JudgeHarness(RULES)
    harness.run(5)
    harness.version.answer(5_000, first_byte_ms=3_000.0)
    harness.tick(stalled=True)
    harness.run(10)
    assert harness.result("latency").value == 0.0


# -- explain
def test_the_reason_has_the_figures() -> None:
    result = once(94, 6)
    assert (result.value, result.limit, result.window_s, result.baseline) == (0.06, 0.05, 60.0, None)
    assert result.reason == golden("verdict.latency")
    assert once(30, 10).distance == "decides with 10 more answers"
    assert once(100, 0).distance == "fails above 5.0%"
