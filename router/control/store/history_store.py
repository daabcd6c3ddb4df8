"""The history: the counters of each version of each service, one row for ten seconds. A SQLite file (WAL), one writer thread.

Rows that cannot be written in time are lost and leave a gap; no caller waits for the disk. A disk that is full or hangs costs
rows and raises an alarm. A damaged file is renamed, and a new one is begun.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.loop_calls import on_loop
from router.control.store.history_file import FILE, HistoryFile, Marks
from router.control.store.set_aside import set_aside
from router.control.store.writer_thread import WriterThread
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.history.row import Reading, Row, RowBase, row, row_base
from router.runtime import clock

log = logging.getLogger(__name__)

QUEUE_MAX: Final = 64
"""Batches that wait for the disk: ten minutes of one service. Further batches are dropped."""
ROWS_MAX: Final = 50_000
"""Rows that one read returns at most: about two days of three versions and the service itself."""
READERS_MAX: Final = 3
"""Reads at a time. A read that the disk does not answer counts until it is answered."""
READ_TIMEOUT_S: Final = 20.0
CLOSE_TIMEOUT_S: Final = 2.0
_SHRINK_MAX: Final = 24
_DAY_MS: Final = 86_400_000

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of one service. `at_s` (wall seconds) and `at_ns` (monotonic nanoseconds) are the same moment."""

    service: str
    boot: int
    at_s: float
    at_ns: int
    readings: tuple[Reading, ...]

    def at_ms(self, reading: Reading) -> int:
        """Return the wall time of a reading."""
        return round(self.at_s * 1000 - (self.at_ns - reading.at_ns) / 1e6)


class HistoryUnavailable(Refusal):
    """The file cannot be read now. Only reports and charts depend on it."""

    def __init__(self, why: str) -> None:
        super().__init__(RefusalCode.HISTORY_UNAVAILABLE, f"the history cannot be read: {why}")


