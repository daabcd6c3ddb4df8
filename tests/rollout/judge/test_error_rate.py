from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rollout.judge.rules import ErrorRateRule, Rules, WindowPair
from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import Outcome
from tests.example_counts import examples
from tests.rollout.simulator import TICK_NS, JudgeHarness, Version, normal, seconds
from tests.texts import golden

ONE_PAIR = replace(ErrorRateRule(), windows=(WindowPair(60.0, 10.0, 50),))
MINUTE = Rules(error_rate=ONE_PAIR, forgive_s=0.0)


def once(good: int, bad: int, harness: JudgeHarness | None = None) -> TriggerResult:
    """What error_rate says when all of this happens within one sample."""
    harness = harness or JudgeHarness(MINUTE)
    harness.version.answer(good)
    harness.version.fail(bad)
    harness.tick()
    return harness.result("error_rate")


# -- boundaries
@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        (0, 0, "inconclusive"),
        (39, 10, "inconclusive"),  # 49 requests
        (40, 10, "fail"),
        (46, 4, "pass"),  # 4 faults
        (42, 8, "pass"),  # 16 %: the exact 99.9 % lower bound is 4.3 %
        (41, 9, "fail"),  # 18 %: it is 5.2 %
        (931, 69, "pass"),
        (926, 74, "fail"),
    ],
)
def test_without_a_baseline_the_lower_bound_must_exceed_five_per_cent(good: int, bad: int, expected: str) -> None:
    result = once(good, bad)
    assert (result.state, result.limit, result.baseline) == (expected, 0.05, None)


@pytest.mark.parametrize(("bad", "expected"), [(5, "pass"), (6, "fail")])
def test_with_a_perfect_baseline_the_floor_is_two_per_cent(bad: int, expected: str) -> None:
    result = once(50 - bad, bad, JudgeHarness(MINUTE, normal(0.0)))
    assert (result.state, result.limit, result.baseline) == (expected, 0.02, 0.0)


@pytest.mark.parametrize(("bad", "expected"), [(243, "pass"), (244, "fail")])
def test_with_a_baseline_of_ten_per_cent_twice_its_upper_bound_counts(bad: int, expected: str) -> None:
    harness = JudgeHarness(MINUTE, normal(0.1))
    result = once(1_000 - bad, bad, harness)
    assert harness.judge.baseline is not None
    assert (result.state, result.baseline, result.limit) == (expected, 0.1, 2 * harness.judge.baseline.upper)


def test_a_baseline_of_too_few_requests_is_none() -> None:
    assert once(90, 10, JudgeHarness(MINUTE, normal(0.1, requests=199))).baseline is None
    assert once(90, 10, JudgeHarness(MINUTE, normal(0.1, requests=200))).baseline == 0.1


def test_one_fault_in_a_thousand_after_a_perfect_baseline_is_nothing() -> None:
    assert once(999, 1, JudgeHarness(MINUTE, normal(0.0))).state == "pass"


@pytest.mark.parametrize(
    ("pair", "requests", "expected"),
    [
        (WindowPair(300.0, 60.0, 20), 19, "inconclusive"),
        (WindowPair(300.0, 60.0, 20), 20, "fail"),
        (WindowPair(900.0, 120.0, 20), 19, "inconclusive"),
        (WindowPair(900.0, 120.0, 20), 20, "fail"),
    ],
)
def test_the_longer_pairs_need_twenty_requests(pair: WindowPair, requests: int, expected: str) -> None:
    harness = JudgeHarness(Rules(error_rate=replace(ErrorRateRule(), windows=(pair,)), forgive_s=0.0))
    assert once(requests - 15, 15, harness).state == expected


def test_the_shipped_pairs() -> None:
    assert [(pair.long_s, pair.short_s, pair.requests_min) for pair in ErrorRateRule().windows] == [
        (60.0, 10.0, 50),
        (300.0, 60.0, 20),
        (900.0, 120.0, 20),
    ]


