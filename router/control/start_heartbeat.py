"""The heartbeat of control while it starts: a long journal takes minutes to verify and fold, and the loop does not run meanwhile.

A thread writes heartbeats as long as the start makes progress: the process uses CPU time apart from this thread, or reads from
the disk. A start that has waited for a hanging disk for `PAUSE_S_MAX` has no more heartbeats, so the supervisor ends it, as it
ends any silent control. A start that never ends has heartbeats for `START_S_MAX`.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from router.runtime import clock

log = logging.getLogger(__name__)

BEAT_EVERY_S: Final = 0.2
START_S_MAX: Final = 3600.0
"""10 million entries take less."""
PAUSE_S_MAX: Final = 25.0
"""With the 5 s of `timeouts.control_silent_s` it is the time that a start without any heartbeat has."""
LOG_EVERY_S: Final = 10.0
_CPU_S_MIN: Final = 0.001
"""CPU time between two heartbeats that counts as progress: less is used by threads that wait."""
_IO: Final = Path("/proc/self/io")
_READ_BYTES: Final = re.compile(rb"^read_bytes: ([0-9]+)", re.MULTILINE)


class StartHeartbeat:
    """Beats in a thread, from entry to exit; after an exception to the end of the process. `beat` writes one heartbeat.

    `cpu_s` and `bytes_read` return the progress so far. Without progress for `pause_s_max` it does not beat.
    """

    def __init__(
        self,
        beat: Callable[[], None],
        every_s: float = BEAT_EVERY_S,
        pause_s_max: float = PAUSE_S_MAX,
        cpu_s: Callable[[], float] | None = None,
        bytes_read: Callable[[], int] | None = None,
    ) -> None:
        self._beat = beat
        self._every_s = every_s
        self._pause_s_max = pause_s_max
        self._cpu_s = clock.cpu_of_other_threads_s if cpu_s is None else cpu_s
        self._bytes_read = _bytes_read if bytes_read is None else bytes_read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="start heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:  # a start that failed has much to free before the process ends
            self.end()

    @property
    def alive(self) -> bool:
        """Whether it beats, or waits for progress."""
        return self._thread.is_alive()

    def end(self) -> None:
        """End the heartbeats."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        begun_s = logged_s = progress_s = clock.now_s()
        cpu_s, size = 0.0, 0
        while not self._ended.wait(self._every_s):
            now_s = clock.now_s()
            if now_s - begun_s > START_S_MAX:
                log.error("the start has taken %.0f s: no more heartbeats", START_S_MAX)
                break
            now_cpu_s, now_size = self._cpu_s(), self._bytes_read()
            if now_cpu_s - cpu_s >= _CPU_S_MIN or now_size > size:
                cpu_s, size, progress_s = now_cpu_s, now_size, now_s
            if now_s - progress_s < self._pause_s_max:
                self._beat()
            if now_s - logged_s >= LOG_EVERY_S:
                logged_s = now_s
                log.warning("still reading the state: %.0f s so far, %.0f s of CPU", now_s - begun_s, now_cpu_s)


def _bytes_read() -> int:
    """Return the bytes that the process has read from disks; 0 where the system does not say. Reads from a cache use CPU time."""
    try:
        found = _READ_BYTES.search(_IO.read_bytes())
    except OSError:
        return 0
    return int(found[1]) if found else 0
