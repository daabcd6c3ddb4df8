"""The journal of a single router: its own file.

    append    fold on a copy → file (fsync) → still right? → apply         not right any more: the record is struck out
    urgent    fold on a copy → note in shared memory → effects → file      a verdict never waits for the disk

An operator's change is journalled before it is in effect, and a verdict after it. So the file may have records without effect.
`base`, the generation on which an entry was decided, and `abandoned` entries name them (effective.py).

Why: docs/decisions.md#store-and-journal-two-orders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import orjson

from router.control.store.journal_file import JournalFile
from router.control.store.records.journal import APPEND_TIMEOUT_S, Applied, Follower, JournalRecord
from router.control.store.records.request_key import RequestKey
from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.versions import VersionFact


class LocalJournal:
    """A `Journal` over the file of this router."""

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    @property
    def beat_age_s(self) -> float:
        """No other router writes this log."""
        return 0.0

    @property
    def generation_step(self) -> int:
        """No router has steps of its own between two records."""
        return 1

    @property
    def position(self) -> int:
        """The number of the newest record in the file."""
        return self._file.position

    async def append(
        self,
        follower: Follower,
        record: JournalRecord,
        *,
        key: RequestKey | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
        refuse_overtaken: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Write the record, then apply it (journal.py).

        If the caller is cancelled, or gets no answer within `timeout_s`, the record is struck out when the disk has it.
        """
        entries = _based(record.entries, follower.generation)
        follower.refuse_illegal(entries)
        numbers = await self._file.append(*entries, key=key, timeout_s=timeout_s)
        entries = tuple(replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True))
        try:
            refuse_overtaken()
        except (Refusal, InternalError):
            await self._file.strike_out(entries)  # the answer is that nothing was changed
            raise
        return Applied(entries, follower.apply(replace(record, entries=entries)))

    def urgent(
        self,
        follower: Follower,
        record: JournalRecord,
        on_durable: Callable[[Sequence[int]], None] = lambda numbers: None,
    ) -> Applied:
        """Apply the record, then queue it for the disk (journal.py)."""
        record = replace(record, entries=_based(record.entries, follower.generation))
        stored_ns = follower.apply(record, lambda: _note(follower, record.entries))
        kept = self._file.submit(*record.entries, on_done=on_durable)
        return Applied(record.entries, stored_ns, kept)

    def note(
        self,
        follower: Follower,
        record: JournalRecord,
        on_durable: Callable[[Sequence[int]], None] = lambda numbers: None,
    ) -> Applied:
        """Apply and queue the record: all records of a single router are about this router."""
        return self.urgent(follower, record, on_durable)

    def refuse_in_doubt(self, service: str) -> None:
        """Raise Refusal if a change of the service is in doubt. The state is as requested, but the next start may change it."""
        doubt = next((doubt for doubt in self._file.in_doubt if doubt.service == service), None)
        if doubt is not None:
            detail = (
                f"the state is as requested, but change {doubt.seq} ({doubt.type}) of {service} is in doubt, and may take "
                "effect with the next start: repeat the request once it is decided, as status shows; nothing was changed"
            )
            raise Refusal(RefusalCode.CHANGE_IN_DOUBT, detail, facts={"seq": doubt.seq})


def _based(entries: Sequence[Entry], generation: int) -> tuple[Entry, ...]:
    """Return entries that say on which generation they were decided, if they publish a route."""
    return tuple(_based_on(entry, generation) for entry in entries)


def _based_on(entry: Entry, generation: int) -> Entry:
    fact = entry.fact
    if not isinstance(fact, VersionFact) or not fact.publishes or fact.base is not None:
        return entry
    return replace(entry, fact=replace(fact, base=generation))


def _note(follower: Follower, entries: Sequence[Entry]) -> None:
    """Keep the entry of a route in shared memory, which outlives this process, until the disk has it."""
    for entry in entries:
        if (generation := route_generation(entry)) is not None:
            follower.pending_entry.write(generation, orjson.dumps(entry.as_dict()))
