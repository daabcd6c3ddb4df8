"""Whether a version does worse than the one that served before it: what ends a drill early.

Going home from a drill costs nothing, so less evidence is asked for than for a rollback: 95 % confidence, and two bad answers
are the least that can be said anything about. What was normal is bounded from above by `NORMAL_MAX`: after three good
answers nearly any share is possible, and yet three failures in a row are no drill to go on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.rollout.judge.baseline import lateness
from router.rollout.stats.bounds import is_above, upper_bound
from router.rollout.stats.histogram import quantile
from router.rollout.stats.window import Window

CONFIDENCE: Final = 0.95
BAD_MIN: Final = 2
NORMAL_MAX: Final = 0.2
TIMED_MIN: Final = 100
"""With fewer timed answers a p99 is their maximum, and says nothing about what is late."""
LATE_FACTOR: Final = 3.0
LATE_ABOVE_MS: Final = 50.0
"""Late is what takes three times the p99 of before and 50 ms more than it: a p99 of 1 ms makes 3 ms no harm."""


@dataclass(frozen=True, slots=True)
class Performance:
    """What a version did in a stretch. `late` are answers and waits later than `limit_ms` (None: nothing is late)."""

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
        """Share of requests at fault, 0 to 1; None without requests."""
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
    """Return from when on an answer is late: the service's objective, else far above the p99 of before; None if unknown."""
    if slo_ms is not None:
        return slo_ms
    times = before.first_byte if before is not None else None
    p99_ms = _quantile_ms(times or (), 0.99)
    if p99_ms is None or sum(times or ()) < TIMED_MIN:
        return None
    return round(max(p99_ms * LATE_FACTOR, p99_ms + LATE_ABOVE_MS), 3)


def doing(
    window: Window | None, limit_ms: float | None, waiting_late: int = 0, timed_window: Window | None = None
) -> Performance:
    """Return what `window` counts. Times are those of `timed_window`: histograms come once a second only.

    `waiting_late` are requests that have waited longer than `limit_ms` and wait still.
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


def worse(before: Performance, now: Performance, fault_share_max: float, late_share_max: float) -> list[str]:
    """Return in which ways the version that serves now does worse; below the two limits nothing is worse."""
    found = []
    limit = _normal(before.faults, before.requests, fault_share_max)
    if now.faults >= BAD_MIN and is_above(now.faults, now.requests, limit, CONFIDENCE):
        found.append(
            f"{now.faults:.0f} of {now.requests} requests failed (before: {before.faults:.0f} of {before.requests}; "
            f"limit {limit:.1%})"
        )
    limit = _normal(before.late, before.timed, late_share_max)
    if now.limit_ms is not None and now.late >= BAD_MIN and is_above(now.late, now.timed, limit, CONFIDENCE):
        found.append(
            f"{now.late:.0f} of {now.timed:.0f} first bytes took longer than {now.limit_ms:g} ms "
            f"(before: {before.late:.0f} of {before.timed:.0f}; limit {limit:.1%})"
        )
    return found


def _normal(bad: float, number: float, floor: float) -> float:
    """Return what the share was before, at most, and never less than `floor`."""
    return max(floor, min(NORMAL_MAX, upper_bound(bad, number, CONFIDENCE) if number else NORMAL_MAX))


def _quantile_ms(times: Sequence[int], share: float) -> float | None:
    micros = quantile(times, share)
    return None if micros is None else round(micros / 1000, 3)
