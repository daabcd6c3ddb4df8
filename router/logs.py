"""Log lines on stderr: one per change of state, with fields; never one per request unless the access log is on."""

from __future__ import annotations

import logging
import math
import sys


class Seldom:
    """Lets one line in `every_s` seconds through: what a stranger can cause must not fill the log."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._said_s = -math.inf

    def due(self, now_s: float) -> bool:
        """Return whether a line may be written now; if so, the next one waits."""
        if now_s - self._said_s < self._every_s:
            return False
        self._said_s = now_s
        return True


def setup(process: str, level: int = logging.INFO) -> None:
    """Send this process's log to stderr, one line a record, the process named in it."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format=f"%(asctime)s.%(msecs)03d %(levelname)s {process} %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
