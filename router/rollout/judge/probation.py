"""The observations of a version since its promotion: its requests, and the time without a failing trigger.

A drill pauses the probation: requests that the version finishes meanwhile are counted, the time is not.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from router.rollout.judge.baseline import BaselineAccumulator
from router.rollout.stats.window import WindowEntry
from router.rollout.units import SECOND_NS

WAITS_EVERY_NS: Final = 10 * SECOND_NS
WAITS_MAX: Final = 8_640
"""Buckets of ten seconds in a day; older waits are dropped."""

Key = tuple[int, int, int]
"""(slot, incarnation, when it was promoted in monotonic nanoseconds)."""


class Probation:
    """The probation of one version since one promotion. `accepted`: it was accepted since this process started."""

    def __init__(self, key: Key, warmup_s: float) -> None:
        self.key = key
        self.accumulator = BaselineAccumulator(key[2] + int(warmup_s * SECOND_NS))
        self.accepted = False
        self._checked_ns = 0
        self._clean_since_ns = key[2]
        self._paused_ns: int | None = None
        self._waits: deque[tuple[int, float]] = deque(maxlen=WAITS_MAX)

    def add(self, entry: WindowEntry) -> None:
        """Add the next sample of the version."""
        self.accumulator.add(entry)
        oldest_ns = entry.sample.oldest_waiting_ns
        if not oldest_ns or entry.stalled:
            return
        bucket, wait_s = entry.at_ns // WAITS_EVERY_NS, (entry.at_ns - max(oldest_ns, self.key[2])) / SECOND_NS
        if self._waits and self._waits[-1][0] == bucket:
            wait_s = max(wait_s, self._waits.pop()[1])
        self._waits.append((bucket, wait_s))

    def longest_wait_s(self, seconds: float, now_ns: int) -> float:
        """Return the longest wait for a first byte in the last `seconds`, to within ten seconds; 0 without waits."""
        first = (now_ns - int(seconds * SECOND_NS)) // WAITS_EVERY_NS
        return max((wait_s for bucket, wait_s in self._waits if bucket >= first), default=0.0)

    def failed(self, now_ns: int) -> None:
        """Start again, because a trigger has failed."""
        self._clean_since_ns = now_ns
        self.accumulator.restart()

    def accept(self) -> None:
        """Count the version as accepted; the daily baseline begins."""
        self.accepted = True
        self.accumulator.restart()

    def take_check(self, now_ns: int) -> bool:
        """Return True at most once a second: the criteria may be evaluated now."""
        if now_ns - self._checked_ns < SECOND_NS:
            return False
        self._checked_ns = now_ns
        return True

    def pause(self, now_ns: int) -> None:
        """Stop the time: another version serves for a drill."""
        if self._paused_ns is None:
            self._paused_ns = now_ns

    def resume(self, now_ns: int) -> None:
        """Continue the time: the version serves again."""
        if self._paused_ns is not None:
            self._clean_since_ns += now_ns - self._paused_ns
            self._paused_ns = None

    def clean_s(self, now_ns: int) -> float:
        """Return the seconds that the version has served without a failing trigger."""
        return max((self._paused_ns or now_ns) - self._clean_since_ns, 0) / SECOND_NS
