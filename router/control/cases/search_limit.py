"""Limits the time in which a pattern searches a text: the client chooses the text, and some patterns need ages for 30 characters.

Python's engine looks at signals while it searches, so a timer ends a search (measured with 3.10 to 3.13, 14 patterns of
exponential and polynomial cost: all ended within 11 ms of the limit). That works in the main thread only. The timer counts the
CPU time of this process, so that a busy machine stops nothing.

Why no engine of linear cost: docs/decisions.md#a-process-redacts-with-a-limit-for-each-search.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from types import FrameType
from typing import Final

from router.rollout.cases.redaction import REDACTED, substitute
from router.runtime import clock

SEARCH_S: Final = 0.05
"""CPU time of one search in one text; usual patterns take microseconds."""

STOPPED_MAX: Final = 5
"""After so many searches of a pattern were ended, the pattern searches nothing any more, and every text is redacted."""

SEARCHES_S: Final = 20.0
"""CPU time of all searches of one process; after that every text is redacted."""


class _Overdue(Exception):
    pass


class SearchLimit:
    """Applies patterns to texts, each within `search_s`. To be used in the main thread, by one instance of a process."""

    def __init__(self, search_s: float = SEARCH_S, searches_s: float = SEARCHES_S) -> None:
        self._search_s = search_s
        self._searches_s = searches_s
        self._begun_s = clock.cpu_s()
        self._armed = False
        self._stopped: Counter[str] = Counter()
        self.spent = False
        """Whether all searches together have taken too long."""
        signal.signal(signal.SIGVTALRM, self._ring)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            raise _Overdue

    @property
    def slow(self) -> list[str]:
        """The patterns whose searches were ended."""
        return sorted(self._stopped)

    def substitute(self, pattern: re.Pattern[str], value: str) -> str:
        """Return `value` with all matches replaced; REDACTED if that was not known in time."""
        if value == REDACTED or self._stopped.get(pattern.pattern, 0) >= STOPPED_MAX:
            return REDACTED
        self.spent = self.spent or clock.cpu_s() - self._begun_s > self._searches_s
        if self.spent:
            return REDACTED
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._search_s)
            found = substitute(pattern, value)
            self._armed = False
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        except _Overdue:
            self._armed = False
            self._stopped[pattern.pattern] += 1
            return REDACTED
        return found
