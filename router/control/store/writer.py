"""The only thread that writes the journal and its mark: one transaction at a time, in the order of the jobs."""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, Protocol

from router.control.store import journal_rows
from router.control.store.batch import Batch, JournalUnavailable, Phase, compensation
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.control.store.journal_rows import Corrupt
from router.control.store.mark import Mark, MarkFile
from router.rollout.model import entry as entry_types
from router.rollout.model.entry import Entry, route_generation
from router.runtime import clock
from router.runtime.failpoint import FailPoint

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
MERGED_MAX: Final = 100
"""Submitted batches that share one transaction."""
CHECKPOINT_IDLE_S: Final = 5.0
"""Idle time after a commit before the WAL is written back into the main file: the first time after a start, then every
CHECKPOINT_COMMITS commits. Not each time, because the first commit after a checkpoint also syncs the new header of the WAL.
"""
CHECKPOINT_COMMITS: Final = 20
_NEVER_WHOLE: Final = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CONSTRAINT")
"""Failures of a COMMIT after which the WAL cannot hold the whole transaction, because the last frame was not written. An fsync
that fails comes later and leaves the whole transaction in the WAL.
"""


@dataclass(slots=True)
class Read:
    """A read of up to `limit` entries behind `after`; `done` and `failed` are called on the writer's thread."""

    after: int
    limit: int
    service: str | None
    done: Callable[[list[Entry]], None]
    failed: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MarkChange:
    """Add a change in doubt to the mark (`now`), or remove the change from the mark."""

    doubt: InDoubtChange
    now: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a transaction was not committed; "" if its caller had stopped waiting.

    `whole`: the WAL may hold the transaction all the same, so the next start may find it.
    """

    why: str
    whole: bool


class InDoubtListener(Protocol):
    """Gets the changes that are in doubt, and their outcome. Called on the writer's thread."""

    def record_from_writer(self, doubt: InDoubtChange) -> None:
        """The change is in doubt."""

    def resolve_from_writer(self, doubt: InDoubtChange, outcome: str) -> None:
        """The change is no longer in doubt."""


