from __future__ import annotations

from dataclasses import replace

import pytest

from router.rollout.judge.progress.known_work import KnownWork
from router.rollout.judge.rules import HardFailureRule
from router.rollout.stats.work_counts import NO_CELLS, NO_ENDS, WorkCounts
from router.rollout.work import OTHER, OTHER_INFERENCE, time_cell
from tests.rollout.judge.work_model import BUCKETS, CHAT, chat_baseline


def took(seconds: float, answers: int) -> WorkCounts:
    times, ends = list(NO_CELLS), list(NO_ENDS)
    times[time_cell(int(seconds * 1e6))] = ends[0] = answers
    return WorkCounts(ends=tuple(ends), asked=answers, times=tuple(times))


def known(own: WorkCounts, before: WorkCounts | None = None, baseline_s: float | None = None) -> KnownWork:
    baseline = None if baseline_s is None else chat_baseline(after_s=baseline_s)
    return KnownWork(HardFailureRule(), BUCKETS, {CHAT: own}, {CHAT: before} if before else {}, baseline)


@pytest.mark.parametrize(
    ("work", "expected_s"),
    [
        pytest.param(known(took(0.2, 100)), 10.0, id="at least ten seconds"),
        pytest.param(known(took(20.0, 100)), 60.0, id="three times the p99, without an upper bound"),
        pytest.param(known(took(20.0, 19)), None, id="nothing is known"),
        pytest.param(known(took(20.0, 20)), 60.0, id="three times the longest"),
        pytest.param(known(took(0.2, 0), took(20.0, 100)), 60.0, id="the version before"),
        pytest.param(known(took(0.2, 0), took(20.0, 100), 0.2), 10.0, id="the baseline goes before it"),
        pytest.param(known(took(0.2, 100), took(20.0, 100)), 10.0, id="its own answers go before both"),
        pytest.param(known(took(25.0, 20), None, 0.2), 50.0, id="a cold start counts, within bounds"),
    ],
)
def test_the_limit_of_a_wait(work: KnownWork, expected_s: float | None) -> None:
    limit_s = work.limit_s(CHAT)
    assert limit_s == (None if expected_s is None else pytest.approx(expected_s, rel=0.45))


def test_a_limit_that_is_set_is_the_limit() -> None:
    work = replace(known(took(20.0, 100)), rule=HardFailureRule(hang_after_s=7.0))
    assert work.limit_s(CHAT) == 7.0


def test_the_median() -> None:
    assert known(took(0.2, 19)).median_s(CHAT) is None
    assert known(took(20.0, 20)).median_s(CHAT) == pytest.approx(20.0, rel=0.3)
    assert known(took(1.0, 1), took(20.0, 20)).median_s(CHAT) == pytest.approx(20.0, rel=0.3)


def test_a_bucket_was_useful_here_or_earlier() -> None:
    assert not known(took(1.0, 19)).was_useful(CHAT)
    assert known(took(1.0, 20)).was_useful(CHAT)
    assert known(took(1.0, 0), took(1.0, 20)).was_useful(CHAT)
    assert known(took(1.0, 0), None, 0.2).was_useful(CHAT)


def test_names_and_inference() -> None:
    work = known(took(1.0, 1))
    assert [work.name(bucket) for bucket in (CHAT, OTHER_INFERENCE, OTHER)] == [
        "POST /v1/chat/completions",
        "other inference",
        "other",
    ]
    assert [work.is_inference(bucket) for bucket in (CHAT, 1, 9, OTHER_INFERENCE, OTHER)] == [
        True,
        False,
        False,
        True,
        False,
    ]
