"""The counts of one work bucket of a slot, summed over the workers (rollout/work.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.rollout.work import TIME_CELLS, WORK_ENDS, WorkEnd

NO_ENDS: Final = (0,) * len(WORK_ENDS)
NO_CELLS: Final = (0,) * TIME_CELLS


@dataclass(frozen=True, slots=True)
class WorkCounts:
    """`ends` (by WorkEnd), `asked`, `late_faults` and `times` only grow. The rest are gauges; times are monotonic nanoseconds,
    0: none. `overdue`: waits beyond the bucket's limit. `moving`: bodies that moved within 2 s.

    `lost_requests` and `lost_clients` are fingerprints of what ended without use, or waits long, since the last useful answer;
    at most four of each worker. `known_good`: how many of these requests had been useful before.
    """

    ends: tuple[int, ...] = NO_ENDS
    asked: int = 0
    late_faults: int = 0
    known_good: int = 0
    in_progress: int = 0
    waiting: int = 0
    waiting_long: int = 0
    overdue: int = 0
    oldest_wait_ns: int = 0
    last_useful_ns: int = 0
    moving: int = 0
    last_moved_ns: int = 0
    lost_requests: frozenset[int] = frozenset()
    lost_clients: frozenset[int] = frozenset()
    times: tuple[int, ...] = NO_CELLS

    @property
    def useful(self) -> int:
        """Attempts that became useful."""
        return self.ends[WorkEnd.USEFUL]

    @property
    def without_use(self) -> int:
        """Attempts that ended without use, for any reason."""
        return sum(self.ends) - self.ends[WorkEnd.USEFUL]

    @property
    def open(self) -> int:
        """Attempts that are neither useful nor ended."""
        return self.asked - sum(self.ends)


@dataclass(frozen=True, slots=True)
class WorkBucket:
    """A work bucket by its name: method and path template (`POST /v1/chat/completions`)."""

    name: str
    inference: bool
