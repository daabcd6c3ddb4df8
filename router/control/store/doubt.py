"""A change that was handed to the disk, and of which nobody knows whether the disk has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router.runtime import clock

COMPLETED: Final = "completed"
STRUCK_OUT: Final = "struck_out"
_SHOWN_CHARS_MAX: Final = 64


@dataclass(slots=True, eq=False)
class Doubt:
    """`seq` is the number of its first entry in the journal, `crc` the checksum of that row, `count` how many entries it has.

    `at` is when it was decided on (wall seconds). `outcome` is None as long as it is in doubt, then COMPLETED or STRUCK_OUT.
    """

    seq: int
    count: int
    crc: int
    type: str
    service: str
    actor: str
    at: float
    outcome: str | None = None

    @property
    def numbers(self) -> range:
        """The numbers of its entries."""
        return range(self.seq, self.seq + self.count)

    def described(self) -> dict[str, Any]:
        """Return it as `/v1/status` shows it."""
        return {
            "seq": self.seq,
            "type": self.type,
            "service": self.service or None,
            "actor": self.actor,
            "at": clock.iso(self.at),
            "outcome": self.outcome,
        }

    def plain(self) -> list[Any]:
        """Return it as the mark keeps it; long names are cut."""
        actor = self.actor[:_SHOWN_CHARS_MAX]
        return [self.seq, self.count, self.crc, self.type, self.service[:_SHOWN_CHARS_MAX], actor, self.at]
