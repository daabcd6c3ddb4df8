"""Where the lines of the access log go if not to the log: stdout or a file, by a thread of each worker.

The event loop only queues a line; it never waits for the disk. The thread writes what has come within FLUSH_S at once. If the
disk takes nothing, it tries again each RETRY_S, and lines beyond QUEUE_BYTES_MAX are dropped and counted.

All workers append to one file. It is opened again when it was renamed or deleted, and on `reopen` (SIGHUP): lines that were
queued before are in one of both files. A pipe takes a write of up to PIPE_BUF bytes whole; while it is full, it cuts a longer
one. So stdout gets as many lines in one write as fit into that.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Callable
from typing import Final

from router.runtime import clock
from router.runtime.logs import LogThrottle
from router.runtime.text.json_log import JsonFormatter

log = logging.getLogger(__name__)
ACCESS: Final = logging.getLogger("router.access")
FLUSH_S: Final = 0.05
RETRY_S: Final = 1.0
CLOSE_S: Final = 2.0
"""How long the end of a worker waits for the last lines."""
QUEUE_BYTES_MAX: Final = 4 << 20
WARN_EVERY_S: Final = 60.0
FILE_MODE: Final = 0o640
STDERR: Final = "stderr"
STDOUT: Final = "stdout"


class AccessStream:
    """The destination of the access log of one worker. `on_dropped` gets the number of lines that were just dropped."""

    def __init__(self, process: str, on_dropped: Callable[[int], None]) -> None:
        self._formatter = JsonFormatter(process)
        self._on_dropped = on_dropped
        self._to = STDERR
        self._handler: _QueueHandler | None = None

    def send_to(self, to: str) -> None:
        """Send the lines to `to` from now on: "stderr" for the log, "stdout", or the path of a file.

        If they go there already, a file is opened again.
        """
        if to == self._to:
            if self._handler is not None:
                self._handler.writer.reopen()
            return
        before, self._handler = self._handler, None
        if to != STDERR:
            self._handler = _QueueHandler(AppendingWriter(to, self._on_dropped))
            self._handler.setFormatter(self._formatter)
            ACCESS.addHandler(self._handler)
        ACCESS.propagate = to == STDERR
        self._to = to
        if before is not None:
            ACCESS.removeHandler(before)
            before.writer.finish()

    def close(self) -> None:
        """Write the queued lines, for at most CLOSE_S; blocks."""
        handler = self._handler
        self.send_to(STDERR)
        if handler is not None:
            handler.writer.join(CLOSE_S)


class _QueueHandler(logging.Handler):
    """Gives each record to a writer as a line of JSON."""

    def __init__(self, writer: AppendingWriter) -> None:
        super().__init__()
        self.writer = writer
        writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        self.writer.put(self.format(record).encode() + b"\n")


class AppendingWriter(threading.Thread):
    """The thread that writes lines to stdout or to the end of a file."""

    def __init__(self, to: str, on_dropped: Callable[[int], None]) -> None:
        super().__init__(name=f"access log {to}", daemon=True)
        self._to = to
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        self._work, self._finishing = threading.Event(), threading.Event()
        self._lines: list[bytes] = []
        self._queued_bytes = 0
        self._dropped = 0
        self._reopen = False
        self._fd = -1
        self._failing = False
        self._warnings, self._slow_warnings = LogThrottle(WARN_EVERY_S), LogThrottle(WARN_EVERY_S)

    # -- called by the event loop
    def put(self, line: bytes) -> None:
        """Queue a line, or drop it if too much waits."""
        with self._lock:
            fits = self._queued_bytes + len(line) <= QUEUE_BYTES_MAX
            if fits:
                self._lines.append(line)
                self._queued_bytes += len(line)
            else:
                self._dropped += 1
        if fits:
            self._work.set()
        else:
            self._on_dropped(1)
            if not self._failing:  # the thread may wait in a write, which then gives no error
                self._warn(self._slow_warnings, "lines come faster than they are written")

    def reopen(self) -> None:
        """Open the file again, after the lines that are queued now."""
        self._reopen = True
        self._work.set()

    def finish(self) -> None:
        """Write what is queued, then end; a disk that takes nothing loses the rest."""
        self._finishing.set()
        self._work.set()

    # -- the thread
    def run(self) -> None:
        """Write until `finish`."""
        while True:
            self._work.wait()
            self._finishing.wait(FLUSH_S)
            self._work.clear()
            finishing, reopen = self._finishing.is_set(), self._reopen
            with self._lock:
                lines, self._lines = self._lines, []
            self._write_all(lines)
            if reopen:
                self._reopen = False
                self._close()
                self._try_to_open()
            if finishing:
                self._close()
                return

    def _write_all(self, lines: list[bytes]) -> None:
        text, at = b"".join(lines), 0
        while at < len(text):
            try:
                at += os.write(self._open(), memoryview(text)[at : self._write_end(text, at)])
                self._failing = False
            except OSError as error:
                self._failed(error)
                if self._finishing.wait(RETRY_S):
                    self._on_dropped(text.count(b"\n", at))
                    break
        with self._lock:
            self._queued_bytes -= sum(map(len, lines))

    def _write_end(self, text: bytes, at: int) -> int:
        """Return where a write of `text` from `at` on ends; a line of more than PIPE_BUF bytes is one write."""
        if self._to != STDOUT:
            return len(text)
        return (text.rfind(b"\n", at, at + select.PIPE_BUF) + 1) or (text.find(b"\n", at) + 1)

    def _open(self) -> int:
        """Return the descriptor, of a new file if the old one was renamed or deleted; raise OSError."""
        if self._to == STDOUT:
            return 1
        if self._fd >= 0 and self._is_moved():
            self._close()
        if self._fd < 0:
            self._fd = os.open(self._to, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, FILE_MODE)
        return self._fd

    def _is_moved(self) -> bool:
        try:
            at_path, here = os.stat(self._to), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (at_path.st_dev, at_path.st_ino) != (here.st_dev, here.st_ino)

    def _try_to_open(self) -> None:
        try:
            self._open()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._close()
        self._failing = True
        self._warn(self._warnings, error.strerror or str(error))

    def _warn(self, throttle: LogThrottle, why: str) -> None:
        if throttle.due(clock.now_s()):
            log.warning("access log %s: %s; %d lines are dropped so far", self._to, why, self._dropped)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
