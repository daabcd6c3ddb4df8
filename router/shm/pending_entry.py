"""The journal entry of a route that was published before it was journalled. Shared memory keeps it if control dies.

Automation publishes first and journals as soon as the disk is ready. If control dies in between, the journal has no entry for
the published route. The next control reads the entry here and journals it. Control is the only writer; its successor is the
only reader, and it reads before it writes.
"""

from __future__ import annotations

import zlib

from router.shm import layout as at
from router.shm.segment import Segment


class PendingEntry:
    """The pending entry of one service."""

    def __init__(self, segment: Segment, service: int) -> None:
        self._segment = segment
        self._start = segment.layout.pending_entry(service)

    def write(self, generation: int, payload: bytes) -> bool:
        """Store `payload`, the entry of the route `generation`. Return False, and clear the record, if it is too large."""
        words, start = self._segment.words, self._start
        words[start + at.P_CRC] = words[start + at.P_LENGTH] = 0
        if len(payload) > at.PENDING_BYTES_MAX:
            return False
        first_byte = (start + at.PENDING_HEADER_WORDS) * at.WORD_BYTES
        self._segment.bytes[first_byte : first_byte + len(payload)] = payload
        words[start + at.P_GENERATION] = generation
        words[start + at.P_LENGTH] = len(payload)
        words[start + at.P_CRC] = _crc(generation, payload)
        return True

    def read(self) -> tuple[int, bytes] | None:
        """Return (generation, payload); None if there is none, or if the writer died during the write."""
        words, start = self._segment.words, self._start
        generation, length, crc = (words[start + offset] for offset in (at.P_GENERATION, at.P_LENGTH, at.P_CRC))
        if not 0 < length <= at.PENDING_BYTES_MAX:
            return None
        first_byte = (start + at.PENDING_HEADER_WORDS) * at.WORD_BYTES
        payload = bytes(self._segment.bytes[first_byte : first_byte + length])
        return (generation, payload) if crc == _crc(generation, payload) else None


def _crc(generation: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d" % (generation, len(payload))))
