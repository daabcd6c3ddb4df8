from __future__ import annotations

import os
import signal

from router.supervisor.signals import Signals


def test_signals_wait_in_order_until_they_are_read() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        assert signals.wait(0) == []
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert signals.wait(5) == [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP]
        assert signals.wait(0) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_something_to_read_elsewhere_ends_the_wait() -> None:
    read, write = os.pipe()
    with Signals() as signals:
        os.write(write, b"x")
        assert signals.wait(60, [read]) == []
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.wait(60, [read]) == [signal.SIGHUP]
    os.close(read)
    os.close(write)
