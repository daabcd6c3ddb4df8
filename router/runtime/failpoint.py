"""Points in the code where a test can kill the process or block a thread. In production no point is armed, and `hit` is one
dictionary look-up.

The setting `fail_point` (environment `ROLLBACK_ROUTER_FAIL_POINT`) arms one point:
`NAME:N`        the Nth time that NAME is passed, the process ends by SIGKILL, as in a power cut
`NAME:N:hang`   the thread blocks for ever, as with a disk that does not answer
`NAME:N:/PATH`  the thread blocks until the FIFO PATH is opened for reading, as with a slow disk
Names: `incident.ID` (the files of that incident), `journal.before`, `journal.handed`, `journal.after`, `mark.before`,
`mark.after`, `store.before`, `store.after`.
"""

from __future__ import annotations

import os
import signal
import threading


class FailPoint:
    """Counts down to one SIGKILL, or one hang (for ever, or until a FIFO is read); unarmed when `spec` is empty."""

    def __init__(self, spec: str = "") -> None:
        name, _, rest = spec.partition(":")
        count, _, action = rest.partition(":")
        self._left = {name: int(count or "1")} if name else {}
        self._hangs = action == "hang"
        self._fifo = action if action.startswith("/") else ""

    def hit(self, name: str) -> None:
        """Kill the process or block if `name` is the armed point and its count is reached."""
        if name not in self._left:
            return
        self._left[name] -= 1
        if self._left[name] == 0:
            if self._fifo:
                os.close(os.open(self._fifo, os.O_WRONLY | os.O_CLOEXEC))
                return
            if self._hangs:
                threading.Event().wait()
            os.kill(os.getpid(), signal.SIGKILL)
