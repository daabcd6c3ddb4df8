"""The fact that goes with a route which is stored before it is journalled, kept where it outlives control.

Automation stores first and journals as soon as the disk takes it. A control that dies in between leaves a route of which the
journal knows nothing; its successor finds here why it was published, and journals that. One writer (control), one reader
(its successor, before it writes).
"""

from __future__ import annotations

import zlib

from router.shm import layout as at
from router.shm.segment import Segment


class PendingEntry:
    """The note of one service."""

    def __init__(self, segment: Segment, service: int) -> None:
        self._segment = segment
        self._start = segment.layout.note(service)

    def write(self, generation: int, payload: bytes) -> bool:
        """Keep `payload`, which goes with the route `generation`; return False, keeping nothing, if it is too large."""
        words, start = self._segment.words, self._start
        words[start + at.N_CRC] = words[start + at.N_LENGTH] = 0
        if len(payload) > at.NOTE_BYTES_MAX:
            return False
        first_byte = (start + at.NOTE_HEADER_WORDS) * at.WORD_BYTES
        self._segment.bytes[first_byte : first_byte + len(payload)] = payload
        words[start + at.N_GENERATION] = generation
        words[start + at.N_LENGTH] = len(payload)
        words[start + at.N_CRC] = _crc(generation, payload)
        return True

    def read(self) -> tuple[int, bytes] | None:
        """Return (generation, payload); None if nothing was kept, or its writer died over it."""
        words, start = self._segment.words, self._start
        generation, length, crc = (words[start + offset] for offset in (at.N_GENERATION, at.N_LENGTH, at.N_CRC))
        if not 0 < length <= at.NOTE_BYTES_MAX:
            return None
        first_byte = (start + at.NOTE_HEADER_WORDS) * at.WORD_BYTES
        payload = bytes(self._segment.bytes[first_byte : first_byte + length])
        return (generation, payload) if crc == _crc(generation, payload) else None


def _crc(generation: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d" % (generation, len(payload))))
