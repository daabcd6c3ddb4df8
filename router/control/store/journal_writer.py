"""The only thread that writes the journal and its mark: one transaction at a time, in the order of the jobs."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol

from router.control.loop_calls import on_loop
from router.control.store import journal_rows
from router.control.store.batch import Batch, JournalUnavailable, Phase, compensation
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.control.store.journal_rows import JournalRow, Selection
from router.control.store.mark import Mark, MarkFile
from router.control.store.writer_thread import WriterThread
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.router_itself import Abandoned
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


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a transaction was not committed; "" if its caller had stopped waiting.

    `whole`: the WAL may hold the transaction all the same, so the next start may find it.
    """

    why: str
    whole: bool


class InDoubtListener(Protocol):
    """Gets the changes that are in doubt, and their outcome. Called on the event loop."""

    def record_in_doubt(self, doubt: InDoubtChange) -> None:
        """The change is in doubt."""

    def resolve(self, doubt: InDoubtChange, outcome: str) -> None:
        """The change is no longer in doubt."""


class JournalWriter:
    """`on_error` runs on the event loop: with the reason when the disk refuses a write, with None when it works again."""

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        mark: MarkFile,
        found: Mark | None,
        on_error: Callable[[str | None], None],
        listener: InDoubtListener,
        generation: int,
        may_raise: Callable[[], bool],
    ) -> None:
        self.backlog: deque[Batch] = deque()
        self._database = database
        self._last_seq = last_seq
        self.last_position = journal_rows.last_position(database)
        self._fail_point = fail_point
        self._mark = mark
        self._found = found
        loop = asyncio.get_running_loop()
        self._record_in_doubt = on_loop(loop, listener.record_in_doubt)
        self._resolve = on_loop(loop, listener.resolve)
        self._error: str | None = None
        self._in_doubt: list[InDoubtChange] = list(found.doubts) if found else []
        self._crc = self._first = 0
        self._generation = generation
        self._raised = journal_rows.schema_of(database) == journal_rows.SCHEMA_VERSION
        self._may_raise = may_raise
        self._pause_s = RETRY_MIN_S
        self._unchecked = 0
        self._checkpoint_after = 1
        self._thread = WriterThread("journal", on_error, begin=self._begin, idle=self._idle, end=self._end)
        self._thread.start()

    # -- for the event loop
    def put(self, batch: Batch) -> None:
        """Queue a batch for the disk."""
        self._thread.submit(partial(self._append, batch) if batch.failed is not None else partial(self._collect, batch))

    def put_in_doubt(self, doubt: InDoubtChange) -> None:
        """Queue: add a change in doubt to the mark."""
        self._thread.submit(partial(self._add_to_mark, doubt))

    def put_resolved(self, doubt: InDoubtChange) -> None:
        """Queue: remove the change from the mark."""
        self._thread.submit(partial(self._remove_from_mark, doubt))

    async def read(self, wanted: Selection, timeout_s: float) -> list[Entry]:
        """Return the selected entries; raise sqlite3.Error, or TimeoutError after `timeout_s`."""
        return await self._thread.call(partial(self._read, wanted), timeout_s)

    def busy_since_ns(self) -> int:
        """Return the start of the oldest disk operation under way (monotonic nanoseconds); 0 if there is none."""
        return min([since for since in (self._thread.busy_since_ns, self._mark.syncing_since_ns) if since], default=0)

    async def close(self, timeout_s: float) -> bool:
        """Write the backlog and close the file; return whether nothing is left after `timeout_s`."""
        return await self._thread.close(timeout_s) and not self.backlog

    # -- on the thread
    def _idle(self, waited: bool) -> float | None:
        """Write the backlog, which includes what was queued meanwhile; else, after a while, write the WAL back."""
        if self.backlog:
            if not self._flush():
                pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, RETRY_MAX_S)
                return pause_s
            self._pause_s = RETRY_MIN_S
            waited = False
        if self._unchecked < self._checkpoint_after:
            return None
        if not waited:
            return CHECKPOINT_IDLE_S
        self._checkpoint("PASSIVE")
        self._checkpoint_after = CHECKPOINT_COMMITS
        return None

    def _begin(self) -> None:
        """Write the WAL of the previous process back into the main file, then write the mark."""
        self._mark.begin(self._found)
        try:
            self._first, self._crc = journal_rows.ends(self._database, self._last_seq)
        except (sqlite3.Error, ValueError) as error:
            self._report(f"{type(error).__name__}: {error}")
            return
        self._generation = max(self._generation, self._mark.generation)
        if self._checkpoint("TRUNCATE") and self._last_seq:
            with self._thread.at_disk():
                self._keep_mark()

    def _end(self) -> None:
        try:
            self._flush()
        finally:
            with self._thread.at_disk():
                self._database.close()
                self._mark.close()

    def _checkpoint(self, how: str) -> bool:
        """Write the WAL back into the main file and sync it, so that losing the WAL never loses the whole journal."""
        self._unchecked = 0
        try:
            with self._thread.at_disk():
                (busy, *_) = self._database.execute(f"PRAGMA wal_checkpoint({how})").fetchone()
            return not busy
        except sqlite3.Error as error:
            log.warning("the journal's WAL is not written back: %s", error)
            return False

    def _collect(self, batch: Batch) -> None:
        """Add a batch to the backlog.

        Batches that were queued meanwhile share one transaction: on a slow disk they must not wait for one fsync each.
        """
        self.backlog.append(batch)
        if len(self.backlog) >= MERGED_MAX:
            self._flush()

    def _flush(self) -> bool:
        """Write the backlog; return whether it is empty now."""
        while self.backlog:
            batches = list(islice(self.backlog, MERGED_MAX))
            rows = self._rows(batches)
            if self._commit(batches, rows, lambda: True) is not None:
                return False
            self._keep_mark()
            first = rows[0].seq
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
        rows = self._rows([batch])
        first = rows[0]
        doubt = batch.doubt = InDoubtChange(
            first.seq, len(rows), first.crc, first.type, first.service, first.actor, first.at
        )

        def hand_over() -> bool:
            self._add_to_mark(doubt)
            return batch.hand_over()

        failure = self._commit([batch], rows, hand_over)
        if failure is not None:
            self._failed(batch, doubt, failure)
        elif batch.ended(Phase.WRITTEN):
            self._remove_from_mark(doubt)
            self._fail_point.hit("mark.after")
            batch.done(doubt.numbers)
        else:
            self._keep_mark()
            self._compensate(doubt, batch.entries[0])

    def _failed(self, batch: Batch, doubt: InDoubtChange, failure: Failure) -> None:
        if not failure.whole:
            self._remove_from_mark(doubt)
            if not self._refuse(batch, failure.why) and batch.phase is Phase.LEFT:
                self._resolve(doubt, STRUCK_OUT)
            return
        if batch.ended(Phase.REFUSED):
            self._record_in_doubt(doubt)
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

    def _add_to_mark(self, doubt: InDoubtChange) -> None:
        self._in_doubt.append(doubt)
        self._keep_mark()

    def _rows(self, batches: Sequence[Batch]) -> list[JournalRow]:
        """Return the next rows: a record for each batch; a record for each row while the file has to keep schema 1."""
        entries = [entry for batch in batches for entry in batch.entries]
        if not (self._raised or self._may_raise()):
            return [journal_rows.row(seq, entry) for seq, entry in enumerate(entries, self._last_seq + 1)]
        rows: list[JournalRow] = []
        for position, batch in enumerate(batches, self.last_position + 1):
            for key, entry in zip((batch.key, *([None] * len(batch.entries))), batch.entries, strict=False):
                rows.append(journal_rows.row(self._last_seq + len(rows) + 1, entry, position, key))
        return rows

    def _commit(
        self, batches: Sequence[Batch], rows: Sequence[JournalRow], hand_over: Callable[[], bool]
    ) -> Failure | None:
        """Commit the rows of batches unless `hand_over`, which is called last before the commit, returns False.

        Return None if they are written, else the failure.
        """
        self._fail_point.hit("journal.before")
        with self._thread.at_disk():
            failure = self._transact(rows, hand_over)
            if failure is None:
                self._fail_point.hit("journal.after")
        if failure is not None:
            if failure.why:
                self._report(failure.why)
            return failure
        self._unchecked += 1
        last = rows[-1]
        self._raised = last.position is not None
        self._last_seq, self._crc, self.last_position = last.seq, last.crc, last.position or last.seq
        self._first = self._first or rows[0].crc
        entries = [entry for batch in batches for entry in batch.entries]
        self._generation = max([self._generation, *(route_generation(entry) or 0 for entry in entries)])
        self._report(None)
        self._resolve_struck_out({entry.fact.abandons for entry in entries if isinstance(entry.fact, Abandoned)})
        return None

    def _transact(self, rows: Sequence[JournalRow], hand_over: Callable[[], bool]) -> Failure | None:
        committing = False
        try:
            self._database.execute("BEGIN IMMEDIATE")
            journal_rows.insert(self._database, rows)
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
            self._resolve(doubt, STRUCK_OUT)

    def _keep_mark(self) -> None:
        self._fail_point.hit("mark.before")
        self._mark.write(self._last_seq, self._crc, self._first, self._generation, self._in_doubt)

    def _report(self, error: str | None) -> None:
        self._error = error
        self._thread.report(error)

    def _read(self, wanted: Selection) -> list[Entry]:
        self._flush()  # a read finds the entries that were submitted before it, if the disk works
        with self._thread.at_disk():
            return journal_rows.select(self._database, wanted)
