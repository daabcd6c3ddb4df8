"""What the result of a rescue counts as."""

from __future__ import annotations

import pytest

from router.proxy.rescue.rescue import Rescue
from router.proxy.rescue.rescue_budget import RescueBudget
from router.rollout.work import WorkEnd
from router.shm import layout as at
from router.shm import segment


@pytest.mark.parametrize(
    ("end", "well", "failed", "result"),
    [
        (WorkEnd.USEFUL, 1, 0, True),
        (WorkEnd.FAULT, 0, 1, False),
        (WorkEnd.CLIENT_ERROR, 0, 0, False),
        (WorkEnd.UNAUTHORISED, 0, 0, False),
        (WorkEnd.THROTTLED, 0, 0, False),
        (WorkEnd.EMPTY, 0, 0, False),
        (WorkEnd.GONE_EARLY, 0, 0, None),
        (WorkEnd.GONE_LATE, 0, 0, None),
        (WorkEnd.NEUTRAL, 0, 0, None),
    ],
)
@pytest.mark.parametrize("pair", [True, False])
def test_a_rescue_has_one_result(end: WorkEnd, well: int, failed: int, result: bool | None, pair: bool) -> None:
    words = segment.create(1, 1).words
    row = 4096
    budget = RescueBudget()
    rescue = Rescue(words, row, budget, 0.0, 7, others=True, pair=pair)
    assert budget.in_flight == 1
    for _ in range(2):  # the attempt may be useful first, and end with a fault later
        rescue.end(end)
    rescue.end(WorkEnd.FAULT)
    assert (words[row + at.L_PAIRS_WELL], words[row + at.L_PAIRS_FAILED]) == (well * pair, failed * pair)
    assert budget.in_flight == 0
    assert budget._results[-1][0] is (True if result is None else result)
    assert len(budget._results) == 20


def test_failures_of_one_client_beside_others_are_one_pair() -> None:
    words = segment.create(1, 1).words
    row, budget = 4096, RescueBudget()
    for client in (7, 7, 7, 8):
        Rescue(words, row, budget, 0.0, client, others=True, pair=True).end(WorkEnd.FAULT)
    assert words[row + at.L_PAIRS_FAILED] == 2
