"""What a version has shown since its promotion: its requests, and for how long nothing failed.

A drill interrupts it: what the version does meanwhile is counted (it finishes what it has begun), the time is not.
"""

from __future__ import annotations

from router.rollout.baseline import Tally
from router.rollout.window import SECOND_NS, Entry

Key = tuple[int, int, int]
"""(slot, incarnation, when it was promoted in monotonic nanoseconds)."""


class Probation:
    """Of one version since one promotion. `accepted`: it has passed since this process began."""

    def __init__(self, key: Key, warmup_s: float) -> None:
        self.key = key
        self.tally = Tally(key[2] + int(warmup_s * SECOND_NS))
        self.accepted = False
        self._clean_since_ns = key[2]
        self._paused_ns: int | None = None

    def add(self, entry: Entry) -> None:
        """Take the next sample of the version in."""
        self.tally.add(entry)

    def failed(self, now_ns: int) -> None:
        """A trigger has failed: it begins again."""
        self._clean_since_ns = now_ns
        self.tally.restart()

    def pause(self, now_ns: int) -> None:
        """Another version serves for a while."""
        if self._paused_ns is None:
            self._paused_ns = now_ns

    def go_on(self, now_ns: int) -> None:
        """It serves again."""
        if self._paused_ns is not None:
            self._clean_since_ns += now_ns - self._paused_ns
            self._paused_ns = None

    def clean_s(self, now_ns: int) -> float:
        """Return for how many seconds it has served without a failing trigger."""
        return max((self._paused_ns or now_ns) - self._clean_since_ns, 0) / SECOND_NS
