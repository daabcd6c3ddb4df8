from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.judge.probe_evidence import ProbeEvidence
from tests.rollout.judge.work_model import WorkHarness, hangs
from tests.rollout.simulator import START_NS
from tests.texts import golden

FAILING = ProbeEvidence(1, bad=1, failing=1, since_ns=START_NS, standby_passes=True, detail="v2:9000: 500")


def probed(probe: ProbeEvidence) -> WorkHarness:
    harness = WorkHarness()
    harness.probe = probe
    return harness


def test_it_acts_without_traffic_after_fifteen_seconds() -> None:
    harness = probed(FAILING)
    assert harness.run(15, 0) is None
    assert harness.run(0.2, 0) is not None
    assert (harness.failing.name, harness.failing.value, harness.failing.limit) == ("hard_failure.probe", 15.0, 15.0)
    assert harness.failing.reason == golden("verdict.probe")


@pytest.mark.parametrize(
    "change",
    [
        {"failing": 0},
        {"endpoints": 2},
        {"standby_passes": None},
        {"standby_passes": False},
    ],
    ids=str,
)
def test_it_needs_most_endpoints_and_a_standby_that_passes(change: dict[str, int | None]) -> None:
    harness = probed(replace(FAILING, **change))  # type: ignore[arg-type]
    assert harness.run(30, 0) is None
    assert ("both_fail" in harness.notes) is (change.get("standby_passes", True) is False)


def test_useful_answers_contradict_it() -> None:
    harness = probed(FAILING)
    assert harness.run(40, 0.2) is None
    took_s = harness.seconds_to_verdict(40, 0, hangs())
    assert took_s is not None
    assert 10 <= took_s <= 32  # while answers of the last 30 s show that inference moves


def test_a_time_out_beside_requests_under_way_is_a_queue() -> None:
    for timeouts_only in (True, False):
        harness = probed(replace(FAILING, timeouts_only=timeouts_only))
        harness.ask(hangs(100))
        assert (harness.run(30, 0) is None) is timeouts_only


def test_without_an_inference_probe_it_is_not_configured() -> None:
    harness = WorkHarness()
    harness.tick()
    assert harness.result("hard_failure.probe").state == "not_configured"