class Writer:
    """`on_error` is called on this thread: with the reason when the disk refuses a write, with None when it works again."""

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        mark: MarkFile,
        found: Mark | None,
        on_error: Callable[[str | None], None],
        listener: InDoubtListener,
    ) -> None:
        self.backlog: deque[Batch] = deque()
        self._database = database
        self._last_seq = last_seq
        self._fail_point = fail_point
        self._mark = mark
        self._found = found
        self._on_error = on_error
        self._listener = listener
        self._jobs: queue.SimpleQueue[Batch | Read | MarkChange | None] = queue.SimpleQueue()
        self._in_doubt: list[InDoubtChange] = list(found.doubts) if found else []
        self._crc = self._first = self._generation = 0
        self._error: str | None = None
        self._unchecked = 0
        self._checkpoint_after = 1
        self._since_ns = 0
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    # -- for the event loop
    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, job: Batch | Read | None) -> None:
        """Queue a job. None ends the thread after it has written the backlog and closed the file."""
        self._jobs.put(job)

    def put_in_doubt(self, doubt: InDoubtChange) -> None:
        """Queue: add a change in doubt to the mark."""
        self._jobs.put(MarkChange(doubt, True))

    def put_resolved(self, doubt: InDoubtChange) -> None:
        """Queue: remove the change from the mark."""
        self._jobs.put(MarkChange(doubt, False))

    def busy_since_ns(self) -> int:
        """Return the start of the oldest disk operation under way (monotonic nanoseconds); 0 if there is none."""
        return min([since for since in (self._since_ns, self._mark.syncing_since_ns) if since], default=0)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; return whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- on the thread
    def _work(self) -> None:
        self._begin()
        pause_s = RETRY_MIN_S
        while True:
            try:
                job = self._jobs.get(timeout=self._wait_s(pause_s))
            except queue.Empty:
                if self.backlog:
                    pause_s = RETRY_MIN_S if self._flush() else min(pause_s * 2, RETRY_MAX_S)
                else:
                    self._checkpoint("PASSIVE")
                    self._checkpoint_after = CHECKPOINT_COMMITS
                continue
            if job is None:
                self._end()
                return
            self._do(job)

    def _wait_s(self, pause_s: float) -> float | None:
        if self.backlog:
            return pause_s
        return CHECKPOINT_IDLE_S if self._unchecked >= self._checkpoint_after else None

    def _begin(self) -> None:
        """Write the WAL of the previous process back into the main file, then write the mark."""
        self._mark.begin(self._found)
        after = self._found.seq if self._found else 0
        try:
            self._first, self._crc, generation = journal_rows.ends(self._database, self._last_seq, after)
        except (sqlite3.Error, Corrupt, ValueError) as error:
            self._report(f"{type(error).__name__}: {error}")
            return
        self._generation = max(generation, self._mark.generation)
        if self._checkpoint("TRUNCATE") and self._last_seq:
            self._since_ns = clock.now_ns()
            self._keep_mark()
            self._since_ns = 0

    def _end(self) -> None:
        self._flush()
        self._since_ns = clock.now_ns()
        self._database.close()
        self._mark.close()
        self._since_ns = 0

    def _checkpoint(self, how: str) -> bool:
        """Write the WAL back into the main file and sync it, so that losing the WAL never loses the whole journal."""
        self._unchecked = 0
        self._since_ns = clock.now_ns()
        try:
            (busy, *_) = self._database.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            return not busy
        except sqlite3.Error as error:
            log.warning("the journal's WAL is not written back: %s", error)
            return False
        finally:
            self._since_ns = 0

    def _do(self, job: Batch | Read | MarkChange) -> None:
        if isinstance(job, Read):
            self._read(job)
        elif isinstance(job, MarkChange):
            self._change_mark(job)
        elif job.failed is None:
            self.backlog.append(job)
        else:
            self._append(job)
        # Batches that were queued meanwhile share one transaction: on a slow disk they must not wait for one fsync each.
        if self.backlog and (self._jobs.empty() or len(self.backlog) >= MERGED_MAX):
            self._flush()

    def _flush(self) -> bool:
        """Write the backlog; return whether it is empty now."""
        while self.backlog:
            batches = list(islice(self.backlog, MERGED_MAX))
            numbered = self._numbered([entry for batch in batches for entry in batch.entries])
            if self._commit(numbered, lambda: True) is not None:
                return False
            self._keep_mark()
            first = self._last_seq - len(numbered) + 1
            for batch in batches:
                self.backlog.popleft()
                batch.done(range(first, first + len(batch.entries)))
                first += len(batch.entries)
        return True

    def _append(self, batch: Batch) -> None:
        """Write a batch that a caller waits for. The backlog is written first; if that fails, the batch is refused."""
        if not self._flush():
            self._refuse(batch, self._error or "what came before waits for the disk")
            return
        numbered = self._numbered(batch.entries)
        first = numbered[0]
        crc = journal_rows.row(first.seq, first)[-1]
        doubt = batch.doubt = InDoubtChange(
            first.seq, len(numbered), crc, first.type, first.service, first.actor, first.at
        )

        def hand_over() -> bool:
            self._in_doubt.append(doubt)
            self._keep_mark()
            return batch.hand_over()

        failure = self._commit(numbered, hand_over)
        if failure is not None:
            self._failed(batch, doubt, failure)
        elif batch.ended(Phase.WRITTEN):
            self._remove_from_mark(doubt)
            self._fail_point.hit("mark.after")
            batch.done(doubt.numbers)
        else:
            self._keep_mark()
            self._compensate(doubt, first)

    def _failed(self, batch: Batch, doubt: InDoubtChange, failure: Failure) -> None:
        if not failure.whole:
            self._remove_from_mark(doubt)
            if not self._refuse(batch, failure.why) and batch.phase is Phase.LEFT:
                self._listener.resolve_from_writer(doubt, STRUCK_OUT)
            return
        if batch.ended(Phase.REFUSED):
            self._listener.record_from_writer(doubt)
            if batch.failed is not None:
                batch.failed(JournalUnavailable(failure.why, doubt=doubt))
        # The next transaction has the same numbers and overwrites this one in the WAL.
        self._compensate(doubt, batch.entries[0])

    def _refuse(self, batch: Batch, why: str) -> bool:
        batch.hand_over()
        waits = batch.ended(Phase.REFUSED)
        if waits and batch.failed is not None:
            batch.failed(JournalUnavailable(why))
        return waits

    def _compensate(self, doubt: InDoubtChange, entry: Entry) -> None:
        self.backlog.appendleft(compensation(doubt, entry))
        self._flush()

    def _remove_from_mark(self, doubt: InDoubtChange) -> None:
        self._in_doubt = [known for known in self._in_doubt if known is not doubt]
        self._keep_mark()

    def _change_mark(self, job: MarkChange) -> None:
        if job.now:
            self._in_doubt.append(job.doubt)
            self._keep_mark()
        else:
            self._remove_from_mark(job.doubt)

    def _numbered(self, entries: Sequence[Entry]) -> list[Entry]:
        return [replace(entry, seq=seq) for seq, entry in enumerate(entries, self._last_seq + 1)]

    def _commit(self, numbered: Sequence[Entry], hand_over: Callable[[], bool]) -> Failure | None:
        """Commit entries unless `hand_over`, which is called last before the commit, returns False.

        Return None if they are written, else the failure.
        """
        self._fail_point.hit("journal.before")
        written = [journal_rows.row(entry.seq, entry) for entry in numbered]
        self._since_ns = clock.now_ns()
        try:
            failure = self._transact(written, hand_over)
            if failure is None:
                self._fail_point.hit("journal.after")
        finally:
            self._since_ns = 0
        if failure is not None:
            if failure.why:
                self._report(failure.why)
            return failure
        self._unchecked += 1
        self._last_seq, self._crc = numbered[-1].seq, written[-1][-1]
        self._first = self._first or written[0][-1]
        self._generation = max([self._generation, *(route_generation(entry) or 0 for entry in numbered)])
        self._report(None)
        self._resolve_struck_out({entry.data["abandons"] for entry in numbered if entry.type == entry_types.ABANDONED})
        return None

    def _transact(self, written: Sequence[tuple[Any, ...]], hand_over: Callable[[], bool]) -> Failure | None:
        committing = False
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(journal_rows.INSERT, written)
            if not hand_over():
                self._roll_back()
                return Failure("", whole=False)
            self._fail_point.hit("journal.handed")
            committing = True
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            name = str(getattr(error, "sqlite_errorname", ""))
            self._roll_back()
            whole = committing and not any(name.startswith(never) for never in _NEVER_WHOLE)
            return Failure(f"{type(error).__name__}: {error}", whole)
        return None

    def _roll_back(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error as error:
            log.warning("the journal's transaction is not rolled back: %s", error)

    def _resolve_struck_out(self, numbers: set[int]) -> None:
        """End the doubt of changes whose compensating entry is on the disk."""
        for doubt in [known for known in self._in_doubt if not numbers.isdisjoint(known.numbers)]:
            self._in_doubt.remove(doubt)
            self._listener.resolve_from_writer(doubt, STRUCK_OUT)

    def _keep_mark(self) -> None:
        self._fail_point.hit("mark.before")
        self._mark.write(self._last_seq, self._crc, self._first, self._generation, self._in_doubt)

    def _report(self, error: str | None) -> None:
        if error != self._error:
            self._error = error
            self._on_error(error)

    def _read(self, job: Read) -> None:
        self._flush()  # a read finds the entries that were submitted before it, if the disk works
        self._since_ns = clock.now_ns()
        try:
            job.done(journal_rows.select(self._database, job.after, job.limit, job.service))
        except (sqlite3.Error, Corrupt) as error:
            job.failed(str(error))
        finally:
            self._since_ns = 0
