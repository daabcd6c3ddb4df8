"""The address rows of a slot: what each worker saw of each address of the version in the slot.

A row belongs to the address whose key it holds, so workers need not agree on the order of addresses. A worker writes its
own rows only. All workers decide on ejections by the sums, and each writes its decision into its own row; the latest
decision of any worker holds (proxy/routing/ejection.py). Rows outlive their worker.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from router.shm import layout as at
from router.shm.segment import Segment

_COUNT_MAX = (1 << 24) - 1
_EJECTIONS_MAX = 0xFF


def address_name(url: str, address: str) -> str:
    """Return the spelling of an address in logs and keys: the endpoint's URL, and the address if the URL has a name."""
    return f"{url} ({address})" if address else url


def address_key(incarnation: int, name: str) -> int:
    """Return the key of an address by its name (`address_name`); never 0."""
    text = f"{incarnation} {name}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") | 1


@dataclass(frozen=True, slots=True)
class AddressRow:
    """One address in one worker, or summed over all. Times are monotonic nanoseconds, 0: never.

    `attempts` and `faults` only grow; faults are attempts of the version that ended by a fault here. `in_a_row`, `requests`
    (1, or 2 for more) and `overdue` are those since the last good answer. `ejections` follow one another.
    """

    attempts: int = 0
    faults: int = 0
    in_a_row: int = 0
    requests: int = 0
    overdue: int = 0
    bad_ns: int = 0
    good_ns: int = 0
    until_ns: int = 0
    ejections: int = 0
    open: int = 0


NO_ROW = AddressRow()


def merged(rows: list[AddressRow]) -> AddressRow:
    """Return the sum over workers. Faults and waits of a worker count only if no worker has seen a good answer since."""
    if len(rows) == 1:
        return rows[0]
    good_ns = max((row.good_ns for row in rows), default=0)
    bad = [row for row in rows if row.bad_ns > good_ns]
    last = max(rows, key=lambda row: row.until_ns, default=NO_ROW)
    return AddressRow(
        attempts=sum(row.attempts for row in rows),
        faults=sum(row.faults for row in rows),
        in_a_row=sum(row.in_a_row for row in bad),
        requests=max((row.requests for row in bad), default=0),
        overdue=sum(row.overdue for row in bad),
        bad_ns=max((row.bad_ns for row in rows), default=0),
        good_ns=good_ns,
        until_ns=last.until_ns,
        ejections=last.ejections,
        open=sum(row.open for row in rows),
    )


class AddressRows:
    """The address rows of one slot in all workers. `worker` is the one that writes; None for readers."""

    def __init__(self, segment: Segment, service: int, slot: int, worker: int | None = None) -> None:
        layout = segment.layout
        self._words = segment.words
        self._starts = [layout.worker_slot(index, service, slot) + at.L_ADDRESSES for index in range(layout.workers)]
        self._own = self._starts[worker] if worker is not None else 0

    # -- the writer
    def claim(self, keys: list[int]) -> dict[int, int]:
        """Give each key a row of this worker, and return the rows' offsets by key. A key that has a row keeps it with its
        contents; rows of other keys are cleared. There may be ADDRESSES_MAX keys.
        """
        words, size, wanted = self._words, at.ADDRESS_ROW_WORDS, set(keys)
        offsets = [self._own + number * size for number in range(at.ADDRESSES_MAX)]
        kept = {words[offset]: offset for offset in offsets if words[offset] in wanted}
        free = [offset for offset in offsets if kept.get(words[offset]) != offset]
        for offset in free:
            if words[offset]:
                words[offset : offset + size] = memoryview(bytes(size * at.WORD_BYTES)).cast("Q")
        for key in wanted - kept.keys():
            kept[key] = free.pop(0)
            words[kept[key]] = key
        return kept

    def write(self, offset: int, seen: AddressRow) -> None:
        """Write what this worker saw since the last call: `attempts` and `faults` are added, the rest replaces."""
        words = self._words
        words[offset + at.AR_ATTEMPTS] += seen.attempts
        words[offset + at.AR_FAULTS] += seen.faults
        count = min(seen.in_a_row, _COUNT_MAX) | min(seen.overdue, _COUNT_MAX) << 24 | min(seen.requests, 2) << 48
        words[offset + at.AR_RUN] = count
        words[offset + at.AR_BAD_NS] = seen.bad_ns
        words[offset + at.AR_GOOD_NS] = max(seen.good_ns, words[offset + at.AR_GOOD_NS])
        words[offset + at.AR_OPEN] = seen.open

    def eject(self, offset: int, until_ns: int, ejections: int) -> None:
        """Write an ejection by this worker; until 0: none."""
        number = min(ejections, _EJECTIONS_MAX)
        self._words[offset + at.AR_EJECTED] = (until_ns & ~_EJECTIONS_MAX) | number if until_ns else 0

    # -- the readers
    def read(self) -> dict[int, AddressRow]:
        """Return the sum over all workers by key."""
        found: dict[int, list[AddressRow]] = {}
        size = at.ADDRESS_ROW_WORDS
        for start in self._starts:
            block = self._words[start : start + at.ADDRESSES_MAX * size].tolist()
            for first in range(0, len(block), size):
                if block[first]:
                    found.setdefault(block[first], []).append(_row(block[first : first + size]))
        return {key: merged(rows) for key, rows in found.items()}


def _row(words: list[int]) -> AddressRow:
    _, attempts, faults, run, bad_ns, good_ns, ejected, opened = words
    return AddressRow(
        attempts,
        faults,
        run & _COUNT_MAX,
        run >> 48,
        run >> 24 & _COUNT_MAX,
        bad_ns,
        good_ns,
        ejected & ~_EJECTIONS_MAX,
        ejected & _EJECTIONS_MAX,
        opened,
    )
