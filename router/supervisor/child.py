"""A child process of the supervisor: its start and restart, its heartbeat, its end."""

from __future__ import annotations

import errno
import logging
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Final

log = logging.getLogger(__name__)

RESTART_DELAY_MIN_S: Final = 0.1
RESTART_DELAY_MAX_S: Final = 5.0
RESTART_FORGET_S: Final = 30.0
"""The back-off starts again for a child that lived this long."""
START_GRACE_S: Final = 30.0
"""A child without a heartbeat yet may be importing on a busy machine: it has at least this long."""


class Backoff:
    """The wait before a restart: 0.1 s, doubled at each quick death up to 5 s."""

    def __init__(self) -> None:
        self._next_s = RESTART_DELAY_MIN_S

    def delay_s(self, alive_s: float) -> float:
        """Return the wait before the restart of a process that lived `alive_s`."""
        if alive_s >= RESTART_FORGET_S:
            self._next_s = RESTART_DELAY_MIN_S
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, RESTART_DELAY_MAX_S)
        return delay_s


class Child:
    """Control (`index` None) or worker number `index`: one process after the other.

    `heartbeat_ns` returns the last heartbeat in shared memory; it may be the predecessor's. `argv` and `fds` are called at
    every start. `environment` None: that of the supervisor. `document` is the number of the newest settings document that the
    process was given.
    """

    def __init__(
        self,
        name: str,
        argv: Callable[[], Sequence[str]],
        fds: Callable[[], Sequence[int]],
        heartbeat_ns: Callable[[], int],
        index: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.index = index
        self.document = 0
        self.started_ns = 0
        self.restart_at_ns = 0
        self._argv = argv
        self._fds = fds
        self._environment = environment
        self._heartbeat_ns = heartbeat_ns
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process that has not been reaped, dead or alive."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id; 0 between two processes."""
        return self._process.pid if self._process else 0

    @property
    def up(self) -> bool:
        """Whether this process, not its predecessor, has written a heartbeat."""
        return self.running and self._heartbeat_ns() > self.started_ns

    def start(self, now_ns: int, document: int) -> None:
        """Start the process. It has its own process group, so a Ctrl-C at the terminal reaches only the supervisor."""
        self.started_ns = now_ns
        self.document = document
        self._process = subprocess.Popen(
            self._argv(),
            pass_fds=self._fds(),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            process_group=0,
            close_fds=True,
        )

    def announce_settings(self, document: int) -> None:
        """Make the process read the document that was delivered to it."""
        self.document = document
        self.send(signal.SIGHUP)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process:
            self._process.send_signal(number)

    def ended(self) -> int | None:
        """Return the exit status once, after the process has ended: negative for a signal; None while it runs."""
        status = self._process.poll() if self._process else None
        if status is not None:
            self._process = None
        return status

    def wait(self) -> None:
        """Block until the process has ended; only after a SIGKILL."""
        if self._process:
            self._process.wait()

    def restart_after(self, now_ns: int) -> float:
        """Set the time of the restart; return the delay in seconds."""
        delay_s = self._backoff.delay_s((now_ns - self.started_ns) / 1e9)
        self.restart_at_ns = now_ns + round(delay_s * 1e9)
        return delay_s

    def silent_s(self, now_ns: int, watched_since_ns: int) -> float:
        """Return the seconds since the last heartbeat, counted from `watched_since_ns` at the earliest."""
        return (now_ns - max(self._heartbeat_ns(), self.started_ns, watched_since_ns)) / 1e9

    def is_silent(self, now_ns: int, watched_since_ns: int, limit_s: float) -> bool:
        """Return whether there was no heartbeat for longer than allowed."""
        allowed_s = limit_s if self.up else max(limit_s, START_GRACE_S)
        return self.running and self.silent_s(now_ns, watched_since_ns) > allowed_s


def describe(status: int) -> str:
    """Return an exit status as text: `killed by SIGSEGV`, `exit code 3`."""
    if status >= 0:
        return f"exit code {status}"
    return f"killed by {signal.Signals(-status).name if -status in list(signal.Signals) else f'signal {-status}'}"


def start_failure(error: OSError) -> str:
    """Return why a process could not be started, with the remedy if the cause is a limit."""
    match error.errno:
        case errno.EAGAIN:
            return f"{error.strerror}: raise the limit of processes (pids.max of the container, ulimit -u)"
        case errno.ENOMEM:
            return f"{error.strerror}: raise the limit of memory"
        case _:
            return str(error)
