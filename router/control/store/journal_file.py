"""The file of the journal: append-only entries in SQLite (WAL, `synchronous=FULL`), written by one thread (journal_writer.py).

When `append` returns, its entries are on the disk: the commit is an fsync of the WAL. `submit` returns at once; its entries are
written in their order and retried with back-off until the disk takes them. The entries of one call are one record, which is on
the disk whole or not at all. On the event loop only `append`, `strike_out` and `entries` wait for the disk, each with a timeout.

Every row has a CRC over all its members, and rows are numbered without gaps. Every start verifies both, after SQLite's own
quick check, and verifies that the journal reaches to the row that its mark names (mark.py). A WAL tail that is cut and was never
acknowledged is no corruption: SQLite drops transactions that were not committed whole.

A change whose commit does not end in time is in doubt (in_doubt.py). If the disk takes the change late, an `abandoned` entry
strikes it out, because its caller was not answered that it is in effect. If the router ends before that, the next start
decides by the row.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from router.control.loop_calls import on_loop
from router.control.store import journal_rows, mark
from router.control.store.batch import Batch, JournalUnavailable, Phase, compensation
from router.control.store.in_doubt import STRUCK_OUT, InDoubtChange
from router.control.store.journal_rows import Selection
from router.control.store.journal_writer import JournalWriter
from router.control.store.records.earlier_changes import KEPT_S, KEYS_MAX
from router.control.store.records.journal import APPEND_TIMEOUT_S
from router.control.store.records.request_key import RequestKey
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.runtime import clock
from router.runtime.failpoint import FailPoint

__all__ = ["APPEND_TIMEOUT_S", "BACKLOG_MAX", "JournalFile", "JournalUnavailable"]

log = logging.getLogger(__name__)

BACKLOG_MAX: Final = 10_000
"""Submitted entries that wait for the disk; further ones are refused with an alarm."""
HANGS_AFTER_S: Final = APPEND_TIMEOUT_S - 0.1
"""Less than APPEND_TIMEOUT_S, so that the alarm is raised before the first caller gets its 503."""
_PAGE: Final = 1000
_POLL_S: Final = 0.02
RESOLVED_MAX: Final = 20
"""Changes that were in doubt and are resolved, as `status` shows them."""


class JournalFile:
    """The open file. `database` comes verified from journal_opening.py.

    `generation` is the highest that its entries publish. A file of an earlier schema is raised with the first record that is
    written while `may_raise` is true; it is called on the writer's thread.

    The callbacks run on the event loop. `on_error` gets the reason when the disk refuses a write, and None when it works again;
    `on_mark_error` the same for the mark. `on_change` gets a change when it becomes in doubt, and when it is resolved.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        on_error: Callable[[str | None], None] = lambda why: None,
        on_mark_error: Callable[[str | None], None] = lambda why: None,
        on_change: Callable[[InDoubtChange], None] = lambda doubt: None,
        *,
        generation: int = 0,
        may_raise: Callable[[], bool] = lambda: True,
    ) -> None:
        self.on_error = on_error
        self.on_mark_error = on_mark_error
        self.on_change = on_change
        self.in_doubt: list[InDoubtChange] = []
        """Changes that are in doubt, oldest first."""
        self.resolved: deque[InDoubtChange] = deque(maxlen=RESOLVED_MAX)
        self._submitted_ns: deque[int] = deque()
        self._complete = True
        self._error: str | None = None
        self._hang: str | None = None
        self._reported: str | None = None
        self._mark_reported: str | None = None
        self._loop = asyncio.get_running_loop()
        found = _found(_mark_path(database))
        self.left_in_doubt: tuple[InDoubtChange, ...] = found.doubts if found else ()
        """Changes that the previous process left in doubt; `decide` resolves them."""
        doubted = [doubt.seq for doubt in self.left_in_doubt]
        self.found_checksums = journal_rows.checksums(database, *doubted)
        """The stored checksums of the rows that are in doubt, by number, as this start has found them."""
        self.found_keys = journal_rows.keyed(database, clock.wall_s() - KEPT_S, KEYS_MAX)
        """The idempotency keys of the records that this start has found (journal_rows.py, `keyed`)."""
        marked = mark.MarkFile(_mark_path(database), on_loop(self._loop, self._mark_changed))
        self._writer = JournalWriter(
            database, last_seq, fail_point, marked, found, self._disk_changed, self, generation, may_raise
        )

    # -- on the event loop
    async def append(
        self, *entries: Entry, key: RequestKey | None = None, timeout_s: float = APPEND_TIMEOUT_S
    ) -> list[int]:
        """Write `entries` as one record; return their numbers when they are on the disk.

        `key` is that of the request that has led to them. Raise JournalUnavailable if the disk refuses them or does not answer
        within `timeout_s`. Entries that were handed to the disk without an answer are in doubt. If they are written late, they
        are struck out.
        """
        answer: asyncio.Future[list[int]] = self._loop.create_future()

        def written(numbers: Sequence[int]) -> None:
            if not answer.done():
                answer.set_result(list(numbers))

        def refused(error: JournalUnavailable) -> None:
            if not answer.done():
                answer.set_exception(error)

        batch = Batch(entries, on_loop(self._loop, written), on_loop(self._loop, refused), key=key)
        self._writer.put(batch)
        try:
            await asyncio.wait({answer}, timeout=timeout_s)
        except asyncio.CancelledError:
            answer.cancel()
            self._take_back(batch)
            raise
        if not answer.done() and (phase := batch.leave()) in (Phase.GIVEN_UP, Phase.LEFT):
            self.check_disk(clock.now_ns())
            if phase is Phase.LEFT and batch.doubt is not None:
                self.record_in_doubt(batch.doubt)
            raise JournalUnavailable(
                f"no answer from the disk within {timeout_s:g} s", doubt=batch.doubt if phase is Phase.LEFT else None
            )
        return await answer  # set already, or about to be set by the writer

    def _take_back(self, batch: Batch) -> None:
        """Strike out the entries of a cancelled caller, which does not apply them."""
        phase = batch.leave()
        if batch.doubt is not None and phase in (Phase.LEFT, Phase.WRITTEN):
            self.record_in_doubt(batch.doubt)
            if phase is Phase.WRITTEN:
                self._writer.put_in_doubt(batch.doubt)
                self._writer.put(compensation(batch.doubt, batch.entries[0]))

    async def strike_out(self, entries: Sequence[Entry], timeout_s: float = APPEND_TIMEOUT_S) -> None:
        """Strike out entries that `append` has written; raise JournalUnavailable (in doubt) after `timeout_s`."""
        first = entries[0]
        doubt = InDoubtChange(first.seq, len(entries), 0, first.type, first.service, first.actor, first.at, STRUCK_OUT)
        ended: asyncio.Future[None] = self._loop.create_future()

        def written(_: Sequence[int]) -> None:
            if ended.done():
                self.resolve(doubt, STRUCK_OUT)
            else:
                ended.set_result(None)

        batch = compensation(doubt, first)
        batch.done = on_loop(self._loop, written)
        self._writer.put_in_doubt(doubt)
        self._writer.put(batch)
        await asyncio.wait({ended}, timeout=timeout_s)
        if not ended.done():
            ended.cancel()
            doubt.outcome = None
            self.record_in_doubt(doubt)
            raise JournalUnavailable(f"no answer from the disk within {timeout_s:g} s", doubt=doubt)

    def submit(self, *entries: Entry, on_done: Callable[[Sequence[int]], None] = lambda numbers: None) -> bool:
        """Queue `entries` for the disk as one record and return at once: False if BACKLOG_MAX entries wait already.

        `on_done` gets their numbers when they are on the disk.
        """
        if self.waiting >= BACKLOG_MAX:
            log.error("journal: %d entries wait for the disk; %s is not kept", self.waiting, entries[0].type)
            self._complete = False
            return False
        self._submitted_ns.extend([clock.now_ns()] * len(entries))

        def written(numbers: Sequence[int]) -> None:
            for _ in numbers:
                self._submitted_ns.popleft()
            on_done(numbers)

        self._writer.put(Batch(entries, on_loop(self._loop, written)))
        return True

    @property
    def position(self) -> int:
        """Return the number of the newest record on the disk."""
        return self._writer.last_position

    @property
    def waiting(self) -> int:
        """Return how many submitted entries are not on the disk yet."""
        return len(self._submitted_ns)

    def check_disk(self, now_ns: int) -> None:
        """Report an error if the disk has not answered for HANGS_AFTER_S, or an entry has waited for that long."""
        since_ns, limit_ns = self._writer.busy_since_ns(), int(HANGS_AFTER_S * 1e9)
        if since_ns and now_ns - since_ns >= limit_ns:
            self._hang = f"the disk has not answered for {APPEND_TIMEOUT_S:g} s"
        elif self._submitted_ns and now_ns - self._submitted_ns[0] >= limit_ns:
            self._hang = f"a fact has waited for the disk for {APPEND_TIMEOUT_S:g} s"
        else:
            self._hang = None
        self._report()

    async def entries(
        self,
        after: int = 0,
        limit: int = 100,
        service: str | None = None,
        before: int | None = None,
        *,
        newest: bool = False,
    ) -> list[Entry]:
        """Return up to `limit` entries with a number above `after` and below `before`, oldest first; of one service, or of all
        for None. If there are more: the first ones, or with `newest` the last ones.
        """
        try:
            return await self._writer.read(Selection(after, limit, service, before, newest), APPEND_TIMEOUT_S)
        except TimeoutError:
            raise _unreadable(f"no answer from the disk within {APPEND_TIMEOUT_S:g} s") from None
        except sqlite3.Error as error:
            raise _unreadable(str(error)) from None

    async def of_service(self, service: str) -> list[Entry]:
        """Return all entries of a service, and those of the whole router, oldest first; raise Refusal.

        Entries that were submitted before are waited for: a service that comes back needs all of its own.
        """
        end_s = clock.now_s() + APPEND_TIMEOUT_S
        while self.waiting:
            if clock.now_s() > end_s:
                raise _unreadable(f"{self.waiting} entries have waited for the disk for {APPEND_TIMEOUT_S:g} s")
            await asyncio.sleep(_POLL_S)
        found: list[Entry] = []
        for owner in ("", service):
            after = 0
            while page := await self.entries(after, _PAGE, owner):
                found += page
                after = page[-1].seq
        return sorted(found, key=lambda entry: entry.seq)

    async def close(self) -> bool:
        """Write the backlog and close the file; return whether every entry of this process is on the disk."""
        return await self._writer.close(APPEND_TIMEOUT_S) and self._complete

    # -- changes in doubt
    def decide(self, doubt: InDoubtChange, outcome: str) -> None:
        """Set the outcome of a change that the previous process left in doubt."""
        self._writer.put_resolved(doubt)
        self.resolve(doubt, outcome)

    def record_in_doubt(self, doubt: InDoubtChange) -> None:
        """Add a change to `in_doubt`, log it and call `on_change`."""
        self.in_doubt.append(doubt)
        log.error(
            "change %d (%s service=%s actor=%s) is in doubt: the disk may have it",
            *(doubt.seq, doubt.type, doubt.service, doubt.actor),
        )
        self.on_change(doubt)

    def resolve(self, doubt: InDoubtChange, outcome: str) -> None:
        """Remove a change from `in_doubt`, log its outcome and call `on_change`."""
        if doubt.outcome is not None:
            return
        doubt.outcome = outcome
        self.in_doubt = [known for known in self.in_doubt if known is not doubt]
        self.resolved.append(doubt)
        result = "struck out" if outcome == STRUCK_OUT else "completed: it counts"
        log.warning(
            "change %d (%s service=%s actor=%s) was in doubt and is %s",
            *(doubt.seq, doubt.type, doubt.service, doubt.actor, result),
        )
        self.on_change(doubt)

    # -- errors of the disk
    def _disk_changed(self, error: str | None) -> None:
        self._error = error
        self._report()

    def _report(self) -> None:
        why = self._error or self._hang
        if why != self._reported:
            self._reported = why
            self.on_error(why)

    def _mark_changed(self, why: str | None) -> None:
        if why != self._mark_reported:
            self._mark_reported = why
            self.on_mark_error(why)


def _unreadable(why: str) -> Refusal:
    return Refusal(RefusalCode.JOURNAL_UNAVAILABLE, f"the journal cannot be read: {why}")


def _mark_path(database: sqlite3.Connection) -> Path:
    (_, _, file) = database.execute("PRAGMA database_list").fetchone()
    return Path(file).with_name(mark.FILE)


def _found(path: Path) -> mark.Mark | None:
    try:
        return mark.read(path)
    except OSError:
        # journal_opening.py has refused a file of another user; an error since then is reported at the first write.
        return None
