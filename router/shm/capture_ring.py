"""Requests that a worker has kept: a ring of records of one writer, the worker, which anybody may read at any time.

A worker has two: `failures` (what failed, for cases and incidents) and `inputs` (samples of request bodies, for statistics).
A record is bytes, its moment, its service and a number; what the bytes mean is the writer's and the reader's business. The
oldest records go when the ring is full, by number (CAPTURES_KEPT) or by bytes (CAPTURE_RING_BYTES).

No lock, and no order of stores, is relied upon. An entry carries a CRC over itself and its bytes, so a record that is being
written, that was overwritten while it was read, or whose writer was killed in the middle, does not match and is skipped. The
successor of a dead worker goes on where the last whole record ends.
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
    """`number` counts the records of one ring from 0; `at_ns` is monotonic; `service` is its index in the wall."""

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
        """How many records were ever written."""
        return self._words[self._header + at.C_WRITTEN]

    def write(self, at_ns: int, service: int, payload: bytes) -> bool:
        """Keep `payload` (2 µs for 1 KiB); return False, having written nothing, if it exceeds CAPTURE_BYTES_MAX."""
        words, length = self._words, len(payload)
        if length > at.CAPTURE_BYTES_MAX:
            return False
        number, position = words[self._header + at.C_WRITTEN], words[self._header + at.C_POSITION]
        left = at.CAPTURE_RING_BYTES - position % at.CAPTURE_RING_BYTES
        if length > left:  # a record is one piece
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
        """Return the whole records from number `first` on, oldest first; of one service or all, not older than `since_ns`."""
        written = self.written
        numbers = range(max(first, written - at.CAPTURES_KEPT), written)
        found = (self._read(number, since_ns, service) for number in numbers)
        return [capture for capture in found if capture is not None]

    def _read(self, number: int, since_ns: int, service: int | None) -> Capture | None:
        entry = self._entries + number % at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS
        found, at_ns, of, position, length, crc = self._words[entry : entry + at.E_CRC + 1].tolist()
        if found != number or at_ns < since_ns or service not in (None, of) or length > at.CAPTURE_BYTES_MAX:
            return None
        first = self._data + position % at.CAPTURE_RING_BYTES
        payload = bytes(self._bytes[first : first + length])
        if crc != self._crc(entry, payload):
            return None
        return Capture(number, at_ns, of, payload)

    def _crc(self, entry: int, payload: bytes) -> int:
        start = entry * at.WORD_BYTES
        return zlib.crc32(payload, zlib.crc32(self._bytes[start : start + _ENTRY_BYTES])) or 1
