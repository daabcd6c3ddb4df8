from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.judge.baseline import Baseline
from router.rollout.judge.criteria import Acceptance, Criterion, Observed, criteria, learned, strictest
from router.rollout.judge.rules import LatencyRule, Rules
from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import BUCKETS, index
from tests.rollout.simulator import JudgeHarness, normal, wait

SLO = LatencyRule(slo_ms=100.0)


def times(**ms: int) -> tuple[int, ...]:
    """`t5=90`: 90 answers of 5 ms."""
    found = [0] * BUCKETS
    for name, count in ms.items():
        found[index(int(name[1:]) * 1000)] += count
    return tuple(found)


def found(
    name: str,
    shown: Observed,
    added: dict[str, Any] | None = None,
    latency: LatencyRule = SLO,
    baseline: Baseline | None = None,
    **asked: Any,
) -> Criterion:
    every = criteria(shown, Acceptance(**asked), added or {}, latency, baseline)
    return next(criterion for criterion in every if criterion.name == name)


def test_time_and_requests_are_always_criteria() -> None:
    every = criteria(Observed(requests=499, clean_s=600.0), Acceptance(), {}, SLO, None)
    assert every == (
        Criterion("requests", "not_met", 499.0, 500.0, 499, "499 of 500"),
        Criterion("seconds", "met", 600.0, 600.0, 499, "600 of 600"),
        Criterion("quality_alerts", "met", 0.0, 0.0, 499, "0, limit 0"),
        Criterion("cases", "not_configured", reason="acceptance.cases is off"),
    )
    assert [criterion.passes for criterion in every] == [False, True, True, True]


@pytest.mark.parametrize(
    ("metric", "limit", "shown", "state", "value"),
    [
        pytest.param("fault_share", 0.01, Observed(requests=500, faults=5), "met", 0.01, id="faults at the limit"),
        pytest.param("fault_share", 0.01, Observed(requests=500, faults=6), "not_met", 0.012, id="faults above it"),
        pytest.param("fault_share", 0.01, Observed(), "unknown", None, id="no requests are no share"),
        pytest.param(
            "invalid_share", 0.0, Observed(requests=500, invalid=1), "not_met", 0.002, id="one invalid answer"
        ),
        pytest.param(
            "late_share", 0.05, Observed(first_byte=times(t5=95, t300=5)), "met", 0.05, id="late at the limit"
        ),
        pytest.param(
            "late_share", 0.05, Observed(first_byte=times(t5=94, t300=6)), "not_met", 0.06, id="late above it"
        ),
        pytest.param(
            "late_share",
            0.05,
            Observed(first_byte=times(t5=9), abandoned=times(t300=1)),
            "not_met",
            0.1,
            id="who gave up",
        ),
        pytest.param("late_share", 0.05, Observed(requests=9), "unknown", None, id="nothing was timed"),
        pytest.param(
            "first_byte_p99_ms", 400.0, Observed(first_byte=times(t5=99)), "unknown", None, id="99 have no p99"
        ),
        pytest.param("longest_wait_s", 10.0, Observed(longest_wait_s=10.0), "met", 10.0, id="a wait at the limit"),
        pytest.param("longest_wait_s", 10.0, Observed(longest_wait_s=10.1), "not_met", 10.1, id="a longer one"),
        pytest.param("quality_alerts", 0.0, Observed(quality_alerts=1), "not_met", 1.0, id="an open alert"),
    ],
)
def test_a_metric_and_its_limit(metric: str, limit: float, shown: Observed, state: str, value: float | None) -> None:
    criterion = found(metric, shown, **{f"{metric}_max": limit})
    assert (criterion.state, criterion.limit, criterion.origin) == (state, limit, "settings")
    assert criterion.value == (None if value is None else pytest.approx(value))


def test_a_p99_and_whole_answers() -> None:
    shown = Observed(first_byte=times(t5=90, t500=10), duration=times(t50=100))
    criterion = found("first_byte_p99_ms", shown, first_byte_p99_ms_max=400.0)
    assert (criterion.state, criterion.value) == ("not_met", pytest.approx(500, rel=0.1))
    whole = LatencyRule(slo_ms=100.0, slo_on="last_byte")
    assert found("late_share", shown, latency=whole, late_share_max=0.05).state == "met"
    useful = LatencyRule(slo_ms=100.0, slo_on="useful")
    late = Observed(first_byte=times(t5=100), first_useful=times(t5=90, t500=10))
    assert found("late_share", late, latency=useful, late_share_max=0.05).value == pytest.approx(0.1)
    assert found("late_share", shown, latency=LatencyRule(), late_share_max=0.05).state == "not_configured"


@pytest.mark.parametrize(
    ("faults", "baseline", "state"),
    [
        pytest.param(40, normal(0.01), "not_met", id="surely more than twice as many"),
        pytest.param(11, normal(0.01), "met", id="not surely"),
        pytest.param(40, None, "not_configured", id="no baseline yet"),
    ],
)
def test_against_the_baseline(faults: int, baseline: Baseline | None, state: str) -> None:
    shown = Observed(requests=500, faults=faults)
    assert found("fault_factor", shown, baseline=baseline, fault_factor_max=2.0).state == state


