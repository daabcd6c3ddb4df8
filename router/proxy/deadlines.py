"""All waits of one kind are in one ordered table, and one timer of the worker sweeps all tables: no request has its own timer.

All entries of a table wait equally long, so the order of insertion is the order of expiry. A sweep reads the expired entries
and one more. The first entry is the oldest wait. Precision: one sweep (100 ms).

Why: docs/decisions.md#deadlines-in-ordered-tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from router.proxy.options import Options


class Deadlines:
    """Waits of one kind: `since` maps each waiter to its start. `expired` is called once for each waiter after `duration_s`.

    Times are monotonic seconds.
    """

    def __init__(self, duration_s: float, expired: Callable[[Any], None]) -> None:
        self.duration_s = duration_s
        self.since: dict[Any, float] = {}
        self._expired = expired

    def start(self, waiter: object, now_s: float) -> None:
        """Start the wait of `waiter`, or start it again."""
        self.since.pop(waiter, None)
        self.since[waiter] = now_s

    def stop(self, waiter: object) -> float | None:
        """End the wait; return its start, None if there was none."""
        return self.since.pop(waiter, None)

    def sweep(self, now_s: float) -> None:
        """Call `expired` for each wait that has lasted `duration_s`."""
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
        """Return how many waits have lasted `seconds` or longer."""
        limit = now_s - seconds
        number = 0
        for since in self.since.values():
            if since > limit:
                break
            number += 1
        return number

    def oldest(self) -> float | None:
        """Return the start of the oldest wait; None if there is no wait."""
        return next(iter(self.since.values()), None)


class DeadlineSet:
    """Tables that are swept and reconfigured together."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._tables: list[tuple[Deadlines, Callable[[Options], float]]] = []
        self._of_connections: list[Deadlines] = []

    def add(
        self, duration: Callable[[Options], float], expired: Callable[[Any], None], *, connections: bool = True
    ) -> Deadlines:
        """Return a new table. `duration` reads its seconds from the settings; `connections`: its waiters are connections."""
        table = Deadlines(duration(self._options), expired)
        self._tables.append((table, duration))
        if connections:
            self._of_connections.append(table)
        return table

    def sweep(self, now_s: float) -> None:
        """Sweep all tables."""
        for table, _ in self._tables:
            if table.since:
                table.sweep(now_s)

    def reconfigure(self, options: Options) -> None:
        """Take the durations from changed settings; waits that have begun keep their start."""
        for table, duration in self._tables:
            table.duration_s = duration(options)

    def forget(self, connection: object) -> None:
        """End all waits of a connection."""
        for table in self._of_connections:
            if table.since:
                table.since.pop(connection, None)
