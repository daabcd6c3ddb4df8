from types import SimpleNamespace
from typing import cast

import pytest

from router.errors import InternalError
from router.rollout.model.route import Route, first_generation
from router.runtime import clock
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment

FIRST = Route(first_generation(1) + 1, active=0, standby=1)


def test_before_the_first_publication_there_is_no_route(segment: Segment) -> None:
    cell = RouteCell(segment, 0)
    assert (cell.word(), cell.read(), cell.stored_ns()) == (0, None, 0)


def test_what_is_published_is_read(segment: Segment) -> None:
    cell = RouteCell(segment, 1)
    before_ns = clock.now_ns()
    stored_ns = cell.publish(FIRST, decided_ns=before_ns)
    assert cell.read() == FIRST
    assert cell.word() == FIRST.encode()
    assert before_ns <= stored_ns == cell.stored_ns() <= clock.now_ns()
    assert RouteCell(segment, 0).read() is None


@pytest.mark.parametrize("step", [0, -1])
def test_a_generation_that_does_not_grow_changes_nothing(segment: Segment, step: int) -> None:
    cell = RouteCell(segment, 0)
    stored_ns = cell.publish(FIRST, 0)
    with pytest.raises(InternalError) as caught:
        cell.publish(Route(FIRST.generation + step, active=2), 0)
    assert caught.value.code == "generation_stale"
    assert (cell.read(), cell.stored_ns()) == (FIRST, stored_ns)


class RecordedWords:
    """The words of a segment, and the order in which they were written."""

    def __init__(self, words: memoryview) -> None:
        self.words = words
        self.written: list[tuple[int, int]] = []

    def __getitem__(self, offset: int) -> int:
        return self.words[offset]

    def __setitem__(self, offset: int, word: int) -> None:
        self.words[offset] = word
        self.written.append((offset, word))


def test_a_route_is_published_by_one_store_and_that_is_the_last(segment: Segment) -> None:
    words = RecordedWords(segment.words)
    cell = RouteCell(cast(Segment, SimpleNamespace(words=words, layout=segment.layout)), 1)
    stored_ns = cell.publish(FIRST, decided_ns=7)
    assert words.written == [
        (cell.offset + at.R_DECIDED_NS, 7),
        (cell.offset + at.R_STORED_NS, stored_ns),
        (cell.offset + at.R_WORD, FIRST.encode()),
    ]
