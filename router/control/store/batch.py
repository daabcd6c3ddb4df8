"""Entries of one transaction on their way to the disk, and who decides what becomes of them: its asker, or the writer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from router.control.store.doubt import Doubt
from router.errors import OperatorError
from router.rollout.model import entry as kinds
from router.rollout.model.entry import Entry
from router.runtime import clock

EXIT_REFUSED: Final = 9
EXIT_IN_DOUBT: Final = 1
NOTHING: Final = "nothing was changed, traffic and automatic rollback go on"


class JournalUnavailable(OperatorError):
    """503. Without `doubt` the change was not made: it was never handed to the disk, or the disk has refused it.

    With one, the disk may have it or still take it: `doubt.outcome` says so later, and so does the next start.
    """

    def __init__(self, why: str, *, doubt: Doubt | None = None, consequence: str = NOTHING) -> None:
        facts: dict[str, object] = {"in_doubt": doubt is not None}
        if doubt is not None:
            facts["seq"] = doubt.seq
            consequence = (
                f"change {doubt.seq} ({doubt.type}) is in doubt: the disk may have it. It is not in effect now; status "
                "shows it until it is completed or struck out, at the latest by the next start"
            )
        super().__init__(
            503,
            "journal_unavailable",
            f"the journal cannot be written ({why}); {consequence}",
            exit_code=EXIT_REFUSED if doubt is None else EXIT_IN_DOUBT,
            facts=facts,
        )
        self.doubt = doubt

    @property
    def in_doubt(self) -> bool:
        """Whether nobody knows yet what became of the change."""
        return self.doubt is not None and self.doubt.outcome is None


class Phase(Enum):
    """Where a batch is. GIVEN_UP: its asker left before it was handed to the disk; LEFT: its asker left after that."""

    WAITING = "waiting"
    GIVEN_UP = "given_up"
    HANDED = "handed"
    LEFT = "left"
    WRITTEN = "written"
    REFUSED = "refused"


@dataclass(slots=True)
class Batch:
    """`done` is told the numbers, `failed` why not, both on the writer's thread; `failed` is None if nobody is waiting.

    `doubt` describes it, from when it gets its numbers on.
    """

    entries: tuple[Entry, ...]
    done: Callable[[Sequence[int]], None]
    failed: Callable[[JournalUnavailable], None] | None = None
    doubt: Doubt | None = None
    phase: Phase = Phase.WAITING
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def leave(self) -> Phase:
        """Its asker waits no longer; return what is true now."""
        return self._move({Phase.WAITING: Phase.GIVEN_UP, Phase.HANDED: Phase.LEFT})

    def hand_over(self) -> bool:
        """Whether the writer may hand it to the disk: not if its asker has left."""
        return self._move({Phase.WAITING: Phase.HANDED}) is Phase.HANDED

    def ended(self, phase: Phase) -> bool:
        """The disk has answered: WRITTEN or REFUSED. Return whether its asker still waits."""
        return self._move({Phase.HANDED: phase}) is phase

    def _move(self, moves: dict[Phase, Phase]) -> Phase:
        with self._lock:
            self.phase = moves.get(self.phase, self.phase)
            return self.phase


def striking(doubt: Doubt, entry: Entry) -> Batch:
    """Return the entries that take a change back; `entry` is one of its own."""
    told = replace(entry, type=kinds.ABANDONED, actor="control", at=clock.wall_s(), monotonic_ns=clock.now_ns(), seq=0)
    return Batch(tuple(replace(told, data={"abandons": seq}) for seq in doubt.numbers), lambda numbers: None)
