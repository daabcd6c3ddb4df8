"""The entries of one record on their way to the disk.

The caller of `append` runs on the event loop, the writer on its own thread. Each may end a batch; the lock of the batch makes
the first of the two count.

Why: docs/decisions.md#a-change-is-in-doubt-from-just-before-its-commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from router.control.store.in_doubt import InDoubtChange
from router.control.store.records.request_key import RequestKey
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.router_itself import Abandoned
from router.runtime import clock

NOTHING: Final = "nothing was changed, traffic and automatic rollback go on"


class JournalUnavailable(Refusal):
    """Without `doubt` the change was not made: it was never handed to the disk, or the disk has refused it.

    With `doubt` the disk may have the change or may still take it. `doubt.outcome` is set later, at the latest by the next start.
    """

    def __init__(self, why: str, *, doubt: InDoubtChange | None = None, consequence: str = NOTHING) -> None:
        facts: dict[str, object] = {"in_doubt": doubt is not None}
        if doubt is not None:
            facts["seq"] = doubt.seq
            consequence = (
                f"change {doubt.seq} ({doubt.type}) is in doubt: the disk may have it. It is not in effect now; status "
                "shows it until it is completed or struck out, at the latest by the next start"
            )
        super().__init__(
            RefusalCode.JOURNAL_UNAVAILABLE, f"the journal cannot be written ({why}); {consequence}", facts
        )
        self.doubt = doubt

    @property
    def in_doubt(self) -> bool:
        """Return whether the outcome of the change is still unknown."""
        return self.doubt is not None and self.doubt.outcome is None


class Phase(Enum):
    """The phase of a batch.

    GIVEN_UP: its caller stopped waiting before the batch was handed to the disk. LEFT: its caller stopped waiting after that.
    """

    WAITING = "waiting"
    GIVEN_UP = "given_up"
    HANDED = "handed"
    LEFT = "left"
    WRITTEN = "written"
    REFUSED = "refused"


@dataclass(slots=True)
class Batch:
    """Entries that are written together.

    `done` gets the numbers of the entries, `failed` gets the reason; both run on the writer's thread. `failed` is None if no
    caller waits. `doubt` describes the batch; it is set when the entries get their numbers. `key` is that of the request that has
    led to them, if it had one.
    """

    entries: tuple[Entry, ...]
    done: Callable[[Sequence[int]], None]
    failed: Callable[[JournalUnavailable], None] | None = None
    doubt: InDoubtChange | None = None
    key: RequestKey | None = None
    phase: Phase = Phase.WAITING
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def leave(self) -> Phase:
        """Record that the caller stopped waiting; return the phase after that."""
        return self._move({Phase.WAITING: Phase.GIVEN_UP, Phase.HANDED: Phase.LEFT})

    def hand_over(self) -> bool:
        """Return whether the writer may hand the batch to the disk: not if its caller stopped waiting."""
        return self._move({Phase.WAITING: Phase.HANDED}) is Phase.HANDED

    def ended(self, phase: Phase) -> bool:
        """Record the answer of the disk: WRITTEN or REFUSED. Return whether the caller still waits."""
        return self._move({Phase.HANDED: phase}) is phase

    def _move(self, moves: dict[Phase, Phase]) -> Phase:
        with self._lock:
            self.phase = moves.get(self.phase, self.phase)
            return self.phase


def compensation(doubt: InDoubtChange, entry: Entry) -> Batch:
    """Return the compensating entries (`abandoned`) of a change, one for each of its entries; `entry` is one of these."""
    now_s, now_ns = clock.wall_s(), clock.now_ns()
    abandoned = (Abandoned(abandons=seq) for seq in doubt.numbers)
    entries = tuple(Entry(fact, entry.service, "control", now_s, now_ns, entry.boot) for fact in abandoned)
    return Batch(entries, lambda numbers: None)
