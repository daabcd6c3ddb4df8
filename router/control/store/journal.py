"""The journal: append-only facts in one SQLite file (WAL, `synchronous=FULL`), written by one thread (writer.py).

What `append` has returned for is on the disk: the commit is an fsync of the WAL. What `submit` took is written in the order
in which it came, before anything that comes later, and tried again with back-off until the disk takes it. Nobody on the
event loop ever waits for the disk, except those who await `append`.

Every row carries a CRC over all its members, and rows are numbered without gaps; both are verified at every start, after
SQLite's own quick check, and so is whether the journal reaches as far as its mark says (mark.py). A cut WAL tail that was
never acknowledged is not corruption: SQLite drops transactions that were not committed whole.

A change whose commit has not ended within its time is in doubt (doubt.py). If the disk takes it late, it is struck out by an
`abandoned` entry, as nobody was told that it is true; if the router ends before that, the next start finds its row, or none.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, ParamSpec

from router.control.store import mark
from router.control.store.batch import Batch, JournalUnavailable, Phase, striking
from router.control.store.doubt import STRUCK_OUT, Doubt
from router.control.store.writer import Read, Writer
from router.errors import OperatorError
from router.rollout.model.entry import Entry
from router.runtime import clock
from router.runtime.failpoint import FailPoint

__all__ = ["APPEND_TIMEOUT_S", "BACKLOG_MAX", "Journal", "JournalUnavailable"]

log = logging.getLogger(__name__)

BACKLOG_MAX: Final = 10_000
"""Submitted entries that the disk has not taken yet; further ones are refused with an alarm."""
APPEND_TIMEOUT_S: Final = 5.0
HANGS_AFTER_S: Final = APPEND_TIMEOUT_S - 0.1
"""So that the alarm is up when the first caller is told that the disk does not answer."""
DECIDED_MAX: Final = 20
"""Decided doubts that `status` shows."""

P = ParamSpec("P")


class Journal:
    """`database` comes from opening.py, verified. The functions are called on the event loop: `on_trouble` with why the disk
    does not take it any more, and with None once it does; `on_mark_trouble` the same of the mark; `on_doubt` with a change
    that is in doubt from now on, or is not any more.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        last_seq: int,
        fail_point: FailPoint,
        on_trouble: Callable[[str | None], None] = lambda why: None,
        on_mark_trouble: Callable[[str | None], None] = lambda why: None,
        on_doubt: Callable[[Doubt], None] = lambda doubt: None,
    ) -> None:
        self.on_trouble = on_trouble
        self.on_mark_trouble = on_mark_trouble
        self.on_doubt = on_doubt
        self.doubts: list[Doubt] = []
        """Changes that are in doubt, oldest first."""
        self.decided: deque[Doubt] = deque(maxlen=DECIDED_MAX)
        self._submitted_ns: deque[int] = deque()
        self._complete = True
        self._error: str | None = None
        self._hang: str | None = None
        self._told: str | None = None
        self._mark_told: str | None = None
        self._loop = asyncio.get_running_loop()
        found = _found(_mark_path(database))
        self.left: tuple[Doubt, ...] = found.doubts if found else ()
        """What a predecessor has left in doubt; `decide` ends it."""
        marked = mark.MarkFile(_mark_path(database), self._on_loop(self._mark_said))
        self._writer = Writer(database, last_seq, fail_point, marked, found, self._on_loop(self._said), self)
        self._writer.start()

    # -- on the event loop
    async def append(self, *entries: Entry, timeout_s: float = APPEND_TIMEOUT_S) -> list[int]:
        """Write `entries` in one transaction; return their numbers once they are on the disk.

        Raise JournalUnavailable (503) if it cannot be. If they were handed to the disk and it answers neither way within
        `timeout_s`, they are in doubt; should they be written after all, they are struck out.
        """
        answer: asyncio.Future[list[int]] = self._loop.create_future()

        def written(numbers: Sequence[int]) -> None:
            if not answer.done():
                answer.set_result(list(numbers))

        def refused(error: JournalUnavailable) -> None:
            if not answer.done():
                answer.set_exception(error)

        batch = Batch(entries, self._on_loop(written), self._on_loop(refused))
        self._writer.put(batch)
        try:
            await asyncio.wait({answer}, timeout=timeout_s)
        except asyncio.CancelledError:
            answer.cancel()
            self._forsake(batch)
            raise
        if not answer.done() and (phase := batch.leave()) in (Phase.GIVEN_UP, Phase.LEFT):
            self.check_disk(clock.now_ns())
            if phase is Phase.LEFT and batch.doubt is not None:
                self.opened(batch.doubt)
            raise JournalUnavailable(
                f"no answer from the disk within {timeout_s:g} s", doubt=batch.doubt if phase is Phase.LEFT else None
            )
        return await answer  # it is there, or on its way from the writer

    def _forsake(self, batch: Batch) -> None:
        """Whoever asked was cancelled and folds nothing: what the disk has taken, or takes, is struck out."""
        phase = batch.leave()
        if batch.doubt is not None and phase in (Phase.LEFT, Phase.WRITTEN):
            self.opened(batch.doubt)
            if phase is Phase.WRITTEN:
                self._writer.put_doubt(batch.doubt)
                self._writer.put(striking(batch.doubt, batch.entries[0]))

    async def strike_out(self, entries: Sequence[Entry], timeout_s: float = APPEND_TIMEOUT_S) -> None:
        """Take back what `append` has written; raise JournalUnavailable with a doubt if the disk does not take that in time."""
        first = entries[0]
        doubt = Doubt(first.seq, len(entries), 0, first.type, first.service, first.actor, first.at, STRUCK_OUT)
        ended: asyncio.Future[None] = self._loop.create_future()

        def written(_: Sequence[int]) -> None:
            if ended.done():
                self.settled(doubt, STRUCK_OUT)
            else:
                ended.set_result(None)

        batch = striking(doubt, first)
        batch.done = self._on_loop(written)
        self._writer.put_doubt(doubt)
        self._writer.put(batch)
        await asyncio.wait({ended}, timeout=timeout_s)
        if not ended.done():
            ended.cancel()
            doubt.outcome = None
            self.opened(doubt)
            raise JournalUnavailable(f"no answer from the disk within {timeout_s:g} s", doubt=doubt)

    def submit(self, entry: Entry, on_done: Callable[[int], None] = lambda seq: None) -> bool:
        """Have `entry` written as soon as the disk takes it; return at once, False if too many wait already."""
        if self.waiting >= BACKLOG_MAX:
            log.error("journal: %d entries wait for the disk; %s is not kept", self.waiting, entry.type)
            self._complete = False
            return False
        self._submitted_ns.append(clock.now_ns())

        def written(numbers: Sequence[int]) -> None:
            self._submitted_ns.popleft()
            on_done(numbers[0])

        self._writer.put(Batch((entry,), self._on_loop(written)))
        return True

    @property
    def waiting(self) -> int:
        """How many submitted entries are not on the disk yet."""
        return len(self._submitted_ns)

    def check_disk(self, now_ns: int) -> None:
        """Say that the disk hangs if it has not answered for HANGS_AFTER_S, or a fact has waited for it for so long."""
        since_ns, limit_ns = self._writer.busy_since_ns(), int(HANGS_AFTER_S * 1e9)
        if since_ns and now_ns - since_ns >= limit_ns:
            self._hang = f"the disk has not answered for {APPEND_TIMEOUT_S:g} s"
        elif self._submitted_ns and now_ns - self._submitted_ns[0] >= limit_ns:
            self._hang = f"a fact has waited for the disk for {APPEND_TIMEOUT_S:g} s"
        else:
            self._hang = None
        self._tell()

    async def entries(self, after: int = 0, limit: int = 100, service: str | None = None) -> list[Entry]:
        """Return up to `limit` entries with a number above `after`, oldest first; of one service, or of all for None."""
        answer: asyncio.Future[list[Entry]] = self._loop.create_future()

        def read(found: list[Entry]) -> None:
            if not answer.done():
                answer.set_result(found)

        def failed(why: str) -> None:
            if not answer.done():
                answer.set_exception(_unreadable(why))

        self._writer.put(Read(after, limit, service, self._on_loop(read), self._on_loop(failed)))
        try:
            return await asyncio.wait_for(answer, APPEND_TIMEOUT_S)
        except TimeoutError:
            raise _unreadable(f"no answer from the disk within {APPEND_TIMEOUT_S:g} s") from None

    async def close(self) -> bool:
        """Write what waits, if the disk takes it, and close the file; return whether it ever took everything."""
        self._writer.put(None)
        ended = await asyncio.to_thread(self._writer.join, APPEND_TIMEOUT_S)
        return self._complete and ended and not self._writer.backlog

    # -- doubts
    def decide(self, doubt: Doubt, outcome: str) -> None:
        """Say what became of a change that a predecessor had left in doubt."""
        self._writer.put_decided(doubt)
        self.settled(doubt, outcome)

    def opened(self, doubt: Doubt) -> None:
        """A change is in doubt from now on."""
        self.doubts.append(doubt)
        told = (doubt.seq, doubt.type, doubt.service, doubt.actor)
        log.error("change %d (%s service=%s actor=%s) is in doubt: the disk may have it", *told)
        self.on_doubt(doubt)

    def settled(self, doubt: Doubt, outcome: str) -> None:
        """A change is not in doubt any more."""
        if doubt.outcome is not None:
            return
        doubt.outcome = outcome
        self.doubts = [known for known in self.doubts if known is not doubt]
        self.decided.append(doubt)
        told = "struck out" if outcome == STRUCK_OUT else "completed: it counts"
        log.warning(
            "change %d (%s service=%s actor=%s) was in doubt and is %s",
            *(doubt.seq, doubt.type, doubt.service, doubt.actor, told),
        )
        self.on_doubt(doubt)

    def settled_by_writer(self, doubt: Doubt, outcome: str) -> None:
        """`settled`, from the writer's thread."""
        self._on_loop(self.settled)(doubt, outcome)

    def opened_by_writer(self, doubt: Doubt) -> None:
        """`opened`, from the writer's thread."""
        self._on_loop(self.opened)(doubt)

    # -- what the disk says
    def _said(self, error: str | None) -> None:
        self._error = error
        self._tell()

    def _tell(self) -> None:
        why = self._error or self._hang
        if why != self._told:
            self._told = why
            self.on_trouble(why)

    def _mark_said(self, why: str | None) -> None:
        if why != self._mark_told:
            self._mark_told = why
            self.on_mark_trouble(why)

    def _on_loop(self, call: Callable[P, None]) -> Callable[P, None]:
        def hand_over(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                self._loop.call_soon_threadsafe(lambda: call(*args, **kwargs))
            except RuntimeError:  # the loop has ended: nobody waits any more
                pass

        return hand_over


def _unreadable(why: str) -> OperatorError:
    return OperatorError(503, "journal_unavailable", f"the journal cannot be read: {why}", exit_code=9)


def _mark_path(database: sqlite3.Connection) -> Path:
    (_, _, file) = database.execute("PRAGMA database_list").fetchone()
    return Path(file).with_name(mark.FILE)


def _found(path: Path) -> mark.Mark | None:
    try:
        return mark.read(path)
    except OSError:  # opening.py has refused what is no file of ours; what went wrong since is said at the first write
        return None
