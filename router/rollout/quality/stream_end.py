"""Whether an event stream (text/event-stream) said something, and ended with the event that ends it.

Fed as it passes, cut anywhere, in constant memory: until the first event with data its lines are looked at one by one, from then
on only the last bytes are kept.
"""

from __future__ import annotations

import re
from typing import Final

from router.rollout.quality.validator import Complaint

TAIL_BYTES: Final = 512
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_DATA: Final = re.compile(rb"data(?::[ ]?(.*))?", re.DOTALL)


class StreamEnd:
    """One stream; `end` is the data of its last event, for example `[DONE]`."""

    __slots__ = ("_end", "_head", "_said", "_tail")

    def __init__(self, end: str) -> None:
        self._end = end.encode()
        self._said = False
        self._head = b""
        self._tail = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._said:
            self._look_for_data(data)
        self._tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]

    def _look_for_data(self, data: bytes) -> None:
        *lines, rest = _LINE_END.split(self._head + data)
        self._said = any(self._says(line) for line in lines)
        self._head = rest[:TAIL_BYTES]  # of a longer line its beginning says what it is
        if self._said:
            self._head = b""

    def _says(self, line: bytes) -> bool:
        found = _DATA.fullmatch(line)
        return found is not None and bool(found[1]) and found[1] != self._end

    def complaint(self) -> Complaint | None:
        """Return what is wrong, now that the stream is over; None if nothing is."""
        if not (self._said or self._says(self._head)):
            return Complaint("empty", "", "the stream has no event with data")
        lines = [line for line in _LINE_END.split(self._tail) if line and not line.startswith(b":")]
        last = _DATA.fullmatch(lines[-1]) if lines else None
        if last is None or last[1] != self._end:
            return Complaint("end", "", f"the stream does not end with {self._end.decode()}")
        return None
