"""The journal: append-only facts in one SQLite file (WAL, `synchronous=FULL`), written by one thread.

What `append` has returned for is on the disk: the commit is an fsync of the WAL. What `submit` took is written in the order
in which it came, before anything that comes later, and tried again with back-off until the disk takes it. Nobody on the
event loop ever waits for the disk, except those who await `append`.

Every row carries a CRC over all its members, and rows are numbered without gaps; both are verified at every start, after
SQLite's own quick check. A cut WAL tail is not corruption: SQLite drops transactions that were not committed whole.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, ParamSpec

from router.control.store import rows
from router.control.store.rows import Corrupt
from router.errors import OperatorError
from router.failpoint import FailPoint
from router.rollout.entry import Entry

log = logging.getLogger(__name__)

BACKLOG_MAX: Final = 10_000
"""Submitted entries that the disk has not taken yet; further ones are refused with an alarm."""
APPEND_TIMEOUT_S: Final = 5.0
RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 5.0

P = ParamSpec("P")
Written = Callable[[Sequence[int]], None]


@dataclass(slots=True)
class _Batch:
    """Entries of one transaction. `done` is told their numbers, `failed` why not; both on the writer thread."""

    entries: tuple[Entry, ...]
    done: Written
    failed: Callable[[str], None] | None = None
    given_up: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class _Read:
    after: int
    limit: int
    service: str | None
    done: Callable[[list[Entry]], None]
    failed: Callable[[str], None]


class JournalUnavailable(OperatorError):
    """503: the change was not made. `in_doubt`: the disk may still take it; then `on_late` is told."""

    def __init__(self, why: str, *, in_doubt: bool = False) -> None:
        super().__init__(
            503,
            "journal_unavailable",
            f"the journal cannot be written ({why}); nothing was changed, traffic and automatic rollback go on",
            exit_code=9,
        )
        self.in_doubt = in_doubt


class Journal:
    """`database` comes from opening.py, verified. `on_trouble` is called on the event loop with why the disk does not take
    it any more, and with None once it does.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        on_trouble: Callable[[str | None], None] = lambda why: None,
    ) -> None:
        self.on_trouble = on_trouble
        self._database = database
        self._last_seq = last_seq
        self._fail_point = fail_point
        self._jobs: queue.SimpleQueue[_Batch | _Read | None] = queue.SimpleQueue()
        self._backlog: deque[_Batch] = deque()
        self._submitted = 0
        self._complete = True
        self._trouble: str | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    # -- on the event loop
    async def append(
        self,
        *entries: Entry,
        timeout_s: float = APPEND_TIMEOUT_S,
        on_late: Callable[[Sequence[int]], None] | None = None,
    ) -> list[int]:
        """Write `entries` in one transaction; return their numbers once they are on the disk.

        Raise JournalUnavailable (503) if it cannot be. If the disk answers neither way within `timeout_s`, the entries are
        in doubt; should they be written after all, `on_late` is told their numbers.
        """
        answer: asyncio.Future[list[int]] = self._loop.create_future()

        def written(numbers: Sequence[int]) -> None:
            if not answer.done():
                answer.set_result(list(numbers))
            elif on_late is not None:
                on_late(numbers)

        def refused(why: str) -> None:
            if not answer.done():
                answer.set_exception(JournalUnavailable(why))

        batch = _Batch(entries, self._on_loop(written), self._on_loop(refused))
        self._jobs.put(batch)
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            batch.given_up.set()
            raise JournalUnavailable(f"no answer from the disk within {timeout_s:g} s", in_doubt=True) from None

    def submit(self, entry: Entry, on_done: Callable[[int], None] = lambda seq: None) -> bool:
        """Have `entry` written as soon as the disk takes it; return at once, False if too many wait already."""
        if self._submitted >= BACKLOG_MAX:
            log.error("journal: %d entries wait for the disk; %s is not kept", self._submitted, entry.type)
            self._complete = False
            return False
        self._submitted += 1

        def written(numbers: Sequence[int]) -> None:
            self._submitted -= 1
            on_done(numbers[0])

        self._jobs.put(_Batch((entry,), self._on_loop(written)))
        return True

    @property
    def waiting(self) -> int:
        """How many submitted entries are not on the disk yet."""
        return self._submitted

    async def entries(self, after: int = 0, limit: int = 100, service: str | None = None) -> list[Entry]:
        """Return up to `limit` entries with a number above `after`, oldest first; of one service, or of all for None."""
        answer: asyncio.Future[list[Entry]] = self._loop.create_future()

        def read(found: list[Entry]) -> None:
            if not answer.done():
                answer.set_result(found)

        def failed(why: str) -> None:
            if not answer.done():
                answer.set_exception(OperatorError(503, "journal_unavailable", f"the journal cannot be read: {why}"))

        self._jobs.put(_Read(after, limit, service, self._on_loop(read), self._on_loop(failed)))
        return await asyncio.wait_for(answer, APPEND_TIMEOUT_S)

    async def close(self) -> bool:
        """Write what waits, if the disk takes it, and close the file; return whether it ever took everything."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, APPEND_TIMEOUT_S)
        return self._complete and not self._thread.is_alive() and not self._backlog

    def _on_loop(self, call: Callable[P, None]) -> Callable[P, None]:
        def hand_over(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                self._loop.call_soon_threadsafe(lambda: call(*args, **kwargs))
            except RuntimeError:  # the loop has ended: nobody waits any more
                pass

        return hand_over

    # -- on the writer thread
    def _work(self) -> None:
        pause_s = RETRY_MIN_S
        while True:
            try:
                job = self._jobs.get(timeout=pause_s if self._backlog else None)
            except queue.Empty:
                pause_s = RETRY_MIN_S if self._flush() else min(pause_s * 2, RETRY_MAX_S)
                continue
            if job is None:
                self._flush()
                self._database.close()
                return
            self._do(job)

    def _do(self, job: _Batch | _Read) -> None:
        if isinstance(job, _Read):
            self._read(job)
        elif job.failed is None:
            self._backlog.append(job)
            self._flush()
        elif not job.given_up.is_set():
            # Order is kept: what was submitted before is written before, or this one is refused too.
            why = self._trouble if not self._flush() else self._write(job)
            if why is not None:
                job.failed(why)

    def _flush(self) -> bool:
        """Write the backlog; return whether nothing waits any more."""
        while self._backlog:
            if self._write(self._backlog[0]) is not None:
                return False
            self._backlog.popleft()
        return True

    def _write(self, batch: _Batch) -> str | None:
        """Commit one batch; return None, or why the disk did not take it."""
        self._fail_point.hit("journal.before")
        numbers = range(self._last_seq + 1, self._last_seq + 1 + len(batch.entries))
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                self._database.executemany(
                    rows.INSERT, [rows.row(seq, entry) for seq, entry in zip(numbers, batch.entries, strict=True)]
                )
        except sqlite3.Error as error:
            self._say(f"{type(error).__name__}: {error}")
            return str(error)
        self._fail_point.hit("journal.after")
        self._last_seq = numbers[-1]
        self._say(None)
        batch.done(numbers)
        return None

    def _say(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_loop(lambda: self.on_trouble(trouble))()

    def _read(self, job: _Read) -> None:
        try:
            job.done(rows.select(self._database, job.after, job.limit, job.service))
        except (sqlite3.Error, Corrupt) as error:
            job.failed(str(error))
