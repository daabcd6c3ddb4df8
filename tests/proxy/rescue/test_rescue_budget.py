"""How many failed requests are tried on the other version."""

from __future__ import annotations

import pytest

from router.proxy.rescue.rescue_budget import RESULTS, TEST_EVERY_S, TESTS_EVERY, WELL_MIN, RescueBudget


def used(*results: bool | None) -> RescueBudget:
    budget = RescueBudget()
    for client, well in enumerate(results, 1):
        budget.begin(0.0)
        budget.end(client, others=True, well=well)
    return budget


def allows(budget: RescueBudget, now_s: float, in_flight_max: int = 64, client: int = 999, others: bool = True) -> bool:
    return budget.allows(now_s, in_flight_max, client, others=others)


@pytest.mark.parametrize(
    ("results", "allowed"),
    [
        ((), True),
        ((True,) * 100, True),
        ((False,) * (RESULTS - WELL_MIN), True),
        ((False,) * (RESULTS - WELL_MIN + 1), False),
        ((False,) * 100, False),
        ((False,) * 20 + (True,) * (WELL_MIN - 1), False),
        ((False,) * 20 + (True,) * WELL_MIN, True),
        ((None,) * 100, True),
    ],
    ids=["at first", "well", "a fifth failed", "more failed", "all failed", "not yet well", "well again", "no results"],
)
def test_all_are_rescued_while_four_of_five_were_well(results: tuple[bool | None, ...], allowed: bool) -> None:
    assert allows(used(*results), 0.5) == allowed


def test_below_that_one_of_ten_is_a_test() -> None:
    budget, begun = used(*(False,) * 20), 0
    for number in range(100):
        now_s = number * TEST_EVERY_S / 1000
        if allows(budget, now_s):
            budget.begin(now_s)
            budget.end(number + 1, others=True, well=False)
            begun += 1
        else:
            budget.refuse()
    assert begun == 100 // TESTS_EVERY


def test_below_that_one_a_second_is_a_test() -> None:
    budget = used(*(False,) * 20)
    assert not allows(budget, TEST_EVERY_S * 0.9)
    assert allows(budget, TEST_EVERY_S)


def test_rescues_without_a_result_are_limited() -> None:
    budget = RescueBudget()
    for _ in range(3):
        assert allows(budget, 0.0, 3)
        budget.begin(0.0)
    assert not allows(budget, 100.0, 3)
    budget.end(1, others=True, well=None)
    assert allows(budget, 0.0, 3)


def failed_of_one(times: int, others: bool) -> RescueBudget:
    budget = RescueBudget()
    for _ in range(times):
        budget.begin(0.0)
        budget.end(7, others=others, well=False)
    return budget


def test_what_one_client_sends_uses_up_no_rescues_of_others() -> None:
    budget = failed_of_one(20, others=True)
    assert allows(budget, 0.5, client=8)
    assert not allows(budget, 0.5, client=7), "its own are tests"
    assert allows(budget, TEST_EVERY_S, client=7)
    budget.begin(0.5)
    assert budget.end(7, others=True, well=True)
    assert allows(budget, 0.6, client=7), "it was well again"


def test_the_only_client_is_every_client() -> None:
    budget = failed_of_one(20, others=False)
    assert not allows(budget, 0.5, client=7, others=False)
    assert not allows(budget, 0.5, client=8)
