"""What an attempt has come to, by its outcome."""

from __future__ import annotations

import pytest

from router.proxy.work import work_ends
from router.rollout.outcome import FAULTS, OUTCOMES, Outcome
from router.rollout.work import WorkEnd


@pytest.mark.parametrize(
    ("outcome", "status", "method", "end"),
    [
        (Outcome.OK, 200, b"POST", WorkEnd.USEFUL),
        (Outcome.OK, 204, b"DELETE", WorkEnd.USEFUL),
        (Outcome.OK, 202, b"POST", WorkEnd.USEFUL),
        (Outcome.OK, 304, b"GET", WorkEnd.USEFUL),
        (Outcome.OK, 301, b"HEAD", WorkEnd.USEFUL),
        (Outcome.OK, 303, b"POST", WorkEnd.USEFUL),
        (Outcome.OK, 307, b"POST", WorkEnd.EMPTY),
        (Outcome.CLIENT_ERROR, 404, b"POST", WorkEnd.CLIENT_ERROR),
        (Outcome.CLIENT_ERROR, 401, b"POST", WorkEnd.UNAUTHORISED),
        (Outcome.CLIENT_ERROR, 403, b"GET", WorkEnd.UNAUTHORISED),
        (Outcome.THROTTLED, 503, b"POST", WorkEnd.THROTTLED),
        (Outcome.SATURATED, 0, b"POST", WorkEnd.NEUTRAL),
        (Outcome.CUT, 200, b"POST", WorkEnd.NEUTRAL),
        (Outcome.ROUTER_FAULT, 0, b"POST", WorkEnd.NEUTRAL),
    ],
)
def test_ends(outcome: Outcome, status: int, method: bytes, end: WorkEnd) -> None:
    assert work_ends.of_outcome(outcome, status, method) is end


def test_the_faults_of_an_outcome_are_the_faults_of_work() -> None:
    found = {outcome for outcome in OUTCOMES if work_ends.of_outcome(outcome, 0, b"POST") is WorkEnd.FAULT}
    assert found == set(FAULTS)


def test_a_client_that_leaves_at_the_usual_time_or_later_had_waited() -> None:
    assert [work_ends.of_departure(waited_s, 2.0) for waited_s in (0.0, 1.9, 2.0, 60.0)] == [
        WorkEnd.GONE_EARLY,
        WorkEnd.GONE_EARLY,
        WorkEnd.GONE_LATE,
        WorkEnd.GONE_LATE,
    ]
