"""Every wait of a kind in one ordered table, swept by the worker's single timer: never a timer per request.

All entries of a table wait equally long, so insertion order is the order of expiry and a sweep looks at the expired ones
and one more. The oldest entry is also the age of the oldest wait, for free. Precision: one sweep (100 ms).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Deadlines:
    """Waits of one kind, by who waits; `expired` is called once for each that lasts `duration_s` (monotonic seconds)."""

    def __init__(self, duration_s: float, expired: Callable[[Any], None]) -> None:
        self.duration_s = duration_s
        self.since: dict[Any, float] = {}
        self._expired = expired

    def start(self, waiter: object, now_s: float) -> None:
        """Begin, or begin anew, the wait of `waiter`."""
        self.since.pop(waiter, None)
        self.since[waiter] = now_s

    def stop(self, waiter: object) -> float | None:
        """End the wait; return since when it lasted, None if there was none."""
        return self.since.pop(waiter, None)

    def sweep(self, now_s: float) -> None:
        """Expire what is due."""
        limit = now_s - self.duration_s
        due = []
        for waiter, since in self.since.items():
            if since > limit:
                break
            due.append(waiter)
        for waiter in due:
            if self.since.pop(waiter, None) is not None:
                self._expired(waiter)

    def longer_than(self, seconds: float, now_s: float) -> int:
        """Return how many have waited for `seconds` or longer."""
        limit = now_s - seconds
        number = 0
        for since in self.since.values():
            if since > limit:
                break
            number += 1
        return number

    def oldest(self) -> float | None:
        """Return since when the oldest waits; None if nobody does."""
        return next(iter(self.since.values()), None)
