"""A process that a benchmark starts: where it runs, what it has used, how it ends."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

STOP_TIMEOUT_S = 40.0


class BenchmarkError(Exception):
    """The measurement cannot be made or cannot be trusted; the message says why."""


class Program:
    """One started program; its output goes to `log`. A context manager: it is stopped at the end."""

    def __init__(
        self, command: Sequence[str], log: Path, *, cores: Iterable[int] | None = None, cwd: Path | None = None
    ) -> None:
        self.name = Path(command[0]).name
        whole = [installed(command[0]), *command[1:]]
        self.log = log
        mine = os.sched_getaffinity(0)
        # A child inherits the affinity of the thread that forks it; this is safe where preexec_fn is not.
        if cores is not None:
            os.sched_setaffinity(0, cores)
        try:
            with log.open("ab") as sink:
                self.process = subprocess.Popen(
                    whole, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=cwd or log.parent
                )
        finally:
            os.sched_setaffinity(0, mine)

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Program:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to leave; after STOP_TIMEOUT_S take it and what it started away."""
        if self.process.poll() is not None:
            return
        pids = tree(self.pid)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()

    def check_alive(self) -> None:
        """Raise with the end of its log if it has left."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise BenchmarkError(f"{self.name} left with {self.process.returncode}:\n{tail}")

    def wait_for_port(self, port: int, timeout_s: float = 15.0) -> None:
        """Return when 127.0.0.1:port accepts connections."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.check_alive()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise BenchmarkError(f"{self.name} does not listen on port {port} after {timeout_s:g} s") from None
                time.sleep(0.05)
            else:
                return


def installed(name: str) -> str:
    """Return the path of a program; Debian keeps nginx and haproxy where an ordinary user's PATH does not look."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise BenchmarkError(f"{name} is not installed: bash benchmarks/setup")
    return found


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def two_cores() -> tuple[int, int]:
    """Return (core of the proxy, core of backend and load)."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchmarkError("this benchmark needs two cores: one for the proxy, one for backend and load")
    # Interrupts mostly go to the first core: the proxy gets the other one.
    return cores[1], cores[0]


def allow_many_files() -> int:
    """Raise the soft limit of open files to the hard one, for us and what we start; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tree(pid: int) -> list[int]:
    """Return `pid` and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU time in seconds that the threads of these processes have used, from their schedstat (ns).

    A thread that has ended is not counted. Raises BenchmarkError if the kernel keeps no such figures
    (CONFIG_SCHED_INFO).
    """
    total_ns = 0
    for pid in pids:
        for task in _tasks(pid):
            try:
                total_ns += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                if task.exists():
                    raise BenchmarkError("this kernel has no /proc/PID/task/TID/schedstat") from None
    return total_ns / 1e9


def wakes(pids: Iterable[int]) -> int:
    """Return how often the threads of these processes have waited and were woken (voluntary_ctxt_switches).

    A thread that has ended is not counted.
    """
    total = 0
    for pid in pids:
        for task in _tasks(pid):
            try:
                status = (task / "status").read_text()
            except FileNotFoundError:
                continue
            total += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return total


def _tasks(pid: int) -> list[Path]:
    """Return the folders of a process's threads in /proc; raise BenchmarkError if there is no such process."""
    found = list(Path(f"/proc/{pid}/task").glob("*"))
    if not found:
        raise BenchmarkError(f"process {pid} has ended")
    return found


def memory_kib(pid: int) -> tuple[int, int]:
    """Return (RSS, PSS) of a process in KiB; PSS counts a page shared by n processes as 1/n (proc(5), smaps_rollup)."""
    values = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        values[name] = int(value)
    return values["Rss:"], values["Pss:"]
