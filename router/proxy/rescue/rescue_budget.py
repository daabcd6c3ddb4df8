"""How many failed requests of one service may be rescued in one worker. Values and `now` in, decisions out.

    all      while at least WELL_MIN of the last RESULTS rescues were well
    a part   below that: one of TESTS_EVERY, and one TEST_EVERY_S after the last one, as a test
    none     while `in_flight_max` rescues have brought nothing yet

A client whose last rescue failed may send what every version fails on. While others are served its requests are rescued as tests
alone, and further failures of it say nothing: they would use up the rescues of the others, and speak for the failing version.

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
        self._results: deque[tuple[bool, int]] = deque([(True, 0)] * RESULTS, maxlen=RESULTS)  # (well, client)
        self._refused = 0  # since the last rescue
        self._begun_s = 0.0

    def allows(self, now_s: float, in_flight_max: int, client: int, *, others: bool) -> bool:
        """Return whether one more may begin now. `client`: its fingerprint; `others`: whether other clients are served."""
        if self.in_flight >= in_flight_max:
            return False
        if sum(well for well, _ in self._results) >= WELL_MIN and not (others and self._fails(client)):
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

    def end(self, client: int, *, others: bool, well: bool | None) -> bool:
        """Count the result of a rescue; None: it says nothing, because the client left or the router ended it.

        Return whether it says anything.
        """
        self.in_flight -= 1
        if well is None or (not well and others and self._fails(client)):
            return False
        self._results.append((well, client))
        return True

    def _fails(self, client: int) -> bool:
        """Whether the last result of this client was a failure."""
        return next((not well for well, of in reversed(self._results) if of == client), False)