# -- still happening
def later(baseline_rate: float, good: int, bad: int) -> TriggerResult:
    """What it says of these in the last 10 s, when there is plenty of evidence from before."""
    harness = JudgeHarness(MINUTE, normal(baseline_rate))
    once(3_000, 1_000, harness)
    for _ in range(102):
        harness.tick()
    return once(good, bad, harness)


@pytest.mark.parametrize(
    ("good", "bad", "expected"), [(0, 0, "inconclusive"), (981, 19, "pass"), (980, 20, "fail"), (0, 1, "fail")]
)
def test_the_short_window_must_reach_two_per_cent(good: int, bad: int, expected: str) -> None:
    assert later(0.0, good, bad).state == expected


@pytest.mark.parametrize(("good", "bad", "expected"), [(901, 99, "pass"), (900, 100, "fail")])
def test_the_short_window_must_reach_twice_the_baseline(good: int, bad: int, expected: str) -> None:
    assert later(0.05, good, bad).state == expected


def test_a_burst_too_short_to_be_evidence_does_not_act() -> None:
    harness = JudgeHarness()
    harness.run(60, 200.0)
    assert harness.run(4, 200.0, faults=0.5) is None
    assert harness.run(60, 200.0) is None


# -- sustained
@pytest.mark.parametrize(("per_s", "faults", "within_s"), [(200.0, 0.3, 25.0), (50.0, 0.3, 30.0), (2.0, 0.3, 60.0)])
def test_thirty_per_cent_is_rolled_back_within_a_minute(per_s: float, faults: float, within_s: float) -> None:
    harness = JudgeHarness(baseline=normal(0.001))
    harness.run(120, per_s)
    begun_ns = harness.now_ns
    verdict = harness.run(120, per_s, faults)
    assert verdict is not None
    assert verdict.failing is not None
    assert (verdict.failing.name, verdict.failing.sustained_s) == ("error_rate", 10.0)
    assert harness.now_ns - begun_ns <= within_s * 10 * TICK_NS


def test_it_acts_only_after_ten_seconds() -> None:
    harness = JudgeHarness(MINUTE)
    harness.run(0.5, 100.0, faults=0.6)
    since_ns = harness.now_ns
    assert harness.result("error_rate").state == "fail"
    assert harness.result("error_rate").distance == golden("verdict.acts_after")
    verdict = harness.run(60, 100.0, faults=0.6)
    assert verdict is not None
    assert harness.now_ns - since_ns == 100 * TICK_NS
    result = harness.result("error_rate")
    assert (result.failing, result.distance, result.sustained_needed_s) == (True, "acts now", 10.0)
    assert result.evidence_since_ns == seconds(0.1)


def test_a_slow_degradation_is_found_by_a_longer_window() -> None:
    harness = JudgeHarness(baseline=normal(0.001))
    harness.run(300, 2.0)
    verdict = harness.run(900, 2.0, faults=0.04)  # accepted meanwhile, but not taken for the new normal
    assert verdict is not None
    assert verdict.failing is not None
    assert verdict.failing.window_s in (300.0, 900.0)


def test_twice_a_normal_rate_below_the_floor_is_left_alone() -> None:
    harness = JudgeHarness(baseline=normal(0.005))
    assert harness.run(1_000, 100.0, faults=0.012) is None


# -- what is no fault, and what is not counted
def test_long_streams_at_a_normal_rate_trip_nothing_after_a_promotion() -> None:
    """Streams of 60 s, 1 % of them break: for a minute only begins and a few early faults are seen."""
    harness = JudgeHarness(baseline=normal(0.01))
    begun: list[int] = []
    broken = 0.0
    for tick in range(3_000):
        harness.version.begin(2)
        begun.append(2)
        broken += 0.02
        if broken >= 1:
            broken -= 1
            harness.version.end(Outcome.TRUNCATED)
        if tick >= 600:
            harness.version.end(Outcome.OK, begun[tick - 600])
        assert harness.tick().failing is None


def test_streams_that_end_after_the_arrivals_are_weighted() -> None:
    harness = JudgeHarness(baseline=normal(0.02))
    for _ in range(600):
        harness.version.begin(10)
        assert harness.tick().failing is None
    for tick in range(600):
        harness.version.begin(tick % 10 == 0)  # one a second is left of a hundred
        harness.version.end(Outcome.OK, 10)
        harness.version.end(Outcome.TRUNCATED, tick % 4 == 0)
        assert harness.tick().failing is None


