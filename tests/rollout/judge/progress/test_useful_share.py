from __future__ import annotations

import pytest

from router.rollout.work import WorkEnd
from tests.rollout.judge.work_model import WorkHarness, chat_baseline, ends, every, hangs, ok
from tests.texts import golden


@pytest.mark.parametrize("per_s", [20.0, 2.0])
def test_one_useful_request_of_a_hundred(per_s: float) -> None:
    harness = WorkHarness().known()
    took_s = harness.seconds_to_verdict(90, per_s, every(100, ok(), ends(WorkEnd.EMPTY)))
    assert took_s is not None
    assert took_s <= 60


def test_the_reason_names_share_limit_and_bucket() -> None:
    harness = WorkHarness().known()
    plan = every(10, ok(), ends(WorkEnd.EMPTY))
    assert harness.run(90, 10.0, plan) is not None
    result = harness.failing
    assert (result.detail, result.window_s, result.samples >= 20) == ("useful_share", 30.0, True)
    assert result.limit == pytest.approx(0.25, rel=0.05)
    assert result.reason == golden("verdict.useful_share")


def test_half_of_the_usual_share_is_none() -> None:
    harness = WorkHarness().known()
    assert harness.run(120, 10.0, every(2, ok(), ends(WorkEnd.EMPTY))) is None


def test_the_usual_share_counts() -> None:
    """A service in which one of a hundred attempts is useful."""
    plan = every(100, ok(), ends(WorkEnd.EMPTY))
    harness = WorkHarness()
    harness.run(300, 20.0, plan)
    harness.promote()
    assert harness.run(120, 20.0, plan) is None


def test_one_burst_is_forgiven() -> None:
    """25 attempts of a batch fail at once, and nothing else comes."""
    harness = WorkHarness().known()
    harness.run(5, 2.0)
    for _ in range(40):
        harness.run(35, 0)
        break
    for _ in range(60):
        harness.ask(ends(WorkEnd.EMPTY, 0.01))
    assert harness.run(30, 0) is None


def test_most_answers_404_on_probation_and_on_an_accepted_version() -> None:
    plan = every(20, ok(), ends(WorkEnd.CLIENT_ERROR))
    harness = WorkHarness().known()
    assert harness.run(90, 10.0, plan) is not None
    assert harness.failing.detail == "useful_share"
    harness = WorkHarness(baseline=chat_baseline())
    harness.accepted = True
    harness.run(30, 10.0)
    assert harness.run(90, 10.0, plan) is None
    assert "nothing_useful" in harness.notes


def test_one_client_that_gets_nothing_is_an_alarm() -> None:
    harness = WorkHarness().known()
    for second in range(60):
        for number in range(20):
            harness.ask(ends(WorkEnd.FAULT), body=5_000 + second * 20 + number, client=99)
        harness.ask(ok(), client=1 + second % 4)
        assert harness.run(1, 0) is None
    assert "one_client_fails" in harness.notes


def test_more_traffic_than_it_can_take_is_a_queue() -> None:
    """Traffic × 10: the version goes on with what it can do; the rest waits, and its clients leave."""
    harness = WorkHarness().known(60, 2.0)
    harness.run(60, 2.0)
    assert harness.run(120, 2.0, beside=[(0.1, 0, hangs(30.0))]) is None
    assert "queue_grows" in harness.notes


@pytest.mark.parametrize(("known_s", "patience_s"), [(60, 40.0), (15, 15.0)])
def test_a_version_that_has_hardly_ever_worked_does_not_teach_what_is_normal(known_s: float, patience_s: float) -> None:
    """One request in a hundred is useful from the beginning: its few answers are not its normal movement."""
    harness = WorkHarness().known(known_s, 8.0)
    assert harness.run(58, 8.0, every(60, ok(), hangs(patience_s))) is not None
