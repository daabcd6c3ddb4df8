from __future__ import annotations

import pytest

from router.rollout.judge.errors import Burst
from router.rollout.judge.rules import Rules
from router.rollout.outcome import Outcome
from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import CHAT, MODELS, WorkHarness, ends, ok
from tests.rollout.simulator import JudgeHarness, normal
from tests.texts import golden


@pytest.mark.parametrize("per_s", [5.0, 20.0, 200.0])
@pytest.mark.parametrize("before_s", [0.0, 5.0, 60.0], ids=["at once", "soon", "in steady state"])
def test_one_burst_of_two_seconds_is_forgiven(per_s: float, before_s: float) -> None:
    harness = JudgeHarness(baseline=normal(0.001))
    harness.run(before_s, per_s)
    assert harness.run(2.0, per_s, faults=1.0) is None
    assert harness.run(20, per_s) is None


@pytest.mark.parametrize("per_s", [20.0, 200.0])
def test_a_burst_upon_natural_faults_is_forgiven(per_s: float) -> None:
    harness = JudgeHarness(baseline=normal(0.05))
    harness.run(30, per_s, faults=0.05)
    assert harness.run(2.0, per_s, faults=1.0) is None
    assert harness.run(20, per_s, faults=0.05) is None


@pytest.mark.parametrize("per_s", [20.0, 200.0])
def test_errors_of_all_requests_go_back_within_four_seconds(per_s: float) -> None:
    harness = JudgeHarness()
    harness.run(10, per_s)
    begun_ns = harness.now_ns
    assert harness.run(4, per_s, faults=1.0) is not None
    assert 2.0e9 < harness.now_ns - begun_ns <= 4.0e9


def test_a_longer_burst_is_forgiven_where_it_is_set() -> None:
    for forgive_s, forgiven in ((2.0, False), (5.0, True)):
        harness = JudgeHarness(Rules(forgive_s=forgive_s))
        harness.run(10, 20.0)
        assert (harness.run(4.5, 20.0, faults=1.0) is None) is forgiven


def test_requests_that_may_still_be_answered_count_in_the_share() -> None:
    """E9: one replica of four answers 500 at once; the others need 0.4 s, and their requests wait."""
    assert Burst(2.5, 10, 10, 0).share == 1.0
    assert Burst(2.5, 10, 10, 0, waiting=23).share == pytest.approx(10 / 33)
    assert Burst(2.5, 10, 10, 0, waiting=23).text == golden("verdict.burst_waits")
    for p99_known in (False, True):
        harness = JudgeHarness()
        if p99_known:
            harness.run(10, 20.0, first_byte_ms=400.0)
        for _ in range(40):
            harness.version.fail(2, Outcome.SERVER_ERROR)
            harness.tick(waiting=40, oldest_ns=harness.version.at_ns - 300_000_000)
        assert (harness.verdict.failing is None) is p99_known


def test_cheap_requests_that_answer_do_not_hide_inference_that_fails() -> None:
    """Every POST fails; a GET each second is answered."""
    harness = WorkHarness().known(30, 5.0)
    harness.run(10, 2.0, beside=[(1.0, MODELS, ok(0.01))])
    assert harness.run(20, 2.0, ends(WorkEnd.FAULT), bucket=CHAT, beside=[(1.0, MODELS, ok(0.01))]) is not None
    assert harness.failing.name == "hard_failure.errors"
    assert "of inference" in harness.failing.reason
