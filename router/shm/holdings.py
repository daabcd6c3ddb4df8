"""Which targets and clients use a worker's request limits: one record, written once a second while clients are refused.

Control reads it. The worker is the only writer; once it is dead, the supervisor is. The record relies on no lock and on no
order of stores: a CRC over time and bytes detects a record that is being written.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from router.runtime import clock
from router.shm import layout as at
from router.shm.segment import Segment

FRESH_S: Final = 5.0
"""The worker rewrites the record every second; an older record is out of date."""


class HoldingsRecord:
    """The record of worker number `worker`."""

    def __init__(self, segment: Segment, worker: int) -> None:
        self._words = segment.words
        self._bytes = segment.bytes
        self._start = segment.layout.holdings(worker)

    @property
    def is_set(self) -> bool:
        """Whether a record was written and not cleared."""
        return bool(self._words[self._start + at.HO_LENGTH])

    def write(self, document: dict[str, Any]) -> None:
        """Store `document`. One that does not fit clears the record; proxy/routing/holdings.py keeps within the bound."""
        payload = json.dumps(document).encode()
        if len(payload) > at.HOLDINGS_BYTES_MAX:
            self.clear()
            return
        words, start, at_ns = self._words, self._start, clock.now_ns()
        first = (start + at.HOLDINGS_HEADER_WORDS) * at.WORD_BYTES
        words[start + at.HO_CRC] = 0
        self._bytes[first : first + len(payload)] = payload
        words[start + at.HO_AT_NS], words[start + at.HO_LENGTH] = at_ns, len(payload)
        words[start + at.HO_CRC] = _crc(at_ns, payload)

    def clear(self) -> None:
        """Remove the record: no client is refused any more."""
        self._words[self._start + at.HO_CRC] = self._words[self._start + at.HO_LENGTH] = 0

    def read(self, now_ns: int) -> dict[str, Any] | None:
        """Return the document; None if there is none, if it is older than FRESH_S, or while it is written."""
        at_ns, length, crc = self._words[self._start : self._start + at.HO_CRC + 1].tolist()
        if not 0 < length <= at.HOLDINGS_BYTES_MAX or now_ns - at_ns > FRESH_S * 1e9:
            return None
        first = (self._start + at.HOLDINGS_HEADER_WORDS) * at.WORD_BYTES
        payload = bytes(self._bytes[first : first + length])
        if crc != _crc(at_ns, payload):
            return None
        document: dict[str, Any] = json.loads(payload)
        return document


def _crc(at_ns: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(b"%d %d" % (at_ns, len(payload)))) or 1
