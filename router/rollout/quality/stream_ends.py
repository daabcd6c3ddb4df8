"""How event streams of the common protocols end (`stream_end = "auto"`).

[DONE]                                        OpenAI chat and completions
response.completed, .incomplete, .failed      OpenAI responses
message_stop                                  Anthropic messages
{… "done": true …}                            servers that speak like Ollama
"""

from __future__ import annotations

import re
from typing import Final

from router.rollout.quality.validators import Complaint, StreamEnd
from router.rollout.work_paths import is_protocol_path

AUTO: Final = "auto"
LINE_BYTES_MAX: Final = 4096
"""The beginning of a longer line suffices."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_TYPES: Final = rb"response\.(?:completed|incomplete|failed)|message_stop"
_NAMED: Final = re.compile(rb"event:[ ]?(?:" + _TYPES + rb")")
_ENDING: Final = re.compile(
    rb'data:[ ]?(?:\[DONE\]\s*|\s*\{.*?(?:"type"\s*:\s*"(?:' + _TYPES + rb')"|"done"\s*:\s*true).*)', re.DOTALL
)


class KnownStreamEnd:
    """Checks that one event stream ends as one of the common protocols does."""

    def __init__(self) -> None:
        self._rest = b""
        self._named = False
        self._ends = False
        self._has_data = False

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        *lines, rest = _LINE_END.split(self._rest + data)
        for line in lines:
            self._line(line)
        self._rest = rest[:LINE_BYTES_MAX]

    def _line(self, line: bytes) -> None:
        if line.startswith(b"event:"):
            self._named = _NAMED.fullmatch(line) is not None
        elif line.startswith(b"data:"):
            self._has_data = True
            self._ends = self._named or _ENDING.fullmatch(line) is not None
        elif not line:
            self._named = False

    def complaint(self) -> Complaint | None:
        """Return the violation at the end of the stream; None if it is valid."""
        self._line(self._rest)
        if not self._has_data:
            return Complaint("empty", "", "the stream has no event with data")
        return None if self._ends else Complaint("end", "", "the stream does not end as its protocol says")


def stream_end(end: str, path: str) -> StreamEnd | KnownStreamEnd | None:
    """Return the check of a stream's end on this path; None if `end` is "auto" and the protocol of the path is unknown."""
    if end != AUTO:
        return StreamEnd(end)
    return KnownStreamEnd() if is_protocol_path(path) else None
