"""Returns the memory that a burst of connections leaves behind to the system, once the burst is over.

glibc keeps freed memory that lies between blocks in use, and OpenSSL takes about 40 KiB for a handshake: after 2,000 half-open
handshakes a worker stayed at 120 MiB instead of 15, and grew with the next bursts. `malloc_trim` returns the free pages
(malloc_trim(3)). The call walks the heap on the event loop (5 to 8 ms at 150 MiB), so it is made once for each burst.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

BURST: Final = 200
"""How many connections have to be gone before a walk is worth its time: with TLS they leave about 8 MiB."""
PAUSE_S: Final = 1.0
"""The least time between two walks."""


def trimmer() -> Callable[[], object] | None:
    """Return the function that returns free pages to the system, None where the C library has none (musl returns them itself)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


class Heap:
    """The heap of one worker. `most` is the highest number of connections since pages were returned last."""

    def __init__(self, trim: Callable[[], object] | None) -> None:
        self.most = 0
        self._trim = trim
        self._before = 0
        self._again_s = 0.0

    def trim_after_burst(self, connections: int, now_s: float) -> None:
        """Return pages once at least half of a burst is gone and the number falls no further. Called in every sweep."""
        falling, self._before = connections < self._before, connections
        if connections > self.most:
            self.most = connections
        elif falling or self._trim is None or now_s < self._again_s:
            return
        elif self.most - connections >= max(BURST, self.most // 2):
            self.most = connections
            self._again_s = now_s + PAUSE_S
            self._trim()
