"""The only clock. No other module imports `time`; tests pass `now` as an argument.

Decisions use the monotonic clock, because an NTP step or a changed time zone would move a window. The journal keeps both
clocks. On Linux CLOCK_MONOTONIC is one clock for all processes of a machine, so times in shared memory can be compared.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

now_ns = time.monotonic_ns
"""Monotonic time in nanoseconds, the same in every process of this machine."""

now_s = time.monotonic
"""Monotonic time in seconds, as the event loop sees it."""

cpu_s = time.process_time
"""Seconds of CPU that this process has used, in all threads."""


def cpu_of_other_threads_s() -> float:
    """Return the CPU time of this process in seconds, without that of the calling thread."""
    return time.process_time() - time.thread_time()


def wall_s() -> float:
    """Return seconds since 1970-01-01T00:00Z, for display and for the journal; never for a decision."""
    return time.time()


def iso(at_s: float) -> str:
    """Return wall time `at_s` (seconds since the epoch) as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def file_stamp(at_s: float) -> str:
    """Return wall time `at_s` (seconds since the epoch) as a part of a file's name: UTC with microseconds, without colons."""
    return f"{datetime.fromtimestamp(at_s, UTC):%Y%m%dT%H%M%S.%fZ}"


def sleep_s(seconds: float) -> None:
    """Block the calling thread; only for the supervisor and the command line, which have no event loop."""
    time.sleep(seconds)