@pytest.mark.parametrize(
    ("checked", "state"), [(None, "unknown"), ((True, "12 of 12 passed"), "met"), ((False, "3 failed"), "not_met")]
)
def test_cases(checked: tuple[bool, str] | None, state: str) -> None:
    criterion = found("cases", Observed(cases=checked), cases="required")
    assert criterion.state == state
    assert checked is None or criterion.reason == checked[1]


def test_the_stricter_of_two_limits_counts() -> None:
    asked = Acceptance(fault_share_max=0.01, quality_alerts_max=None)
    added = {
        "fault_share": {"limit": 0.005, "origin": "svc-1-4"},
        "longest_wait_s": {"limit": 10.0, "origin": "ann"},
        "unheard_of": {"limit": 1.0, "origin": "a later release"},
    }
    assert strictest(asked, added) == {"fault_share": (0.005, "svc-1-4"), "longest_wait_s": (10.0, "ann")}
    assert strictest(Acceptance(fault_share_max=0.001, quality_alerts_max=None), added)["fault_share"] == (
        0.001,
        "settings",
    )


@pytest.mark.parametrize(
    ("trigger", "lesson"),
    [
        pytest.param({"kind": "hard_failure", "detail": "errors", "limit": 0.9}, ("fault_share", 0.02), id="errors"),
        pytest.param({"kind": "hard_failure", "detail": "unreachable", "limit": 1.0}, ("fault_share", 0.02), id="away"),
        pytest.param({"kind": "hard_failure", "detail": "hang", "limit": 12.0}, ("longest_wait_s", 12.0), id="hang"),
        pytest.param({"kind": "error_rate", "detail": "", "limit": 0.04}, ("fault_share", 0.04), id="error rate"),
        pytest.param(
            {"kind": "latency", "detail": "", "limit": 0.5}, ("late_share", 0.05), id="latency, also by its fast path"
        ),
        pytest.param({"kind": "quality", "detail": "", "limit": None}, ("quality_alerts", 0.0), id="quality"),
        pytest.param({"kind": "business", "detail": "", "limit": None}, None, id="nothing to be measured"),
    ],
)
def test_what_a_rollback_teaches(trigger: dict[str, Any], lesson: tuple[str, float] | None) -> None:
    assert learned(trigger, 0.02, 0.05) == lesson


# -- as the judge asks for it
ASKED = Acceptance(after_s=20.0, requests_min=100)


def test_a_version_is_accepted_once_its_fault_share_is_below_the_limit() -> None:
    harness = JudgeHarness(acceptance=Acceptance(after_s=20.0, requests_min=100, fault_share_max=0.01))
    harness.run(20, 50.0, faults=0.012)
    harness.run(5, 50.0, faults=0.012)
    assert (harness.judge.baseline, harness.verdict.state) == (None, "pass")
    states = {criterion.name: criterion.state for criterion in harness.judge.criteria(harness.facts(), harness.now_ns)}
    assert states["fault_share"] == "not_met"
    harness.run(20, 50.0)
    assert harness.judge.baseline is not None


def test_a_long_wait_is_forgotten_after_the_time_of_a_probation() -> None:
    harness = JudgeHarness(Rules(), acceptance=Acceptance(after_s=20.0, requests_min=10, longest_wait_s_max=3.0))
    harness.run(5, 50.0)
    wait(harness, 4.0, waiting=1)
    harness.run(16, 50.0)
    assert harness.judge.baseline is None
    harness.run(25, 50.0)
    assert harness.judge.baseline is not None


def test_an_open_quality_alert_and_unchecked_cases_are_seen() -> None:
    harness = JudgeHarness(acceptance=replace(ASKED, cases="required"))
    harness.run(5, 50.0)
    alert = TriggerResult("quality", "", "fail", "observe", "PSI 0.41")
    facts = replace(harness.facts(), external_results=(alert,), cases=(False, "2 of 9 failed"))
    states = {c.name: (c.state, c.reason) for c in harness.judge.criteria(facts, harness.now_ns)}
    assert states["quality_alerts"] == ("not_met", "1, limit 0")
    assert states["cases"] == ("not_met", "2 of 9 failed")


def test_invalid_answers_are_counted() -> None:
    harness = JudgeHarness(acceptance=Acceptance(invalid_share_max=0.5))
    harness.run(1, 50.0)
    harness.version.begin(50)
    harness.version.end(Outcome.INVALID, 50)
    harness.tick()
    criterion = next(c for c in harness.judge.criteria(harness.facts(), harness.now_ns) if c.name == "invalid_share")
    assert criterion.value == pytest.approx(0.5, abs=0.02)


def test_before_anything_was_seen_there_are_no_criteria() -> None:
    harness = JudgeHarness()
    harness.judge._probation = None
    assert harness.judge.criteria(harness.facts(), harness.now_ns) == ()
