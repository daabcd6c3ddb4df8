"""A ring of rows of different lengths with one writer: an index of fixed size and a ring of words.

An index entry has the number, position and length of a row and a CRC over these and the row. The writer writes the row, then
its entry, then the count. The CRC does not match for a row whose words were overwritten since, or that a dying writer has left
half written. A full ring drops its oldest rows, by number or by words.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Sequence
from typing import Final

from router.shm.segment import Segment

ENTRY_WORDS: Final = 4
_NUMBER, _POSITION, _LENGTH, _CRC = range(ENTRY_WORDS)


class RowRing:
    """`counter` is the offset of two words (rows ever written, words ever used); `start` that of the index and the words."""

    def __init__(self, segment: Segment, counter: int, start: int, rows: int, words: int) -> None:
        self._words = segment.words
        self._counter = counter
        self._entries = start
        self._rows = rows
        self._data = start + rows * ENTRY_WORDS
        self._size = words

    def write(self, row: Sequence[int]) -> None:
        """Append a row; it must fit into the ring."""
        words, length = self._words, len(row)
        number, position = words[self._counter], words[self._counter + 1]
        left = self._size - position % self._size
        if length > left:  # a row does not wrap around
            position += left
        start = self._data + position % self._size
        packed = array("Q", row)
        words[start : start + length] = memoryview(packed)
        entry = self._entries + number % self._rows * ENTRY_WORDS
        head = array("Q", (number, position, length))
        crc = zlib.crc32(packed, zlib.crc32(head)) or 1
        words[entry : entry + ENTRY_WORDS] = memoryview(array("Q", (*head, crc)))
        words[self._counter + 1] = position + length
        words[self._counter] = number + 1

    def rows(self) -> list[list[int]]:
        """Return the whole rows, oldest first, without a gap between them."""
        written = self._words[self._counter]
        found: list[list[int]] = []
        for number in range(written - 1, max(written - self._rows, 0) - 1, -1):
            row = self._read(number)
            if row is None:
                break
            found.append(row)
        return found[::-1]

    def clear(self) -> None:
        """Drop all rows."""
        self._words[self._counter] = self._words[self._counter + 1] = 0

    def _read(self, number: int) -> list[int] | None:
        entry = self._entries + number % self._rows * ENTRY_WORDS
        stored, position, length, crc = self._words[entry : entry + ENTRY_WORDS].tolist()
        first = position % self._size
        if stored != number or not 0 < length <= self._size - first:
            return None
        row = self._words[self._data + first : self._data + first + length].tolist()
        head = array("Q", (stored, position, length))
        return row if crc == (zlib.crc32(array("Q", row), zlib.crc32(head)) or 1) else None
