"""How many failed requests are tried on the other version."""

from __future__ import annotations

import pytest

from router.proxy.rescue.rescue_budget import RESULTS, TEST_EVERY_S, TESTS_EVERY, WELL_MIN, RescueBudget


def used(*results: bool | None) -> RescueBudget:
    budget = RescueBudget()
    for well in results:
        budget.begin(0.0)
        budget.end(well=well)
    return budget


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
    assert used(*results).allows(0.5, 64) == allowed


def test_below_that_one_of_ten_is_a_test() -> None:
    budget, begun = used(*(False,) * 20), 0
    for number in range(100):
        now_s = number * TEST_EVERY_S / 1000
        if budget.allows(now_s, 64):
            budget.begin(now_s)
            budget.end(well=False)
            begun += 1
        else:
            budget.refuse()
    assert begun == 100 // TESTS_EVERY


def test_below_that_one_a_second_is_a_test() -> None:
    budget = used(*(False,) * 20)
    assert not budget.allows(TEST_EVERY_S * 0.9, 64)
    assert budget.allows(TEST_EVERY_S, 64)


def test_rescues_without_a_result_are_limited() -> None:
    budget = RescueBudget()
    for _ in range(3):
        assert budget.allows(0.0, 3)
        budget.begin(0.0)
    assert not budget.allows(100.0, 3)
    budget.end(well=None)
    assert budget.allows(0.0, 3)
