"""The counts of one work bucket of a slot, summed over the workers (rollout/work.py)."""

from __future__ import annotations

from collections.abc import Sequence
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
        """Attempts that ended without use, for whatever reason."""
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


def merged(parts: Sequence[WorkCounts]) -> WorkCounts:
    """Return the sum of one bucket over several workers."""
    if len(parts) == 1:
        return parts[0]
    return WorkCounts(
        ends=tuple(map(sum, zip(*(part.ends for part in parts), strict=True))),
        asked=sum(part.asked for part in parts),
        late_faults=sum(part.late_faults for part in parts),
        known_good=sum(part.known_good for part in parts),
        in_progress=sum(part.in_progress for part in parts),
        waiting=sum(part.waiting for part in parts),
        waiting_long=sum(part.waiting_long for part in parts),
        overdue=sum(part.overdue for part in parts),
        oldest_wait_ns=min((part.oldest_wait_ns for part in parts if part.oldest_wait_ns), default=0),
        last_useful_ns=max(part.last_useful_ns for part in parts),
        moving=sum(part.moving for part in parts),
        last_moved_ns=max(part.last_moved_ns for part in parts),
        lost_requests=frozenset().union(*(part.lost_requests for part in parts)),
        lost_clients=frozenset().union(*(part.lost_clients for part in parts)),
        times=tuple(map(sum, zip(*(part.times for part in parts), strict=True))),
    )
