"""A wait with an end for what a killed router still holds: its port, or the lock of its state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.runtime import clock

RETRY_EVERY_S: Final = 0.05


class Patience:
    """Wait at most `seconds`, counted from the call of `begin`, in steps of RETRY_EVERY_S."""

    def __init__(
        self,
        seconds: float,
        now_s: Callable[[], float] = clock.now_s,
        sleep_s: Callable[[float], None] = clock.sleep_s,
    ) -> None:
        self._seconds = seconds
        self._now_s = now_s
        self._sleep_s = sleep_s
        self._end_s = 0.0

    def begin(self) -> None:
        """Begin to wait."""
        self._end_s = self._now_s() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return self._now_s() >= self._end_s

    def pause(self) -> None:
        """Sleep until the next try."""
        self._sleep_s(RETRY_EVERY_S)
