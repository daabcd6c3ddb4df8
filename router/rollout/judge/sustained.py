"""For how long a trigger has failed: at every conclusive tick of the period, and in most of its ticks.

An inconclusive tick adds no time; if too many ticks of the period are inconclusive, the failure is not sustained. A pass resets
the time. The period is the shortest time up to now that contains enough failing time.
"""

from __future__ import annotations

from router.rollout.judge.verdict import State
from router.rollout.units import SECOND_NS

RUNS_MAX = 512
"""Runs of equal state that are kept. Dropping older runs can only delay a decision."""
TICK_MAX_NS = SECOND_NS
"""Time between two ticks beyond this does not count."""


class Sustained:
    """Ticks of one trigger since it last passed, as runs of equal state: [is fail, ticks, nanoseconds]."""

    def __init__(self) -> None:
        self._runs: list[list[int]] = []
        self._last_ns: int | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the trigger has not failed since it last passed: then a pass or an inconclusive tick changes nothing."""
        return not self._runs

    def tick(self, state: State, now_ns: int) -> None:
        """Add the state of the trigger at `now_ns`."""
        elapsed_ns = min(now_ns - self._last_ns, TICK_MAX_NS) if self._last_ns is not None else 0
        self._last_ns = now_ns
        if state not in ("fail", "inconclusive"):
            self._runs.clear()
            return
        fails = int(state == "fail")
        if not self._runs:
            if not fails:
                return
            elapsed_ns = 0
        if self._runs and self._runs[-1][0] == fails:
            self._runs[-1][1] += 1
            self._runs[-1][2] += elapsed_ns
        else:
            self._runs.append([fails, 1, elapsed_ns])
            del self._runs[:-RUNS_MAX]

    def sustained_s(self, period_s: float, share: float) -> float:
        """Return the failing seconds since the last pass, at most `period_s`, without inconclusive time; 0 if fewer than
        `share` of the ticks of that time failed.
        """
        needed_ns = int(period_s * SECOND_NS)
        failed_ns = failed = ticks = 0
        for fails, count, run_ns in reversed(self._runs):
            if fails and failed_ns + run_ns > needed_ns:  # of the oldest run only the part within the period
                count = -(-count * (needed_ns - failed_ns) // run_ns)
            ticks += count
            if fails:
                failed += count
                failed_ns += run_ns
                if failed_ns >= needed_ns:
                    break
        return min(failed_ns, needed_ns) / SECOND_NS if ticks and failed >= share * ticks else 0.0

    def is_sustained(self, period_s: float, share: float) -> bool:
        """Return whether the trigger fails now and has failed for `period_s`."""
        return bool(self._runs) and bool(self._runs[-1][0]) and self.sustained_s(period_s, share) >= period_s
