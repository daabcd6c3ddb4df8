"""Log lines on stderr: one per change of state, with fields; one per request only if the access log is on.

Unprintable characters are escaped here, for every process. As text a record is one line, and the lines of a traceback are
indented, so text from outside cannot look like a line of the log. As JSON (json_log.py) a record is one line with all it has.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from types import TracebackType
from typing import Literal, Self

from router.runtime.printable import printable
from router.runtime.text.json_log import JsonFormatter

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


LogFormat = Literal["text", "json"]


class LogThrottle:
    """Permits one line in `every_s` seconds: events that outsiders can cause must not fill the log."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._last_s = -math.inf

    def due(self, now_s: float) -> bool:
        """Return whether a line may be written now; True starts the next `every_s` seconds."""
        if now_s - self._last_s < self._every_s:
            return False
        self._last_s = now_s
        return True


def setup(process: str, log_format: LogFormat = "text", level: int = logging.INFO) -> None:
    """Send the log of this process to stderr, with the name of the process in each record. May be called again."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if log_format == "json" else Printable.of(process))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


class Printable(logging.Formatter):
    """Formats a record as one printable line, and a traceback below it as indented lines."""

    @classmethod
    def of(cls, process: str) -> Self:
        """Return the formatter of a process."""
        return cls(f"%(asctime)s.%(msecs)03d %(levelname)s {process} %(message)s", "%Y-%m-%dT%H:%M:%S")

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


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
