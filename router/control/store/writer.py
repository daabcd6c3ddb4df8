"""The thread that alone writes the journal and its mark, one transaction at a time, in the order in which they came."""

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
from router.control.store.batch import Batch, JournalUnavailable, Phase, striking
from router.control.store.doubt import STRUCK_OUT, Doubt
from router.control.store.journal_rows import Corrupt
from router.control.store.mark import Mark, MarkFile
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry, route_generation
from router.runtime import clock
from router.runtime.failpoint import FailPoint

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
MERGED_MAX: Final = 100
"""Submitted batches that go into one transaction."""
CHECKPOINT_IDLE_S: Final = 5.0
"""After a write nothing came for so long: what the WAL holds goes into the main file, the first time after a start and then
every CHECKPOINT_COMMITS commits. Not each time: the first commit after a checkpoint syncs the WAL's new header, too.
"""
CHECKPOINT_COMMITS: Final = 20
_NEVER_WHOLE: Final = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CONSTRAINT")
"""Failures of a COMMIT after which no whole transaction can be in the WAL: its last frame was not written whole. What fails
later, an fsync, leaves one there.
"""


@dataclass(slots=True)
class Read:
    """What somebody wants to read; both are called on this thread."""

    after: int
    limit: int
    service: str | None
    done: Callable[[list[Entry]], None]
    failed: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Doubted:
    """A change in doubt that the mark is to name (`now`), or to name no more."""

    doubt: Doubt
    now: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a transaction was not written; "" if its asker had left. `whole`: the WAL may hold it all the same, so a start may
    find it.
    """

    why: str
    whole: bool


class Asker(Protocol):
    """Who is told of doubts; thread-safe."""

    def opened_by_writer(self, doubt: Doubt) -> None:
        """It is in doubt."""

    def settled_by_writer(self, doubt: Doubt, outcome: str) -> None:
        """It is not any more."""


class Writer:
    """`say` is told, on this thread, why the disk takes nothing, and None once it does."""

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        mark: MarkFile,
        found: Mark | None,
        say: Callable[[str | None], None],
        asker: Asker,
    ) -> None:
        self.backlog: deque[Batch] = deque()
        self._database = database
        self._last_seq = last_seq
        self._fail_point = fail_point
        self._mark = mark
        self._found = found
        self._say_to = say
        self._asker = asker
        self._jobs: queue.SimpleQueue[Batch | Read | Doubted | None] = queue.SimpleQueue()
        self._open: list[Doubt] = list(found.doubts) if found else []
        self._crc = self._first = self._generation = 0
        self._trouble: str | None = None
        self._unchecked = 0
        self._checkpoint_after = 1
        self._since_ns = 0
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)

    # -- for the event loop
    def start(self) -> None:
        """Begin to take jobs."""
        self._thread.start()

    def put(self, job: Batch | Read | None) -> None:
        """Take a job; None: write what waits, close the file and end."""
        self._jobs.put(job)

    def put_doubt(self, doubt: Doubt) -> None:
        """Have the mark name a change that is in doubt."""
        self._jobs.put(Doubted(doubt, True))

    def put_decided(self, doubt: Doubt) -> None:
        """Have the mark name it no more."""
        self._jobs.put(Doubted(doubt, False))

    def busy_since_ns(self) -> int:
        """Return since when the disk owes an answer; 0 if it owes none."""
        return min([since for since in (self._since_ns, self._mark.syncing_since_ns) if since], default=0)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- on the thread
    def _work(self) -> None:
        self._begin()
        pause_s = RETRY_MIN_S
        while True:
            try:
                job = self._jobs.get(timeout=self._patience_s(pause_s))
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

    def _patience_s(self, pause_s: float) -> float | None:
        if self.backlog:
            return pause_s
        return CHECKPOINT_IDLE_S if self._unchecked >= self._checkpoint_after else None

    def _begin(self) -> None:
        """Bring what an earlier life has written into the main file, and only then have the mark say that it is there."""
        self._mark.begin(self._found)
        after = self._found.seq if self._found else 0
        try:
            self._first, self._crc, generation = journal_rows.ends(self._database, self._last_seq, after)
        except (sqlite3.Error, Corrupt, ValueError) as error:
            self._say(f"{type(error).__name__}: {error}")
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
        """Write the WAL back into the main file, synced, so that the WAL is never the whole journal."""
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

    def _do(self, job: Batch | Read | Doubted) -> None:
        if isinstance(job, Read):
            self._read(job)
        elif isinstance(job, Doubted):
            self._doubted(job)
        elif job.failed is None:
            self.backlog.append(job)
        else:
            self._append(job)
        # What came meanwhile goes into one transaction: on a slow disk facts are not to wait for one fsync each.
        if self.backlog and (self._jobs.empty() or len(self.backlog) >= MERGED_MAX):
            self._flush()

    def _flush(self) -> bool:
        """Write the backlog; return whether nothing waits any more."""
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
        """Write what somebody waits for. Order is kept: what was submitted before is written before, or this one is refused."""
        if not self._flush():
            self._refuse(batch, self._trouble or "what came before waits for the disk")
            return
        numbered = self._numbered(batch.entries)
        first = numbered[0]
        doubt = batch.doubt = Doubt(first.seq, len(numbered), journal_rows.row(first.seq, first)[-1], first.type, first.service,
                                    first.actor, first.at)  # fmt: skip

        def hand_over() -> bool:
            self._open.append(doubt)
            self._keep_mark()
            return batch.hand_over()

        failure = self._commit(numbered, hand_over)
        if failure is not None:
            self._failed(batch, doubt, failure)
        elif batch.ended(Phase.WRITTEN):
            self._forget(doubt)
            self._fail_point.hit("mark.after")
            batch.done(doubt.numbers)
        else:
            self._keep_mark()
            self._strike(doubt, first)

    def _failed(self, batch: Batch, doubt: Doubt, failure: Failure) -> None:
        if not failure.whole:
            self._forget(doubt)
            if not self._refuse(batch, failure.why) and batch.phase is Phase.LEFT:
                self._asker.settled_by_writer(doubt, STRUCK_OUT)
            return
        if batch.ended(Phase.REFUSED):
            self._asker.opened_by_writer(doubt)
            if batch.failed is not None:
                batch.failed(JournalUnavailable(failure.why, doubt=doubt))
        # What is written next has the same numbers and stands where this transaction stood in the WAL.
        self._strike(doubt, batch.entries[0])

    def _refuse(self, batch: Batch, why: str) -> bool:
        batch.hand_over()
        waits = batch.ended(Phase.REFUSED)
        if waits and batch.failed is not None:
            batch.failed(JournalUnavailable(why))
        return waits

    def _strike(self, doubt: Doubt, entry: Entry) -> None:
        self.backlog.appendleft(striking(doubt, entry))
        self._flush()

    def _forget(self, doubt: Doubt) -> None:
        self._open = [known for known in self._open if known is not doubt]
        self._keep_mark()

    def _doubted(self, job: Doubted) -> None:
        if job.now:
            self._open.append(job.doubt)
            self._keep_mark()
        else:
            self._forget(job.doubt)

    def _numbered(self, entries: Sequence[Entry]) -> list[Entry]:
        return [replace(entry, seq=seq) for seq, entry in enumerate(entries, self._last_seq + 1)]

    def _commit(self, numbered: Sequence[Entry], hand_over: Callable[[], bool]) -> Failure | None:
        """Commit entries, unless `hand_over`, which is asked last, says no; return None, or why they are not written."""
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
                self._say(failure.why)
            return failure
        self._unchecked += 1
        self._last_seq, self._crc = numbered[-1].seq, written[-1][-1]
        self._first = self._first or written[0][-1]
        self._generation = max([self._generation, *(route_generation(entry) or 0 for entry in numbered)])
        self._say(None)
        self._struck({entry.data["abandons"] for entry in numbered if entry.type == kinds.ABANDONED})
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

    def _struck(self, numbers: set[int]) -> None:
        """Changes in doubt that an entry on the disk has taken back are so no more."""
        for doubt in [known for known in self._open if not numbers.isdisjoint(known.numbers)]:
            self._open.remove(doubt)
            self._asker.settled_by_writer(doubt, STRUCK_OUT)

    def _keep_mark(self) -> None:
        self._fail_point.hit("mark.before")
        self._mark.write(self._last_seq, self._crc, self._first, self._generation, self._open)

    def _say(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._say_to(trouble)

    def _read(self, job: Read) -> None:
        self._flush()  # a reader finds what was submitted before, if the disk takes it
        self._since_ns = clock.now_ns()
        try:
            job.done(journal_rows.select(self._database, job.after, job.limit, job.service))
        except (sqlite3.Error, Corrupt) as error:
            job.failed(str(error))
        finally:
            self._since_ns = 0