def test_a_late_failure_of_the_previous_version_does_not_touch_the_next() -> None:
    harness = JudgeHarness()
    harness.run(60)
    old = harness.version
    harness.promote(Version(incarnation=2, at_ns=harness.version.at_ns), slot=1)
    for _ in range(600):
        old.at_ns = harness.version.at_ns
        old.end(Outcome.TRUNCATED, 5)
        harness.judge.observe(0, old.sample())
        harness.version.answer(10)
        assert harness.tick().failing is None
    assert harness.result("error_rate").value == 0.0


def test_a_stall_of_ours_pauses_it() -> None:
    harness = JudgeHarness(MINUTE)
    once(30, 30, harness)
    harness.tick(stalled=True)
    result = harness.result("error_rate")
    assert (result.state, result.reason) == ("inconclusive", golden("verdict.stalled"))
    harness.tick()
    assert harness.result("error_rate").state == "inconclusive"  # what piled up is counted with this one
    harness.tick()
    assert harness.result("error_rate").state == "fail"


def test_an_unwell_router_pauses_it() -> None:
    harness = JudgeHarness(MINUTE)
    harness.unwell = "1.5 % of exchanges ended by our own fault"
    result = once(30, 30, harness)
    assert (result.state, result.reason) == ("inconclusive", "1.5 % of exchanges ended by our own fault")


@settings(max_examples=examples(30))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [Outcome.CLIENT_ERROR, Outcome.THROTTLED, Outcome.CLIENT_GONE, Outcome.SATURATED, Outcome.CUT]
            ),
            st.integers(0, 40),
        ),
        max_size=120,
    )
)
def test_what_clients_do_never_fails(ends: list[tuple[Outcome, int]]) -> None:
    harness = JudgeHarness(Rules(error_rate=replace(ONE_PAIR, sustained_s=0.0)))
    for outcome, number in ends:
        if outcome in (Outcome.CLIENT_ERROR, Outcome.THROTTLED):
            harness.version.answer(number, outcome)
        elif outcome is Outcome.CLIENT_GONE:
            harness.version.leave(number, 0.5)
        else:
            harness.version.end(outcome, number)
        assert not harness.tick().pending


@settings(max_examples=examples(30))
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 4)), max_size=100), st.booleans())
def test_no_fail_without_the_least_number_of_faults(ticks: list[tuple[int, int]], with_baseline: bool) -> None:
    harness = JudgeHarness(
        Rules(error_rate=replace(ErrorRateRule(), sustained_s=0.0)), normal() if with_baseline else None
    )
    faults = 0
    for good, bad in ticks:
        bad = min(bad, 4 - faults)
        faults += bad
        harness.version.answer(good)
        harness.version.fail(bad)
        assert not harness.tick().pending


# -- explain
@pytest.mark.parametrize(
    ("good", "bad", "reason", "distance"),
    [
        (0, 0, "no requests in the last 60 s", "decides from 50 requests"),
        (
            10,
            2,
            "2 faults in 12 requests (16.7%) in the last 60 s, no baseline",
            "decides with 38 more requests",
        ),
        (
            60,
            2,
            "2 faults in 62 requests (3.2%) in the last 60 s, no baseline",
            "fails with 3 more faults at the earliest",
        ),
        (
            93,
            7,
            "7 faults in 100 requests (7.0%) in the last 60 s, no baseline",
            "fails with about 5 more faults among 100 requests (11.7%)",
        ),
    ],
)
def test_the_distance_names_what_is_missing(good: int, bad: int, reason: str, distance: str) -> None:
    result = once(good, bad)
    assert (result.reason, result.distance) == (reason, distance)


def test_a_failing_one_says_all_of_it() -> None:
    harness = JudgeHarness(MINUTE)
    harness.run(20, 100.0, faults=0.25)
    assert harness.result("error_rate").reason == (golden("verdict.error_rate"))