class HistoryStore:
    """The open history. The callbacks run on the event loop.

    `on_error` gets the reason while rows are being lost, and None when they are written again. `on_aside` gets the new name of a
    damaged file. At most `queue_max` batches wait for the disk.
    """

    def __init__(
        self,
        folder: Path,
        keep_days: float,
        file_bytes_max: int,
        on_error: Callable[[str | None], None] = lambda why: None,
        on_aside: Callable[[str], None] = lambda name: None,
        *,
        queue_max: int = QUEUE_MAX,
    ) -> None:
        self.keep_days = keep_days
        self.file_bytes_max = file_bytes_max
        self._queue_max = queue_max
        self.dropped = 0
        """Batches that were lost since this process began."""
        self.used_bytes = 0
        self.path = folder / FILE
        self.on_error = on_error
        self.on_aside = on_aside
        self._file: HistoryFile | None = None
        self._marks: Marks = {}
        self._suspect = False
        self._opened = threading.Event()
        self._bulkhead = Bulkhead("history", READERS_MAX)
        self._report_aside = on_loop(asyncio.get_running_loop(), lambda name: self.on_aside(name))
        self._thread = WriterThread("history", on_error, jobs_max=queue_max, begin=self._begin, end=self._close_file)
        self._thread.start()

    # -- on the event loop
    def reconfigure(self, keep_days: float, file_bytes_max: int) -> None:
        """Apply other limits of age and size from the next write on."""
        self.keep_days, self.file_bytes_max = keep_days, file_bytes_max

    def submit(self, batch: Readings) -> bool:
        """Queue a batch and return at once: False if it is dropped because `queue_max` batches wait for the disk."""
        if self._thread.submit(partial(self._write, batch)):
            return True
        self.dropped += 1
        self._thread.report(f"{self._queue_max} batches wait for the disk; rows are being lost")
        return False

    async def rows(
        self, service: str, since_s: float, until_s: float, version: str | None = None, limit: int = ROWS_MAX
    ) -> list[Row]:
        """Return the rows of `service` that ended within wall time (since_s, until_s], oldest first.

        `version` None: rows of every version, and of the service as its clients saw it (version ""). A period without rows is
        unknown, not idle. Raise HistoryUnavailable if the file cannot be read.
        """
        return await self.read(
            lambda file: list(file.rows(service, int(since_s * 1000), int(until_s * 1000), version, limit))
        )

    async def read(self, query: Callable[[HistoryFile], Answer]) -> Answer:
        """Run `query` in a thread, on a connection of its own, and return its result; raise HistoryUnavailable."""

        def find() -> tuple[Answer | None, sqlite3.Error | None]:
            self._opened.wait(READ_TIMEOUT_S)  # the writer creates the file
            try:
                with closing(HistoryFile.to_read(self.path)) as file:
                    return query(file), None
            except sqlite3.Error as error:
                return None, error

        try:
            found, error = await asyncio.wait_for(self._bulkhead.call(find), READ_TIMEOUT_S)
        except BulkheadFull:
            raise HistoryUnavailable(f"{READERS_MAX} other reads are running: try again in a moment") from None
        except TimeoutError:
            raise HistoryUnavailable(f"no answer from the disk within {READ_TIMEOUT_S:g} s") from None
        if error is not None:
            self._suspect = self._suspect or _damaged(error)
            raise HistoryUnavailable(str(error))
        return cast(Answer, found)

    async def close(self) -> None:
        """Write the queued batches and close the file; give up after CLOSE_TIMEOUT_S."""
        await self._thread.close(CLOSE_TIMEOUT_S)

    # -- on the writer thread
    def _begin(self) -> None:
        self._opened_file()
        self._opened.set()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened_file(self) -> HistoryFile | None:
        """Return the open file; None, with a report of the error, if it cannot be opened now."""
        if self._file is not None and not self._suspect:
            return self._file
        try:
            self._close_file()  # suspect: SQLite caches pages, so a connection does not read a page twice
            self._file = HistoryFile.opened(self.path)
            if self._suspect:
                self._verify(self._file)
            self._marks = self._file.marks() | self._marks
        except sqlite3.Error as error:
            if not _damaged(error):
                self._thread.report(f"{type(error).__name__}: {error}")
                return None
            self._move_aside(error)
        except OSError as error:
            self._thread.report(f"{self.path}: {error.strerror}")
            return None
        return self._file

    def _verify(self, file: HistoryFile) -> None:
        (found,) = file.database.execute("PRAGMA quick_check(1)").fetchone()
        self._suspect = False
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Rename the damaged file and begin a new one; the last reading of each slot is still in memory."""
        self._close_file()
        self._suspect = False
        try:
            name = set_aside(self.path, clock.wall_s()).name
            self._file = HistoryFile.opened(self.path)
        except (OSError, sqlite3.Error) as failed:
            self._thread.report(f"{self.path} is damaged ({error}) and cannot be replaced: {failed}")
            return
        log.error("%s is damaged (%s): kept as %s, a new one is begun", self.path, error, name)
        self._report_aside(name)

    def _write(self, batch: Readings) -> None:
        file = self._opened_file()
        if file is None:
            self.dropped += 1
            return
        rows, marks = self._rows(batch)
        keep_from_ms = int(batch.at_s * 1000 - self.keep_days * _DAY_MS)
        try:
            file.write(batch.service, batch.boot, rows, marks, keep_from_ms)
            self._bound(file)
        except sqlite3.Error as error:
            self.dropped += 1
            if _damaged(error):
                self._move_aside(error)
            else:
                self._thread.report(f"{type(error).__name__}: {error}")
            return
        for slot, known in marks.items():
            self._marks[batch.service, slot] = batch.boot, known
        self._thread.report(None)

    def _rows(self, batch: Readings) -> tuple[list[Row], dict[int, RowBase]]:
        """Return the rows of a batch, and the marks from which the next rows count. A mark is stored after its row only."""
        rows, marks = [], {}
        for reading in batch.readings:
            boot, known = self._marks.get((batch.service, reading.slot), (batch.boot, None))
            made = row(known if boot == batch.boot else None, reading, batch.at_ms(reading), batch.boot)
            if made is not None:
                rows.append(made)
            marks[reading.slot] = row_base(reading)
        return rows, marks

    def _bound(self, file: HistoryFile) -> None:
        self.used_bytes = file.used_bytes()
        for _ in range(_SHRINK_MAX):
            if self.used_bytes <= self.file_bytes_max:
                return
            file.shrink()
            self.used_bytes = file.used_bytes()


def _damaged(error: sqlite3.Error) -> bool:
    """Return whether the file itself is damaged; False if it is locked, or if the disk is full."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.ProgrammingError
    )
