"""How an attempt or an exchange ended, and which ends are faults (docs/behaviour/judging.md#outcomes).

The numbers are offsets in shared memory.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Outcome(IntEnum):
    """All possible ends; each attempt and each exchange has exactly one."""

    OK = 0
    CLIENT_ERROR = 1
    THROTTLED = 2
    SERVER_ERROR = 3
    CONNECT_FAILED = 4
    TIMED_OUT = 5
    TRUNCATED = 6
    INVALID = 7
    CLIENT_GONE = 8
    SATURATED = 9
    REFUSED = 10
    CUT = 11
    ROUTER_FAULT = 12

    @property
    def label(self) -> str:
        """The spelling in metrics, logs and the API: `server_error`."""
        return self.name.lower()


OUTCOMES: Final = tuple(Outcome)

FAULTS: Final = (Outcome.SERVER_ERROR, Outcome.CONNECT_FAILED, Outcome.TIMED_OUT, Outcome.TRUNCATED, Outcome.INVALID)
"""Outcomes caused by the target. No other outcome may trigger a rollback."""


def of_status(status: int) -> Outcome:
    """Return the outcome of a complete response with final status `status` (RFC 9110 §15)."""
    if status < 400:
        return Outcome.OK
    if status >= 500:
        return Outcome.SERVER_ERROR
    return Outcome.THROTTLED if status == 429 else Outcome.CLIENT_ERROR
