"""The inference probes of the active version and of its standby, as the judge reads them (docs/behaviour/judging.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAILURES_MIN: Final = 3
"""An endpoint fails by its inference probe after this many failures in a row."""


@dataclass(frozen=True, slots=True)
class ProbeEvidence:
    """Times are monotonic nanoseconds; 0: never, or none.

    `endpoints`: endpoints of the active version. `good` and `bad`: endpoints whose newest inference probe passed, or failed; an
    answer of 401 or 403 is neither. `failing`: endpoints whose last FAILURES_MIN or more inference probes failed.
    `since_ns`: since when more than half of the endpoints fail: the first failure of the newest of these runs; 0 while half or
    fewer do. `timeouts_only`: every failure of these runs was a time-out. `last_good_ns`: the newest probe that passed.
    `warmed`: warmup_probes or more inference probes passed in the 60 s before the promotion. `standby_passes`: whether the
    inference probe of the standby passes on more than half of its endpoints; None without one. `detail`: the newest errors.
    """

    endpoints: int
    good: int = 0
    bad: int = 0
    failing: int = 0
    since_ns: int = 0
    timeouts_only: bool = False
    last_good_ns: int = 0
    warmed: bool = False
    standby_passes: bool | None = None
    detail: str = ""

    @property
    def passes(self) -> bool:
        """Whether the newest inference probe passed on more than half of the endpoints."""
        return 2 * self.good > self.endpoints

    @property
    def red(self) -> bool:
        """Whether the newest inference probe failed on more than half of the endpoints."""
        return 2 * self.bad > self.endpoints

    @property
    def fails(self) -> bool:
        """Whether more than half of the endpoints fail by FAILURES_MIN probes in a row."""
        return 2 * self.failing > self.endpoints
