"""Decides whether the version that serves in a drill performs worse than the version before. A regression ends the drill early.

Ending a drill early costs nothing, so less evidence is needed than for a rollback: 95 % confidence and at least two bad answers.
The usual share is bounded from above by `USUAL_MAX`: after three good answers nearly any share is possible, but three failures in
a row must end a drill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.judge.baseline import lateness
from router.rollout.stats.bounds import is_above, upper_bound
from router.rollout.stats.histogram import quantile
from router.rollout.stats.window import Window
from router.runtime.text.plurals import counted

CONFIDENCE: Final = 0.95
BAD_MIN: Final = 2
USUAL_MAX: Final = 0.2
TIMED_MIN: Final = 100
"""With fewer timed answers the p99 is their maximum, so no limit is derived from it."""
LATE_FACTOR: Final = 3.0
LATE_ABOVE_MS: Final = 50.0
"""An answer is late if it takes LATE_FACTOR times the p99 of before, and LATE_ABOVE_MS more than it: after 1 ms, 3 ms is not
late.
"""


@dataclass(frozen=True, slots=True)
class Performance:
    """The performance of a version in a period. `late`: answers and waits later than `limit_ms` (None: no limit)."""

    requests: int = 0
    faults: float = 0.0
    timed: float = 0.0
    late: float = 0.0
    limit_ms: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    seconds: float = 0.0

    @property
    def fault_share(self) -> float | None:
        """Share of requests that failed, 0 to 1; None without requests."""
        return self.faults / self.requests if self.requests else None

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for reports: shares and milliseconds, None without data."""
        return {
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "faults": round(self.faults, 3),
            "fault_share": self.fault_share,
            "late": round(self.late, 1),
            "timed": round(self.timed),
            "late_after_ms": self.limit_ms,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
        }


def late_after_ms(before: Window | None, slo_ms: float | None) -> float | None:
    """Return the limit for late answers: the service's objective, else derived from the p99 of before; None if unknown."""
    if slo_ms is not None:
        return slo_ms
    times = before.first_byte if before is not None else None
    p99_ms = _quantile_ms(times or (), 0.99)
    if p99_ms is None or sum(times or ()) < TIMED_MIN:
        return None
    return round(max(p99_ms * LATE_FACTOR, p99_ms + LATE_ABOVE_MS), 3)


def performance_of(
    window: Window | None, limit_ms: float | None, waiting_late: int = 0, timed_window: Window | None = None
) -> Performance:
    """Return the performance in `window`. Times are from `timed_window`, because histograms come once a second.

    `waiting_late`: requests that wait now, and longer than `limit_ms`.
    """
    timing = timed_window if timed_window is not None else window
    late, timed = 0.0, 0.0
    times = (timing.first_byte if timing is not None else None) or ()
    if timing is not None and limit_ms is not None:
        late, timed = lateness(times, timing.abandoned or (), limit_ms * 1000)
    return Performance(
        window.requests if window is not None else 0,
        float(window.failed) if window is not None else 0.0,
        timed + waiting_late,
        late + waiting_late,
        limit_ms,
        _quantile_ms(times, 0.5),
        _quantile_ms(times, 0.99),
        window.covered_s if window is not None else 0.0,
    )


def regressions(before: Performance, now: Performance, fault_share_max: float, late_share_max: float) -> list[str]:
    """Return the regressions of the serving version as text; shares below the two limits are none."""
    found = []
    limit = _usual_share(before.faults, before.requests, fault_share_max)
    if now.faults >= BAD_MIN and is_above(now.faults, now.requests, limit, CONFIDENCE):
        found.append(
            f"{now.faults:.0f} of {counted(now.requests, 'request')} failed (before: {before.faults:.0f} of {before.requests}; "
            f"limit {limit:.1%})"
        )
    limit = _usual_share(before.late, before.timed, late_share_max)
    if now.limit_ms is not None and now.late >= BAD_MIN and is_above(now.late, now.timed, limit, CONFIDENCE):
        found.append(
            f"{now.late:.0f} of {now.timed:.0f} first bytes took longer than {now.limit_ms:g} ms "
            f"(before: {before.late:.0f} of {before.timed:.0f}; limit {limit:.1%})"
        )
    return found


def _usual_share(bad: float, number: float, floor: float) -> float:
    """Return the upper bound of the share before, at least `floor` and otherwise at most USUAL_MAX."""
    return max(floor, min(USUAL_MAX, upper_bound(bad, number, CONFIDENCE) if number else USUAL_MAX))


def _quantile_ms(times: Sequence[int], share: float) -> float | None:
    micros = quantile(times, share)
    return None if micros is None else round(micros / 1000, 3)
