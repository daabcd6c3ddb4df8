"""The names and known times of a service's work buckets, and the cells in which workers propose names.

Control is the only writer of a table, workers read it. `WT_SEQUENCE` is odd while entries are written, and grows with each
change of a name or of an inference flag, so a worker that remembers the sequence has nothing to read. The known times change
every second; each is one word, written without the sequence.

A worker proposes the method and path template of a useful answer that has no bucket (`ClaimCell`). Control reads the cell and
adds the name. The number is written last and a CRC covers all, so a cell that is being written reads as none.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from router.rollout.work import NAMED_BUCKETS, WORK_BUCKETS
from router.shm import layout as at
from router.shm.segment import Segment


@dataclass(frozen=True, slots=True)
class WorkEntry:
    """One work bucket: `name` is method and path template (`POST /v1/completions`), at most WORK_NAME_BYTES_MAX bytes."""

    name: str
    inference: bool


class WorkTable:
    """The table of one service."""

    def __init__(self, segment: Segment, service: int) -> None:
        self._words = segment.words
        self._bytes = segment.bytes
        self._start = segment.layout.work_table(service)

    @property
    def sequence(self) -> int:
        """The number of the last change; odd while one is written."""
        return self._words[self._start + at.WT_SEQUENCE]

    def write(self, entries: Mapping[int, WorkEntry]) -> None:
        """Replace all entries, by bucket. Known times stay where the name stays, else they are unknown."""
        words, number = self._words, self.sequence | 1
        before = self._entries()
        words[self._start + at.WT_SEQUENCE] = number
        for bucket in range(WORK_BUCKETS):
            entry, start = entries.get(bucket), self._entry(bucket)
            name = entry.name.encode()[: at.WORK_NAME_BYTES_MAX] if entry is not None else b""
            if bucket < NAMED_BUCKETS and (entry is None or bucket not in before or before[bucket].name != entry.name):
                words[start + at.WE_OVERDUE_US] = words[start + at.WE_MEDIAN_US] = 0
            words[start + at.WE_LENGTH] = len(name)
            words[start + at.WE_INFERENCE] = int(entry is not None and entry.inference)
            first = (start + at.WE_NAME) * at.WORD_BYTES
            self._bytes[first : first + len(name)] = name
        words[self._start + at.WT_SEQUENCE] = number + 1

    def read(self) -> dict[int, WorkEntry] | None:
        """Return the entries by bucket; None while they are written. A writer that died leaves None until the next write."""
        sequence = self.sequence
        if sequence & 1:
            return None
        entries = self._entries()
        return entries if self.sequence == sequence else None

    def left(self) -> dict[int, WorkEntry]:
        """Return the entries for the next writer, also if the last one died while it wrote."""
        return self._entries()

    def write_times(self, bucket: int, overdue_us: int, median_us: int) -> None:
        """Set when a wait is overdue, and the median time to useful; µs, 0: unknown. Buckets 14 and 15 have times, too."""
        start = self._entry(bucket)
        self._words[start + at.WE_OVERDUE_US] = overdue_us
        self._words[start + at.WE_MEDIAN_US] = median_us

    def times(self, bucket: int) -> tuple[int, int]:
        """Return (overdue, median) in µs; 0: unknown."""
        start = self._entry(bucket)
        return self._words[start + at.WE_OVERDUE_US], self._words[start + at.WE_MEDIAN_US]

    def _entry(self, bucket: int) -> int:
        return self._start + at.WORK_TABLE_HEADER_WORDS + bucket * at.WORK_ENTRY_WORDS

    def _entries(self) -> dict[int, WorkEntry]:
        words, entries = self._words, {}
        for bucket in range(WORK_BUCKETS):
            start = self._entry(bucket)
            length = words[start + at.WE_LENGTH]
            if 0 < length <= at.WORK_NAME_BYTES_MAX:
                first = (start + at.WE_NAME) * at.WORD_BYTES
                name = bytes(self._bytes[first : first + length]).decode(errors="replace")
                entries[bucket] = WorkEntry(name, bool(words[start + at.WE_INFERENCE]))
        return entries


class ClaimCell:
    """The proposal of one worker for one service. A further proposal replaces it."""

    def __init__(self, segment: Segment, worker: int, service: int) -> None:
        self._words = segment.words
        self._bytes = segment.bytes
        self._start = segment.layout.worker_service(worker, service)

    def propose(self, name: str) -> bool:
        """Propose a bucket. Return False, and propose nothing, if the name is longer than WORK_NAME_BYTES_MAX."""
        words, start, payload = self._words, self._start, name.encode()
        if len(payload) > at.WORK_NAME_BYTES_MAX:
            return False
        number = words[start + at.LS_CLAIM_NUMBER] + 1
        words[start + at.LS_CLAIM_CRC] = 0
        first = (start + at.LS_CLAIM_NAME) * at.WORD_BYTES
        self._bytes[first : first + len(payload)] = payload
        words[start + at.LS_CLAIM_LENGTH] = len(payload)
        words[start + at.LS_CLAIM_CRC] = _crc(number, payload)
        words[start + at.LS_CLAIM_NUMBER] = number
        return True

    def read(self) -> tuple[int, str] | None:
        """Return (number, name) of the newest proposal; None without one, and while one is written."""
        words, start = self._words, self._start
        number, length, crc = (
            words[start + offset] for offset in (at.LS_CLAIM_NUMBER, at.LS_CLAIM_LENGTH, at.LS_CLAIM_CRC)
        )
        if not number or not 0 < length <= at.WORK_NAME_BYTES_MAX:
            return None
        first = (start + at.LS_CLAIM_NAME) * at.WORD_BYTES
        payload = bytes(self._bytes[first : first + length])
        return (number, payload.decode(errors="replace")) if crc == _crc(number, payload) else None


def _crc(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d" % (number, len(payload)))) or 1
