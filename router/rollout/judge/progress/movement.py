"""The normal movement of each work bucket of one slot. A bucket that moves has a queue, and its waits are no hang.

Movement is the number of bodies that moved within 2 s, and of useful answers in 30 s. Normal is its mean over the last ten
minutes as the active version, without the samples in which a request waited beyond its limit. In its first ten minutes it is not
below that of the version before.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from router.rollout.stats.window import WindowEntry
from router.rollout.stats.work_history import WorkHistory
from router.rollout.units import SECOND_NS

USEFUL_S: Final = 30.0
MEAN_PARTS: Final = 60
PART_NS: Final = 10 * SECOND_NS
MEAN_SAMPLES_MIN: Final = 10
"""With fewer samples the mean is unknown. The first ones hold less than USEFUL_S: such a mean is too small, which is patient."""
SHARE_MIN: Final = 0.25
"""A bucket moves from this share of its normal movement on."""
_ACTIVE: Final = 1


class Movement:
    """The means of one incarnation. A part is [number of ten seconds, sum, samples]."""

    def __init__(self) -> None:
        self._parts: dict[int, deque[list[float]]] = {}

    def clear(self) -> None:
        """Forget the means."""
        self._parts.clear()

    def add(self, history: WorkHistory, entry: WindowEntry) -> None:
        """Add a sample with work; samples of other roles than the active one, and of a stalled router, are left out."""
        if entry.sample.role != _ACTIVE or entry.stalled:
            return
        for bucket, counts in history.work.items():
            if counts.overdue:
                continue
            parts = self._parts.setdefault(bucket, deque(maxlen=MEAN_PARTS))
            number = entry.at_ns // PART_NS
            if not parts or parts[-1][0] != number:
                parts.append([number, 0.0, 0])
            parts[-1][1] += self.now(history, bucket)
            parts[-1][2] += 1

    @staticmethod
    def now(history: WorkHistory, bucket: int) -> float:
        """Return the movement of a bucket at the newest sample."""
        window = history.window(USEFUL_S, history.at_ns, 0, (bucket,))
        return history.work[bucket].moving + (window.useful if window is not None else 0)

    def mean(self, bucket: int) -> float | None:
        """Return the normal movement of a bucket; None if it is unknown."""
        parts = self._parts.get(bucket, ())
        samples = sum(part[2] for part in parts)
        return sum(part[1] for part in parts) / samples if samples >= MEAN_SAMPLES_MIN else None


def moves(movement: float, mean: float | None, idle_s: float, limit_s: float) -> bool:
    """Return whether a bucket moves. `idle_s`: seconds since a useful answer, or since a body moved.

    Useful answers stay in the movement for 30 s. Nothing moved for the limit of a wait: then they are the past.
    """
    return idle_s < limit_s and movement >= (1.0 if mean is None else max(SHARE_MIN * mean, 1.0))
