"""Captured requests of a worker: a ring buffer of records with one writer, the worker, and any number of readers.

A worker has two rings: `failures` (failed exchanges, for cases and incidents) and `inputs` (samples of request bodies, for
statistics). A record is bytes, a time, a service and a number; this module does not interpret the bytes. A full ring drops
its oldest records, by number (CAPTURES_KEPT) or by bytes (CAPTURE_RING_BYTES).

The ring relies on no lock and on no order of stores. Each entry carries a CRC over itself and its bytes. The CRC does not match
if the record is being written, was overwritten while it was read, or was left half written by a killed worker; such a record
is skipped. The successor of a dead worker continues after the last whole record.

Why: docs/decisions.md#captures-lie-in-shared-memory.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from router.shm import layout as at
from router.shm.segment import Segment

_ENTRY_BYTES: Final = at.E_CRC * at.WORD_BYTES


@dataclass(frozen=True, slots=True)
class Capture:
    """`number` counts the records of one ring from 0; `at_ns` is monotonic; `service` is its index in the segment."""

    number: int
    at_ns: int
    service: int
    payload: bytes


class CaptureRing:
    """Ring `ring` (`layout.CAPTURE_FAILURES`, `CAPTURE_INPUTS`) of worker number `worker`."""

    def __init__(self, segment: Segment, worker: int, ring: int) -> None:
        self._words = segment.words
        self._bytes = segment.bytes
        self._header = segment.layout.captures(worker, ring)
        self._entries = self._header + at.CAPTURE_HEADER_WORDS
        self._data = (self._entries + at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS) * at.WORD_BYTES

    @property
    def written(self) -> int:
        """Number of records that were ever written."""
        return self._words[self._header + at.C_WRITTEN]

    def write(self, at_ns: int, service: int, payload: bytes) -> bool:
        """Write one record (2 µs for 1 KiB). Return False, and write nothing, if `payload` exceeds CAPTURE_BYTES_MAX."""
        words, length = self._words, len(payload)
        if length > at.CAPTURE_BYTES_MAX:
            return False
        number, position = words[self._header + at.C_WRITTEN], words[self._header + at.C_POSITION]
        left = at.CAPTURE_RING_BYTES - position % at.CAPTURE_RING_BYTES
        if length > left:  # a record does not wrap around
            position += left
        first = self._data + position % at.CAPTURE_RING_BYTES
        entry = self._entries + number % at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS
        words[entry + at.E_CRC] = 0
        self._bytes[first : first + length] = payload
        for offset, value in (
            (at.E_NUMBER, number),
            (at.E_AT_NS, at_ns),
            (at.E_SERVICE, service),
            (at.E_POSITION, position),
            (at.E_LENGTH, length),
        ):
            words[entry + offset] = value
        words[entry + at.E_CRC] = self._crc(entry, payload)
        words[self._header + at.C_POSITION] = position + length
        words[self._header + at.C_WRITTEN] = number + 1
        return True

    def read(self, first: int = 0, *, since_ns: int = 0, service: int | None = None) -> list[Capture]:
        """Return the whole records from number `first` and time `since_ns` on, oldest first; of `service` (None: of all)."""
        written = self.written
        numbers = range(max(first, written - at.CAPTURES_KEPT), written)
        found = (self._read(number, since_ns, service) for number in numbers)
        return [capture for capture in found if capture is not None]

    def _read(self, number: int, since_ns: int, service: int | None) -> Capture | None:
        entry = self._entries + number % at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS
        stored, at_ns, owner, position, length, crc = self._words[entry : entry + at.E_CRC + 1].tolist()
        if stored != number or at_ns < since_ns or service not in (None, owner) or length > at.CAPTURE_BYTES_MAX:
            return None
        first = self._data + position % at.CAPTURE_RING_BYTES
        payload = bytes(self._bytes[first : first + length])
        if crc != self._crc(entry, payload):
            return None
        return Capture(number, at_ns, owner, payload)

    def _crc(self, entry: int, payload: bytes) -> int:
        start = entry * at.WORD_BYTES
        return zlib.crc32(payload, zlib.crc32(self._bytes[start : start + _ENTRY_BYTES])) or 1
