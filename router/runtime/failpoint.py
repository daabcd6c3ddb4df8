"""Places where a test may kill the process, or have a thread hang. In production none is armed and `hit` is one dictionary
look-up.

Armed by the setting `fail_point = "NAME:N"` (environment `ROLLBACK_ROUTER_FAIL_POINT`): the Nth time NAME is passed, the
process ends by SIGKILL, as in a power cut. `NAME:N:hang` blocks the thread there for ever instead, as a disk does that does
not answer. `NAME:N:/PATH` blocks it until somebody opens the FIFO PATH for reading, as a disk does that answers late.
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
        count, _, how = rest.partition(":")
        self._left = {name: int(count or "1")} if name else {}
        self._hangs = how == "hang"
        self._fifo = how if how.startswith("/") else ""

    def hit(self, name: str) -> None:
        """Die or hang here if this is the armed place and its turn has come."""
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
