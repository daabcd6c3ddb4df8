"""What would have been rolled back while every rule only observes (`run --observe`): counted, and one line a day for the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from router.rollout.units import SECOND_NS

DAY_NS: Final = 86_400 * SECOND_NS


class ObservedDay:
    """One service since `since_ns` (monotonic). A trigger that fails without a pause counts once."""

    def __init__(self, service: str, since_ns: int) -> None:
        self._service = service
        self._since_ns = since_ns
        self._failing: frozenset[str] = frozenset()
        self._counts: dict[str, int] = {}
        self._reasons: dict[str, str] = {}

    def note(self, reasons: Mapping[str, str]) -> None:
        """Take the reasons of the triggers that are due now, by name."""
        for name, reason in reasons.items():
            if name not in self._failing:
                self._counts[name] = self._counts.get(name, 0) + 1
                self._reasons[name] = reason
        self._failing = frozenset(reasons)

    def line(self, now_ns: int) -> str | None:
        """Return the line of the day that is over, and begin the next one; None before its end."""
        if now_ns - self._since_ns < DAY_NS:
            return None
        self._since_ns += DAY_NS * ((now_ns - self._since_ns) // DAY_NS)
        counts, reasons = self._counts, self._reasons
        self._counts = dict.fromkeys(self._failing, 1)  # one that goes on counts for the next day, too
        self._reasons = {name: reasons[name] for name in self._failing}
        if not counts:
            return f"observe service={self._service}: nothing would have been rolled back in the last 24 h"
        found = "; ".join(
            f"{count} × {name}, the last because {reasons[name]}" for name, count in sorted(counts.items())
        )
        return f"observe service={self._service}: would have been rolled back in the last 24 h: {found}"
