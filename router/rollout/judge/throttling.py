"""Whether a version answers mostly that it is busy, and whether the version before took the same rate.

Throttling is no fault: a standby may be smaller, so nothing is rolled back by it. On probation, where the version before was
not throttled at that rate, an operator is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import Outcome
from router.rollout.stats.window import Window

WINDOW_S: Final = 60.0
STILL_S: Final = 10.0
ENDS_MIN: Final = 20
"""Fewer answers in a window say nothing."""
SHARE_MIN: Final = 0.5
BEFORE_SHARE_MAX: Final = 0.1
"""With a larger share of its own the version before was throttled, too."""
RATE_FACTOR_MAX: Final = 1.5
"""At a rate above this multiple of the one before, more traffic explains the throttling."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """`throttled` of `ended` attempts; `per_s`: attempts a second."""

    throttled: int
    ended: int
    per_s: float

    @property
    def share(self) -> float:
        """Share of the attempts that ended throttled."""
        return self.throttled / self.ended if self.ended else 0.0

    @property
    def is_high(self) -> bool:
        """Whether most attempts are throttled."""
        return self.ended >= ENDS_MIN and self.share >= SHARE_MIN


def pressure(window: Window | None) -> Pressure | None:
    """Return the pressure in a window; None without data."""
    if window is None or window.covered_s <= 0:
        return None
    ended = sum(window.outcomes)
    return Pressure(window.outcomes[Outcome.THROTTLED], ended, window.claimed / window.covered_s)


def since(longer: Pressure | None, shorter: Pressure | None, longer_s: float, shorter_s: float) -> Pressure | None:
    """Return the pressure of the beginning of the longer of two windows that end now; None without data."""
    if longer is None:
        return None
    known = shorter or Pressure(0, 0, 0.0)
    seconds = longer_s - shorter_s
    claimed = longer.per_s * longer_s - known.per_s * shorter_s
    return Pressure(longer.throttled - known.throttled, longer.ended - known.ended, max(0.0, claimed) / seconds)


def proposal(now: Pressure, before: Pressure | None) -> TriggerResult | None:
    """Return the result that asks an operator; None if more traffic explains the throttling, or nothing is known of before."""
    if before is None or before.ended < ENDS_MIN or before.share > BEFORE_SHARE_MAX:
        return None
    if now.per_s > RATE_FACTOR_MAX * before.per_s:
        return None
    return TriggerResult(
        kind="hard_failure",
        detail="throttled",
        state="fail",
        action="ask",
        reason=(
            f"{now.throttled} of {now.ended} answers ({now.share:.0%}) in {WINDOW_S:g} s say that the version is busy, at "
            f"{now.per_s:.1f} requests/s; the version before took {before.per_s:.1f} requests/s with {before.share:.0%}"
        ),
        distance="an operator decides",
        failing=True,
        value=now.share,
        limit=SHARE_MIN,
        baseline=before.share,
        samples=now.ended,
        window_s=WINDOW_S,
    )
