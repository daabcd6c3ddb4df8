"""The replay says what the judge said: on the same story the two are compared, to within a row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.history.backtest import ALARM_MAX_S, QUIET_S, ReplayedKind, Trial, replay
from router.rollout.history.row_windows import ROWS_MAX, RowWindows
from router.rollout.judge.baseline import Baseline
from router.rollout.judge.rules import ErrorRateRule, HardFailureRule, LatencyRule, Rules
from tests.rollout.simulator import JudgeHarness, normal
from tests.rollout.stored_rows import WALL_MS, Recording

LATENT = Rules(latency=LatencyRule(slo_ms=50.0))


def alarms(
    kind: ReplayedKind,
    story: Recording,
    rules: Rules | None = None,
    baseline: Baseline | None = None,
    rows_max: int = ROWS_MAX,
) -> list[float]:
    """Seconds since the beginning at which `kind` would have acted."""
    trial = Trial("tried", kind, rules or Rules(), 120.0)
    replay(story.rows, [trial], lambda at_ms: baseline, rows_max)
    return [(alarm.at_ms - WALL_MS) / 1000 for alarm in trial.alarms]


def acted(
    rules: Rules, baseline: Baseline | None, good_s: float, for_s: float, **bad: float
) -> tuple[float, str] | None:
    """When the judge acted on the same load, in seconds since the beginning, and why."""
    harness = JudgeHarness(rules, baseline)
    harness.run(good_s, per_s=10.0, go_on=True)
    verdict = harness.run(for_s, per_s=10.0, **bad)  # type: ignore[arg-type]
    if verdict is None or verdict.failing is None:
        return None
    return (harness.now_ns - harness.promoted_at_ns) / 1e9, verdict.failing.name


@pytest.mark.parametrize(
    ("faults", "baseline", "for_s"),
    [
        pytest.param(0.3, None, 90, id="many, no baseline"),
        pytest.param(0.12, None, 300, id="some, no baseline"),
        pytest.param(0.12, normal(0.001), 90, id="some, baseline"),
        pytest.param(0.01, normal(0.001), 90, id="few"),
    ],
)
def test_error_rate_acts_when_the_judge_acted(faults: float, baseline: Baseline | None, for_s: float) -> None:
    truth = acted(Rules(), baseline, 60, for_s, faults=faults)
    found = alarms("error_rate", Recording().play(60).play(for_s + 20, faults=faults), baseline=baseline)
    assert (truth is None) == (found == []) == (faults == 0.01)
    if truth is not None:
        assert truth[1] == "error_rate"
        assert found[0] - truth[0] == pytest.approx(6, abs=15), f"the judge: {truth[0]:.1f} s"


@pytest.mark.parametrize(
    ("late_ms", "sustained_s"), [(60.0, 60.0), (500.0, 300.0), (20.0, 60.0)], ids=["slow", "fast", "not late"]
)
def test_latency_acts_when_the_judge_acted(late_ms: float, sustained_s: float) -> None:
    rules = replace(LATENT, latency=replace(LATENT.latency, sustained_s=sustained_s), warmup_s=10.0)
    truth = acted(rules, None, 40, 100, first_byte_ms=late_ms)
    found = alarms("latency", Recording().play(40).play(120, first_byte_ms=late_ms), rules)
    assert (truth is None) == (found == []) == (late_ms == 20.0)
    if truth is not None:
        assert found[0] - truth[0] == pytest.approx(6, abs=15)


def test_errors_in_all_requests_act_with_the_second_row_that_has_them() -> None:
    assert alarms("hard_failure", Recording().play(300).play(30, faults=1.0)) == [320.0]
    assert alarms("hard_failure", Recording().play(300).play(30, faults=0.5)) == []
    less = Rules(hard_failure=HardFailureRule(burst_fault_share=0.4))
    assert alarms("hard_failure", Recording().play(300).play(30, faults=0.5), less) == [320.0]


def test_five_faults_in_a_row_at_low_traffic_act_too() -> None:
    found = alarms("hard_failure", Recording().play(600, per_s=0.2).play(120, per_s=0.2, faults=1.0))
    assert len(found) == 1
    assert 600 + 20 <= found[0] <= 600 + 40


def test_without_data_there_is_no_result() -> None:
    for kind in ("hard_failure", "error_rate", "latency"):
        assert alarms(kind, Recording().play(7200, per_s=0.0), LATENT) == []


def test_a_rule_that_is_off_has_no_result() -> None:
    assert alarms("latency", Recording().play(600, first_byte_ms=10_000)) == []


def test_one_trouble_is_one_alarm_and_an_hour_of_it_another() -> None:
    story = Recording().play(300).play(200, faults=0.5).play(QUIET_S / 2).play(200, faults=0.5)
    assert len(alarms("error_rate", story)) == 1
    story.play(QUIET_S + 1000).play(200, faults=0.5)
    assert len(alarms("error_rate", story)) == 2
    assert len(alarms("error_rate", Recording().play(300).play(2 * ALARM_MAX_S + 200, faults=0.5))) == 3


def test_the_next_version_is_judged_by_itself() -> None:
    story = Recording().play(300).play(100, faults=0.5).switch("v2").play(300)
    assert len(alarms("error_rate", story)) == 1
    story.switch("v3").play(100, faults=0.5)
    trial = Trial("tried", "error_rate", Rules(), 120.0)
    replay(story.rows, [trial], lambda at_ms: None)
    assert [alarm.version for alarm in trial.alarms] == ["v1", "v3"]


def test_a_row_in_which_we_stalled_is_left_out_with_the_next_one() -> None:
    story = Recording().play(300).play(20, faults=0.6, stalled_s=2.0).play(10, faults=0.6).play(300)
    assert alarms("error_rate", story) == []
    assert len(alarms("error_rate", Recording().play(300).play(30, faults=0.6).play(300))) == 1


def test_the_baseline_is_the_one_of_that_time() -> None:
    """A version at 6 % is normal where 6 % were accepted."""
    story = Recording().play(600, faults=0.06).play(400, faults=0.06)
    trial = Trial("tried", "error_rate", Rules(), 120.0)
    half_ms = WALL_MS + 600_000
    replay(story.rows, [trial], lambda at_ms: normal(0.06) if at_ms <= half_ms else normal(0.001))
    assert [alarm.at_ms > half_ms for alarm in trial.alarms] == [True]


def test_a_gap_begins_a_new_stretch() -> None:
    windows = replay(Recording().play(100).gap(60).play(100).rows, [], lambda at_ms: None)
    assert (windows.rows, windows.covered_ms, windows.start_ms) == (20, 200_000, windows.start_ms)
    assert windows.row is not None
    assert windows.row.monotonic_ms - windows.start_ms == 100_000


def test_a_limit_far_below_what_is_normal_ends_its_trial_soon() -> None:
    strict = replace(ErrorRateRule(), rate_floor=0.001, rate_floor_without_baseline=0.001)
    trial = Trial("tried", "error_rate", Rules(error_rate=strict), 120.0, alarms_max=3)
    story = Recording().play(6 * ALARM_MAX_S, per_s=1.0, faults=0.05)
    replay(story.rows, [trial], lambda at_ms: None)
    assert len(trial.alarms) == 3
    assert trial.exhausted_ms == trial.alarms[-1].at_ms
    assert trial.seconds < 4 * ALARM_MAX_S


def test_stricter_rules_never_see_less() -> None:
    """Also over the trimming of what no window reaches: five hours of rows with a trouble every 40 minutes."""
    story = Recording()
    for number in range(8):
        story.play(2100, faults=0.002).play(300, faults=0.02 + number * 0.03)
    seen = []
    for factor in (2.0, 1.0, 0.5, 0.25):
        rule = ErrorRateRule(rate_floor=0.02 * factor, rate_floor_without_baseline=0.05 * factor)
        seen.append(len(alarms("error_rate", story, Rules(error_rate=rule), rows_max=300)))
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1]


def test_the_tape_has_the_sums_of_the_windows_it_stands_for() -> None:
    story = Recording().play(800, faults=0.1, first_byte_ms=80.0)
    story.play(20, faults=0.5, stalled_s=3.0).play(1_200, faults=0.1, first_byte_ms=80.0)
    trial = Trial("tried", "latency", LATENT, 120.0)
    windows = RowWindows(trial.limits(), rows_max=150)
    trial.find_limits(windows)
    for row in story.rows:
        windows.add(row)
        context = windows.context(LATENT, None, 120.0)
        for seconds in (10.0, 60.0, 300.0, 900.0):
            window = context.window(seconds)
            assert window is not None, "also around a stall"
            assert windows.faults(seconds) == (window.faults, window.requests)
        timed = context.history.window(60.0, context.now_ns, histograms=True)
        assert timed is not None
        assert windows.lateness(0, 60.0, 0) == (timed.begun, timed.begun)
