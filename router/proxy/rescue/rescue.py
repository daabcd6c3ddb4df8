"""One rescue: a request that failed on one version and is tried on the standby. Its result is a fact about both versions."""

from __future__ import annotations

from typing import Final

from router.proxy.rescue.rescue_budget import RescueBudget
from router.rollout.work import WorkEnd
from router.shm import layout as at

PAIR_EVERY_S: Final = 0.1
"""Failures of one endpoint within this time have one cause: at most one of them is a pair."""

_WELL: Final[dict[int, bool | None]] = {
    WorkEnd.USEFUL: True,
    WorkEnd.GONE_EARLY: None,
    WorkEnd.GONE_LATE: None,
    WorkEnd.NEUTRAL: None,
}
"""Results of a rescue that are not failures of the budget. A 4xx answer buys the client nothing, so it is one."""


class Rescue:
    """It begins with the claim of the standby, and has one result. `row`: the slot row of the version that failed."""

    def __init__(
        self, words: memoryview, row: int, budget: RescueBudget, now_s: float, client: int, *, others: bool, pair: bool
    ) -> None:
        """`pair`: its result counts as a pair (docs/behaviour/judging.md). `client` and `others` as in RescueBudget."""
        self._words = words
        self._row = row
        self._budget = budget
        self._client = client
        self._others = others
        self._pair = pair
        self._open = True
        budget.begin(now_s)

    def end(self, end: int) -> None:
        """Count the result, once: `end` is the WorkEnd of the attempt on the other version."""
        if not self._open:
            return
        self._open = False
        if not self._budget.end(self._client, others=self._others, well=_WELL.get(end, False)):
            return
        if self._pair and end == WorkEnd.USEFUL:
            self._words[self._row + at.L_PAIRS_WELL] += 1
        elif self._pair and end == WorkEnd.FAULT:
            self._words[self._row + at.L_PAIRS_FAILED] += 1
