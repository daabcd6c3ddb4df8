"""What a worker has seen of an address, and how far the balancer passes it over."""

from __future__ import annotations

import math

from router.proxy.routing.standing import DOUBTED, EJECTED, FALLBACK, READY, RESTING, Standing
from router.rollout.outcome import Outcome


def test_a_fault_is_doubted_for_a_second_more_each_time_and_a_good_answer_ends_that() -> None:
    standing = Standing()
    for number in range(1, 5):
        standing.failed(Outcome.SERVER_ERROR, None, 10.0)
        assert standing.rank(10.0 + number - 0.1) == DOUBTED
        assert standing.rank(10.0 + number) == READY
    assert (standing.in_a_row, standing.requests) == (4, 4)
    standing.well(11.0)
    assert (standing.in_a_row, standing.requests, standing.rank(11.0), standing.ready_at_s) == (0, 0, READY, 0.0)


def test_the_same_request_again_is_no_further_request() -> None:
    standing = Standing()
    for _ in range(9):
        standing.failed(Outcome.SERVER_ERROR, 4711, 10.0)
    assert (standing.in_a_row, standing.requests) == (9, 1)
    standing.failed(Outcome.SERVER_ERROR, 4712, 10.0)
    assert standing.requests == 2


def test_connections_that_break_together_are_one_fault_and_error_answers_are_not() -> None:
    broken, answered = Standing(), Standing()
    for number in range(9):
        broken.failed(Outcome.TRUNCATED, None, 10.0 + number / 100)
        answered.failed(Outcome.SERVER_ERROR, None, 10.0 + number / 100)
    assert (broken.in_a_row, answered.in_a_row) == (1, 9)
    broken.failed(Outcome.TRUNCATED, None, 10.11)
    assert broken.in_a_row == 2


def test_three_busy_answers_within_a_second_make_it_rest_for_five_seconds_at_most() -> None:
    standing = Standing()
    for now_s in (10.0, 10.5, 11.1):  # the third is too late
        standing.busy(2.0, now_s)
    assert standing.rank(11.1) == READY
    standing.busy(2.0, 11.2)
    standing.busy(60.0, 11.3)
    assert standing.rank(16.2) == RESTING
    assert standing.rank(16.3) == READY


def test_a_failed_connection_backs_off_longer_each_time_up_to_five_seconds() -> None:
    standing = Standing()
    waits = []
    for _ in range(8):
        standing.back_off(10.0)
        waits.append(round(standing.backoff_until_s - 10.0, 3))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert standing.rank(14.9) == RESTING
    assert not standing.connects
    standing.connected()
    assert standing.rank(10.0) == READY
    assert standing.reached


def test_the_other_family_is_a_fallback_and_an_ejection_comes_last() -> None:
    standing = Standing()
    standing.set_fallback(True)
    assert (standing.rank(10.0), standing.ready_at_s) == (FALLBACK, math.inf)
    standing.set_fallback(False)
    standing.eject(20.0, condemned=False)
    assert standing.rank(19.9) == EJECTED
    assert standing.rank(20.0) == READY


def test_a_condemned_address_is_used_and_not_doubted() -> None:
    standing = Standing()
    standing.failed(Outcome.SERVER_ERROR, None, 10.0)
    standing.eject(0.0, condemned=True)
    standing.failed(Outcome.SERVER_ERROR, None, 10.0)
    assert standing.rank(10.0) == READY
