"""Log records as lines of JSON. docs/reference/log-lines.md has the members.

A record may carry members of its own: `log.error("alarm %s", code, extra=members(event="alarm", code=code))`. The text format
shows the message alone.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Final

from router.runtime import clock
from router.runtime.printable_json import json_bytes

_MEMBERS: Final = "members"


def members(**values: Any) -> dict[str, dict[str, Any]]:
    """Return the argument `extra` of a log call that gives its line these members."""
    return {_MEMBERS: values}


class Fields:
    """A message that consists of members: in the text format it is their JSON, in the JSON format `summary`."""

    def __init__(self, summary: str, values: dict[str, Any]) -> None:
        self.summary = summary
        self.values = values

    def __str__(self) -> str:
        return json_bytes(self.values).decode()


class JsonFormatter(logging.Formatter):
    """Formats a record of the process `process` as one line of JSON; a traceback is a member."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, Any] = {
            "time": clock.iso(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": _message(record),
        }
        if isinstance(record.msg, Fields):
            line |= record.msg.values
        line |= getattr(record, _MEMBERS, {})
        if record.exc_info and record.exc_info[1] is not None:
            kind, error, trace = record.exc_info
            line["exception"] = self._exception(kind, error, trace)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json_bytes(line, default=str).decode()

    def _exception(
        self, kind: type[BaseException] | None, error: BaseException, trace: TracebackType | None
    ) -> dict[str, str]:
        text = self.formatException((kind or type(error), error, trace))
        return {"type": type(error).__name__, "message": str(error), "stack": text}


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, Fields):
        return record.msg.summary
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # a library's message does not fit its arguments: both are shown
        return f"{record.msg} {record.args!r}"
