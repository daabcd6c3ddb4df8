"""A change in doubt: it was handed to the disk, which has neither confirmed nor refused it in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from router.runtime import clock

COMPLETED: Final = "completed"
STRUCK_OUT: Final = "struck_out"
_SHOWN_CHARS_MAX: Final = 64


@dataclass(slots=True, eq=False)
class InDoubtChange:
    """A change of `count` entries; `seq` is the number of its first entry, `crc` the checksum of that row.

    `at` is the wall time (seconds) of the decision. `outcome` is None while the change is in doubt, then COMPLETED or STRUCK_OUT.
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
        """Return the numbers of the entries."""
        return range(self.seq, self.seq + self.count)

    def as_document(self) -> dict[str, Any]:
        """Return the members that `/v1/status` shows."""
        return {
            "seq": self.seq,
            "type": self.type,
            "service": self.service or None,
            "actor": self.actor,
            "at": clock.iso(self.at),
            "outcome": self.outcome,
        }

    def as_list(self) -> list[Any]:
        """Return the values that the mark stores; long names are cut to 64 characters."""
        actor = self.actor[:_SHOWN_CHARS_MAX]
        return [self.seq, self.count, self.crc, self.type, self.service[:_SHOWN_CHARS_MAX], actor, self.at]
