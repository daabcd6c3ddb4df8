from __future__ import annotations

import random

import pytest

from router.shm import layout as at
from router.shm.row_ring import ENTRY_WORDS, RowRing
from router.shm.segment import Segment

ROWS, WORDS = 8, 40


def ring(segment: Segment) -> RowRing:
    """A ring in the words of a sample ring, which nothing else uses here."""
    start = segment.layout.ring(0, 0)
    return RowRing(segment, start, start + 2, ROWS, WORDS)


def test_rows_come_back_as_written(segment: Segment) -> None:
    rows = [[1], [2, 3], [4] * 10]
    for row in rows:
        ring(segment).write(row)
    assert ring(segment).rows() == rows


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_rows_that_fit_are_there(segment: Segment, seed: int) -> None:
    generator = random.Random(seed)
    rows = [[number] * generator.randint(1, 12) for number in range(1, 60)]
    for count, row in enumerate(rows, 1):
        ring(segment).write(row)
        found = ring(segment).rows()
        assert found == rows[count - len(found) : count]
        assert len(found) <= ROWS
        assert len(found) == min(count, ROWS) or sum(map(len, found)) > WORDS - 2 * 12


def test_a_row_whose_writer_died_is_not_counted(segment: Segment) -> None:
    rows = [[number] * 10 for number in range(1, 5)]
    for row in rows:
        ring(segment).write(row)
    assert ring(segment).rows() == rows
    data = segment.layout.ring(0, 0) + 2 + ROWS * ENTRY_WORDS
    segment.words[data] = 99  # the next row begins here, over the oldest one
    assert ring(segment).rows() == rows[1:]


def test_half_an_entry_is_not_counted(segment: Segment) -> None:
    for number in range(1, ROWS + 1):
        ring(segment).write([number])
    segment.words[segment.layout.ring(0, 0) + 2] = ROWS  # number of the next entry, over the oldest one
    assert ring(segment).rows() == [[number] for number in range(2, ROWS + 1)]


def test_a_cleared_ring_is_empty(segment: Segment) -> None:
    ring(segment).write([1])
    ring(segment).clear()
    assert ring(segment).rows() == []
    ring(segment).write([2])
    assert ring(segment).rows() == [[2]]


def test_the_layout_has_room_for_the_index() -> None:
    assert at.WHOLE_ENTRY_WORDS == ENTRY_WORDS
