"""A verdict that still holds is not judged again, and no verdict changes by that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.judge.driver import Driver, Run
from router.rollout.judge import judge as judge_module
from router.rollout.judge.probe_evidence import ProbeEvidence
from router.rollout.judge.rules import Rules
from router.rollout.judge.verdict import TriggerResult
from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import WorkHarness, ends, every, hangs, ok
from tests.rollout.test_driver import service

FOR_S = 30.0


def calm_harness(per_s: float = 10.0) -> WorkHarness:
    """Return a version that has served well, between two samples with work."""
    harness = WorkHarness().known(20.0, per_s)
    harness.run(20.3, per_s)
    assert is_reused(harness)
    return harness


def is_reused(harness: WorkHarness, **gauges: Any) -> bool:
    before = harness.verdict
    return harness.tick(**gauges) is before


def test_a_verdict_is_used_until_the_next_sample_with_work() -> None:
    harness = calm_harness()
    assert 85 <= sum(is_reused(harness) for _ in range(100)) <= 90


def test_a_version_at_rest_is_calm() -> None:
    harness = WorkHarness()
    harness.run(20.3, 0.0)
    assert is_reused(harness)


def test_a_fault_is_judged_at_once() -> None:
    harness = calm_harness()
    harness.ask(ends(WorkEnd.FAULT, 0.0))
    assert not is_reused(harness)


def test_a_burst_is_judged_at_every_tick() -> None:
    harness = WorkHarness().known(20.0, 20.0)
    harness.run(20.0, 20.0)
    harness.run(1.2, 20.0, ends(WorkEnd.FAULT))
    assert not any(is_reused(harness) for _ in range(15))


def test_a_share_of_faults_near_its_limit_is_judged_at_every_tick() -> None:
    harness = WorkHarness().known(20.0, 20.0)
    harness.run(60.35, 20.0, every(25, ends(WorkEnd.FAULT), ok()), go_on=True)
    assert not any(is_reused(harness) for _ in range(5))


def test_a_stall_is_judged_at_once() -> None:
    harness = calm_harness()
    assert not is_reused(harness, stalled=True)


def test_waits_that_reach_the_limit_are_judged_at_every_tick() -> None:
    harness = WorkHarness().known(20.0, 10.0)
    harness.run(20.0, 10.0)
    verdict = harness.run(40.0, 10.0, hangs(60.0))
    assert verdict is not None
    assert verdict.failing is not None


@pytest.mark.parametrize(
    "more",
    [
        {"accepted": True},
        {"unwell": "the router is unwell"},
        {"probes_unreachable_since_ns": 1},
        {"external_results": (TriggerResult("quality", "alert", "fail", "ask", "an alert", failing=True),)},
        {"inference_probe": ProbeEvidence(1, bad=1)},
        {"standby_slot": None},
    ],
    ids=lambda more: next(iter(more)),
)
def test_another_input_is_judged_at_once(more: dict[str, Any]) -> None:
    harness = calm_harness()
    before = harness.verdict
    assert harness.judge.evaluate(replace(harness.inputs(), **more), harness.now_ns) is not before


def test_other_rules_are_used_at_once() -> None:
    harness = calm_harness()
    harness.judge.reconfigure(Rules(), 600.0)
    assert not is_reused(harness)


def drive(seed: int) -> Run:
    return Driver(service(seed, FOR_S), seed, skip=False).run(FOR_S)


@pytest.mark.parametrize(
    "tenth", [pytest.param(tenth, marks=pytest.mark.nightly if tenth else []) for tenth in range(10)]
)
def test_no_verdict_changes(monkeypatch: pytest.MonkeyPatch, tenth: int) -> None:
    for seed in range(tenth, 100, 10):
        with monkeypatch.context() as patched:
            patched.setattr(judge_module, "calm_verdict", lambda *_: None)
            whole = drive(seed)
        assert drive(seed) == whole, seed
