"""Log lines on stderr: one per change of state, with fields; never one per request unless the access log is on.

What is not printable is escaped here, for every process: a record is one line, and the lines of a traceback are indented, so
that no text of a stranger looks like a line of ours.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from types import TracebackType

from router.runtime.printable import printable

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LogThrottle:
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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable(f"%(asctime)s.%(msecs)03d %(levelname)s {process} %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class Printable(logging.Formatter):
    """Formats a record as one printable line, a traceback below it as indented ones."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's name
        """Return the line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: _ExcInfo) -> str:  # logging's name
        """Return the traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # logging's name
        """Return the stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"  {printable(line)}" for line in text.split("\n"))


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger().critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None and not issubclass(found.exc_type, SystemExit):
        _uncaught(found.exc_type, found.exc_value, found.exc_traceback)
