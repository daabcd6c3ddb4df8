"""Work of a version: what each attempt came to, by work bucket (docs/behaviour/judging.md).

An attempt is *useful*, or it ends *without use*, or it is open. A work bucket is a method and a path template of one service.
The numbers of `WorkEnd` and of the buckets are offsets in shared memory.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final


class WorkEnd(IntEnum):
    """How an attempt became useful, or ended without use: exactly one for each attempt.

    USEFUL        it has brought a result, or the first part of one
    FAULT         it ended by a fault of the target (rollout/outcome.py) before it was useful
    CLIENT_ERROR  4xx, without those below
    UNAUTHORISED  401 or 403
    THROTTLED     the version was busy: 429, and what [services.NAME] throttled_statuses names
    GONE_EARLY    the client ended its wait before the median time to useful of the bucket (1 s if unknown)
    GONE_LATE     the client ended its wait later
    EMPTY         it ended whole, below 400, and nothing in it was useful
    NEUTRAL       it ended for a reason that says nothing about the version: cut, saturated, refused, a fault of this router
    """

    USEFUL = 0
    FAULT = 1
    CLIENT_ERROR = 2
    UNAUTHORISED = 3
    THROTTLED = 4
    GONE_EARLY = 5
    GONE_LATE = 6
    EMPTY = 7
    NEUTRAL = 8

    @property
    def label(self) -> str:
        """The spelling in metrics, logs and the API: `client_error`."""
        return self.name.lower()


WORK_ENDS: Final = tuple(WorkEnd)
WORK_BUCKETS: Final = 16
"""Work buckets of a service."""
NAMED_BUCKETS: Final = 14
"""Buckets 0 to 13 have a name. Each is claimed by the first useful answer of its method and path template."""
OTHER_INFERENCE: Final = 14
"""The bucket of all inference requests without a bucket of their own."""
OTHER: Final = 15
"""The bucket of all further requests without a bucket of their own: GET, HEAD, OPTIONS, and the cheap paths."""

TIME_CELLS: Final = 32
TIME_BOUNDS_US: Final = (
    1_000,
    3_000,
    10_000,
    30_000,
    *(round(100_000 * 2 ** (step / 2)) for step in range(TIME_CELLS - 5)),
)
"""Upper bounds of the cells of a bucket's times to useful, µs: 1, 3, 10, 30 ms, then two cells an octave from 100 ms to 13.7
minutes. The last cell has no bound. The judge compares times of ten seconds and more, so the small ones need no precision."""


def time_cell(micros: int) -> int:
    """Return the cell of a duration in µs."""
    return bisect_right(TIME_BOUNDS_US, micros)


def time_quantile(cells: tuple[int, ...], share: float) -> float | None:
    """Return the time in seconds below which `share` (0 to 1) of the counts lie; None without counts.

    It is linear within a cell. In the last cell, which has no bound, it is the lower bound of the cell.
    """
    total = sum(cells)
    if not total:
        return None
    rank, seen = share * total, 0
    for cell, count in enumerate(cells):
        if count and seen + count >= rank:
            low = TIME_BOUNDS_US[cell - 1] if cell else 0
            high = TIME_BOUNDS_US[cell] if cell < len(TIME_BOUNDS_US) else low
            return (low + (high - low) * max(0.0, rank - seen) / count) / 1e6
        seen += count
    raise AssertionError("unreachable: the counts sum to total")


assert len(TIME_BOUNDS_US) == TIME_CELLS - 1
