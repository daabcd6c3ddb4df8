"""What control knows of the addresses of a slot: the results of its probes, and the faults that do not count (`set_aside`).

Control is the only writer. `AT_SEQUENCE` is odd while entries are written, so a worker that reads meanwhile reads again later.
The table outlives control: with control silent, workers go on with the last results, and a new control with the last counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from router.shm import layout as at
from router.shm.segment import Segment


@dataclass(frozen=True, slots=True)
class AddressEntry:
    """`health` is HEALTH_UNKNOWN, HEALTH_GOOD or HEALTH_RED. `set_aside`: faults that do not count against the version; `mark`:
    faults of the address up to which that was decided.
    """

    health: int = at.HEALTH_UNKNOWN
    set_aside: int = 0
    mark: int = 0


class AddressTable:
    """The table of one slot."""

    def __init__(self, segment: Segment, service: int, slot: int) -> None:
        self._words = segment.words
        self._start = segment.layout.address_table(service, slot)

    @property
    def sequence(self) -> int:
        """The number of the last change; odd while one is written."""
        return self._words[self._start + at.AT_SEQUENCE]

    def write(self, entries: Mapping[int, AddressEntry]) -> None:
        """Replace all entries, by key (shm/address_rows.py); at most ADDRESSES_MAX. Nothing is written if nothing changed."""
        if self.sequence & 1 == 0 and self._entries() == entries:
            return
        words, number = self._words, self.sequence | 1
        words[self._start + at.AT_SEQUENCE] = number
        for position, (key, entry) in enumerate(list(entries.items())[: at.ADDRESSES_MAX]):
            start = self._entry(position)
            words[start + at.AE_KEY] = key
            words[start + at.AE_HEALTH] = entry.health
            words[start + at.AE_SET_ASIDE] = entry.set_aside
            words[start + at.AE_MARK] = entry.mark
        words[self._start + at.AT_COUNT] = min(len(entries), at.ADDRESSES_MAX)
        words[self._start + at.AT_SEQUENCE] = number + 1

    def read(self) -> dict[int, AddressEntry] | None:
        """Return the entries by key; None while they are written."""
        sequence = self.sequence
        if sequence & 1:
            return None
        entries = self._entries()
        return entries if self.sequence == sequence else None

    def red(self) -> frozenset[int] | None:
        """Return the keys of the addresses whose probes fail; None while they are written."""
        entries = self.read()
        return (
            None if entries is None else frozenset(key for key, one in entries.items() if one.health == at.HEALTH_RED)
        )

    def _entry(self, position: int) -> int:
        return self._start + at.ADDRESS_TABLE_HEADER_WORDS + position * at.ADDRESS_ENTRY_WORDS

    def _entries(self) -> dict[int, AddressEntry]:
        words, entries = self._words, {}
        for position in range(min(words[self._start + at.AT_COUNT], at.ADDRESSES_MAX)):
            start = self._entry(position)
            entries[words[start + at.AE_KEY]] = AddressEntry(
                words[start + at.AE_HEALTH], words[start + at.AE_SET_ASIDE], words[start + at.AE_MARK]
            )
        return entries
