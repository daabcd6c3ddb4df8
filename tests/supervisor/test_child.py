from __future__ import annotations

import errno
import os
import signal
import sys

import pytest

from router.supervisor.child import Backoff, Child, describe, start_failure

S = 10**9


class TestBackoff:
    def test_doubles_up_to_five_seconds(self) -> None:
        backoff = Backoff()
        assert [backoff.delay_s(0.0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

    def test_begins_anew_after_a_long_life(self) -> None:
        backoff = Backoff()
        assert [backoff.delay_s(alive) for alive in (0, 0, 29.9, 30.0, 0)] == [0.1, 0.2, 0.4, 0.1, 0.2]


def child(heartbeat_ns: int = 0) -> Child:
    return Child("worker 0", lambda: [sys.executable, "-c", "pass"], tuple, lambda: heartbeat_ns, 0)


def reap(born: Child) -> int | None:
    born.wait()
    return born.ended()


def test_a_predecessors_heartbeat_is_not_its_own() -> None:
    born = child(heartbeat_ns=5 * S)
    assert born.up is False
    born.start(now_ns=6 * S, document=3)
    assert (born.running, born.up, born.document, born.pid > 0) == (True, False, 3, True)
    assert reap(born) == 0
    assert (born.running, born.pid, born.ended()) == (False, 0, None)


@pytest.mark.parametrize(
    ("heartbeat_ns", "watched_since_ns", "now_ns", "silent"),
    [
        pytest.param(2 * S, 0, 6 * S, False, id="4 s of 5"),
        pytest.param(2 * S, 0, 8 * S, True, id="6 s of 5"),
        pytest.param(2 * S, 7 * S, 8 * S, False, id="we ourselves stood still until a second ago"),
        pytest.param(0, 0, 20 * S, False, id="still starting: 19 s of 30"),
        pytest.param(0, 0, 32 * S, True, id="never started: 31 s of 30"),
    ],
)
def test_silence(heartbeat_ns: int, watched_since_ns: int, now_ns: int, silent: bool) -> None:
    born = child(heartbeat_ns)
    born.start(now_ns=1 * S, document=1)
    assert born.is_silent(now_ns, watched_since_ns, limit_s=5.0) is silent
    reap(born)
    assert born.is_silent(now_ns, watched_since_ns, limit_s=5.0) is False, "who is dead is not silent"


def test_restart_waits_for_its_delay() -> None:
    born = child()
    born.start(now_ns=S, document=1)
    reap(born)
    assert (born.restart_after(2 * S), born.restart_at_ns) == (0.1, 2 * S + S // 10)


def test_signals_reach_the_process_and_nobody_once_it_is_gone() -> None:
    born = Child("control", lambda: [sys.executable, "-c", "import signal; signal.pause()"], tuple, lambda: 0)
    born.start(now_ns=S, document=1)
    born.send(signal.SIGKILL)
    assert reap(born) == -signal.SIGKILL
    born.send(signal.SIGKILL)


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exit code 0"), (6, "exit code 6"), (-9, "killed by SIGKILL"), (-60, "killed by signal 60")],
)
def test_describe(status: int, text: str) -> None:
    assert describe(status) == text


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.EAGAIN, "pids.max"), (errno.ENOMEM, "limit of memory"), (errno.EACCES, "Errno 13")]
)
def test_why_a_process_cannot_be_started_names_the_limit(number: int, remedy: str) -> None:
    assert remedy in start_failure(OSError(number, os.strerror(number)))
