"""Rollback drills of a service: their schedule, and the conditions under which a drill is safe."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from router.settings.sections.values import Strict

HOLD_MAX_S: Final = 300.0
EVERY_MIN_S: Final = 300.0
"""The shortest interval of a schedule: a drill is an exercise, not load balancing."""
_SOME_DAY_S: Final = 1_780_000_000.0
_DUES: Final = 50
"""Number of due times that are checked when a schedule is validated, 0.1 ms each."""

Hold = Annotated[float, Field(ge=1, le=HOLD_MAX_S)]


class DrillSettings(Strict):
    """Rollback drills: the router swaps to the standby and back, on a schedule or on demand."""

    schedule: str = "none"
    """A line of cron (minute hour day month weekday) in `timezone`: "0 10 * * 2" is Tuesdays at 10. At most every 5
    minutes. "none": only on demand."""
    timezone: str = "UTC"
    """Time zone of the schedule."""
    mode: Literal["real", "shadow"] = "real"
    """Mode of scheduled drills. "real" swaps; "shadow" does everything except the swap."""
    hold_s: Hold = 10.0
    """Time for which the standby serves."""
    overdue_after_days: Annotated[float, Field(gt=0, le=3660)] | Literal["none"] = 31.0
    """The alarm `drill_overdue` is raised this long after the last drill that passed. Without one the time counts from
    the first version that was accepted. "none": never."""
    fault_share_max: Annotated[float, Field(gt=0, le=1)] = 0.01
    """A drill is refused if a larger share of the last 5 minutes' requests failed. It ends early if more fail on the
    standby."""
    quiet_after_rollback_s: Annotated[float, Field(ge=0, le=86_400 * 31)] = 3600.0
    """A drill is refused for this time after a rollback."""

    @model_validator(mode="after")
    def _valid_schedule(self) -> Self:
        try:
            ZoneInfo(self.timezone)
        except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError(
                f"timezone {self.timezone!r} is not known here: write it as Europe/Berlin, or install tzdata"
            ) from None
        if self.schedule == "none":
            return self
        if len(self.schedule.split()) != 5:
            raise ValueError(
                f"schedule {self.schedule!r} needs five fields (minute hour day month weekday): 0 10 * * 2"
            )
        due_times = [_SOME_DAY_S]
        for _ in range(_DUES):
            due_times.append(self._due_after(due_times[-1]))
        if min(later - due for due, later in pairwise(due_times[1:])) < EVERY_MIN_S:
            raise ValueError(f"schedule {self.schedule!r} is due more often than every {EVERY_MIN_S:g} s")
        return self

    def next_due_s(self, after_s: float) -> float | None:
        """Return the next due time after `after_s` (both seconds since the epoch); None without a schedule."""
        return None if self.schedule == "none" else self._due_after(after_s)

    def _due_after(self, after_s: float) -> float:
        from cronsim import CronSim, CronSimError  # its import takes 16 ms, needed only with a schedule

        at = datetime.fromtimestamp(after_s, ZoneInfo(self.timezone))
        try:
            return next(CronSim(self.schedule, at)).timestamp()
        except (CronSimError, StopIteration) as error:
            reason = str(error) or "it is never due"
            raise ValueError(f"schedule {self.schedule!r}: {reason}; write it as 0 10 * * 2 (Tuesdays at 10)") from None
