"""Names the causes of the answers of a version that workers have refused as malformed in the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from operator import sub
from typing import Final

from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted
from router.shm import layout as at
from router.shm.worker_stats import WorkerStats

WINDOW_S: Final = 60
CAUSES_NAMED_MAX: Final = 3


class RefusedAnswersMonitor:
    """The answers of the active version of service number `index`."""

    def __init__(self, worker_stats: WorkerStats, index: int) -> None:
        self._worker_stats = worker_stats
        self._index = index
        self._holder: tuple[int, int] | None = None
        self._seconds: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW_S + 1)

    def observe(self, slot: int, incarnation: int, now_ns: int) -> None:
        """Take a reading, at most one a second; the first one of a version is where it counts from."""
        if self._holder != (slot, incarnation):
            self._holder = slot, incarnation
            self._seconds.clear()
        if not self._seconds or now_ns - self._seconds[-1][0] >= SECOND_NS:
            self._seconds.append((now_ns, self._worker_stats.refused_answers(self._index, slot)))

    def recent(self) -> dict[str, int]:
        """Return the refused answers of the last WINDOW_S by cause, those without any left out."""
        if self._holder is None or not self._seconds:
            return {}
        now = self._worker_stats.refused_answers(self._index, self._holder[0])
        counts = map(sub, now, self._seconds[0][1])
        return {cause: count for cause, count in zip(at.REFUSED_ANSWERS, counts, strict=True) if count > 0}


def cause_text(counts: Mapping[str, int]) -> str:
    """Return the causes in words, the most frequent first; empty without any."""
    if not counts:
        return ""
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    named = [f"{cause} ({count})" if len(ranked) > 1 else cause for cause, count in ranked[:CAUSES_NAMED_MAX]]
    return f"{counted(sum(counts.values()), 'answer')} refused: {', '.join(named)}"
