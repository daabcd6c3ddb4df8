"""Whether more comes than the workers may take: an alarm as long as limits on all clients together act."""

from __future__ import annotations

from collections import deque
from typing import Final

from router.control.alarms import Alarms
from router.shm.lanes import Lanes

LIMITS: Final = ("connections_max", "requests_max", "descriptors")
"""Limits on one client alone alarm nobody: they are what keeps it from being felt."""
WINDOW_S: Final = 10
_SECOND_NS: Final = 1_000_000_000


class Pressure:
    """Looks once a second at what the workers counted. The alarm ends after WINDOW_S without a refusal."""

    def __init__(self, lanes: Lanes, alarms: Alarms) -> None:
        self._lanes = lanes
        self._alarms = alarms
        self._seconds: deque[tuple[int, dict[str, int]]] = deque(maxlen=WINDOW_S + 1)

    def look(self, now_ns: int) -> None:
        """Raise or end the alarm `overloaded`."""
        if self._seconds and now_ns - self._seconds[-1][0] < _SECOND_NS:
            return
        counts = self._lanes.limited()
        self._seconds.append((now_ns, counts))
        before = self._seconds[0][1]
        acted = [f"{name} {counts[name] - before[name]} times" for name in LIMITS if counts[name] > before[name]]
        if acted:
            detail = f"limits reached in the last {WINDOW_S} s: {', '.join(acted)}; the rest is refused early (503)"
            self._alarms.up("overloaded", detail)
        else:
            self._alarms.down("overloaded")
