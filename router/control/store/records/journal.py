"""The journal as the core sees it: an ordered log of records, which the state of each service follows.

A record that the fold of its service refuses never exists: the journal asks the follower before anything is written or applied.
Then the journal decides the order of writing and applying. `Follower.apply` is the same for each record, also for one that
another router has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from router.control.store.records.request_key import RequestKey
from router.rollout.facts.entry import Entry
from router.shm.pending_entry import PendingEntry

APPEND_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """Entries that are to become one record. `decided_ns`: when they were decided (monotonic).

    Without `publish` they change the registry alone: shared memory has their effects already, or gets them later.
    """

    entries: tuple[Entry, ...]
    decided_ns: int
    publish: bool = True


@dataclass(frozen=True, slots=True)
class Applied:
    """Entries that are in effect; `seq` is 0 until the disk has them. `stored_ns`: when their route was stored, None without one.

    `kept` is False if the queue of the disk was full: a restart will not know the entries.
    """

    entries: tuple[Entry, ...]
    stored_ns: int | None
    kept: bool = True


class Follower(Protocol):
    """The state of one service, on the event loop. CommandExecutor is one."""

    pending_entry: PendingEntry

    @property
    def generation(self) -> int:
        """The generation of the present route."""

    def refuse_illegal(self, entries: Sequence[Entry]) -> None:
        """Raise InternalError if the fold refuses the entries now; change nothing."""

    def apply(self, record: JournalRecord, before_effects: Callable[[], None] = lambda: None) -> int | None:
        """Fold a record, then carry out its effects; return when its route was stored, None without one.

        `before_effects` is called between the two. Raise InternalError, with nothing changed, if the fold refuses the record.
        """


class Journal(Protocol):
    """One log for all services of a router."""

    @property
    def beat_age_s(self) -> float:
        """Seconds since the last sign that the log can be written; 0 if it is this router's own."""

    @property
    def generation_step(self) -> int:
        """By how much the generation of a record is greater than that of the one before (rollout/model/route.py)."""

    @property
    def position(self) -> int:
        """The number of the newest record that is durable and known here; 0 without one."""

    async def append(
        self,
        follower: Follower,
        record: JournalRecord,
        *,
        key: RequestKey | None = None,
        timeout_s: float = APPEND_TIMEOUT_S,
        refuse_overtaken: Callable[[], None] = lambda: None,
    ) -> Applied:
        """Make the record durable, then apply it.

        `key` is that of the request. `refuse_overtaken` raises a Refusal if the record is not right any more when it is durable:
        then it takes no effect. Raise JournalUnavailable after `timeout_s`.
        """

    def urgent(
        self,
        follower: Follower,
        record: JournalRecord,
        on_durable: Callable[[Sequence[int]], None] = lambda numbers: None,
    ) -> Applied:
        """Apply the record of a decision that must not wait, and make it durable as soon as possible.

        `on_durable` gets the numbers of its entries then.
        """

    def note(
        self,
        follower: Follower,
        record: JournalRecord,
        on_durable: Callable[[Sequence[int]], None] = lambda numbers: None,
    ) -> Applied:
        """Apply and keep a record about this router alone. It needs no order among the records of others."""

    def refuse_in_doubt(self, service: str) -> None:
        """Raise Refusal if an earlier change of the service, which is not in effect, may still take effect."""
