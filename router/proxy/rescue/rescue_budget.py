"""How many failed requests of one service may be rescued in one worker. Values and `now` in, decisions out.

    all      while at least WELL_MIN of the last RESULTS rescues were well
    a part   below that: one of TESTS_EVERY, and one TEST_EVERY_S after the last one, as a test
    none     while `in_flight_max` rescues have brought nothing yet

A rescue costs the standby a request, and the client the time of a second answer. If the standby fails, too, it buys nothing.

Why: docs/decisions.md#rescues-have-a-budget.
"""

from __future__ import annotations

from collections import deque
from typing import Final

RESULTS: Final = 20
WELL_MIN: Final = 16
TESTS_EVERY: Final = 10
TEST_EVERY_S: Final = 1.0


class RescueBudget:
    """`in_flight`: rescues without a result. It begins as if all rescues had been well."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._results: deque[bool] = deque([True] * RESULTS, maxlen=RESULTS)
        self._refused = 0  # since the last rescue
        self._begun_s = 0.0

    def allows(self, now_s: float, in_flight_max: int) -> bool:
        """Return whether one more may begin now."""
        if self.in_flight >= in_flight_max:
            return False
        if sum(self._results) >= WELL_MIN:
            return True
        return self._refused + 1 >= TESTS_EVERY or now_s - self._begun_s >= TEST_EVERY_S

    def begin(self, now_s: float) -> None:
        """Count a rescue that begins."""
        self.in_flight += 1
        self._begun_s = now_s
        self._refused = 0

    def refuse(self) -> None:
        """Count a failed request that is not rescued because of this budget."""
        self._refused += 1

    def end(self, *, well: bool | None) -> None:
        """Count the result of a rescue; None: it says nothing, because the client left or the router ended it."""
        self.in_flight -= 1
        if well is not None:
            self._results.append(well)
