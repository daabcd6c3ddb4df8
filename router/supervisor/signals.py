"""Signals as bytes to read: the supervisor waits for the next signal or for its next tick."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Sequence
from types import FrameType

WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Signals:
    """While entered, the `WATCHED` signals only wake `wait`. Main thread only (signal.set_wakeup_fd)."""

    def __enter__(self) -> Signals:
        self._inbox, self._outbox = socket.socketpair()
        self._inbox.setblocking(False)
        self._outbox.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._outbox.fileno(), warn_on_full_buffer=False)
        self._handlers_before = {number: signal.signal(number, _only_wake) for number in WATCHED}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._inbox.close()
        self._outbox.close()

    def wait(self, timeout_s: float, others: Sequence[int] = ()) -> list[int]:
        """Return the numbers of the received signals, in order; empty after `timeout_s`, or if one of `others` is readable."""
        inbox = select.poll()  # select() supports only descriptors below 1024
        for descriptor in (self._inbox.fileno(), *others):
            inbox.register(descriptor, select.POLLIN)
        if self._inbox.fileno() in dict(inbox.poll(timeout_s * 1000)):
            return list(self._inbox.recv(256))
        return []


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; without a handler Python would not write to the wake-up descriptor."""
