"""Places where a test may kill the process. In production none is armed and `hit` is one dictionary look-up.

Armed by the setting `fail_point = "NAME:N"` (environment `ROLLBACK_ROUTER_FAIL_POINT`): the Nth time NAME is passed, the
process ends by SIGKILL, as in a power cut. Names: `journal.before`, `journal.after`, `store.before`, `store.after`.
"""

from __future__ import annotations

import os
import signal


class FailPoint:
    """Counts down to one SIGKILL; unarmed when `spec` is empty."""

    def __init__(self, spec: str = "") -> None:
        name, _, count = spec.partition(":")
        self._left = {name: int(count or "1")} if name else {}

    def hit(self, name: str) -> None:
        """Die here if this is the armed place and its turn has come."""
        if name not in self._left:
            return
        self._left[name] -= 1
        if self._left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
