from __future__ import annotations

import pytest

from router.shm import layout as at
from router.shm import segment as walls
from router.shm.pending_entry import PendingEntry


def test_what_was_written_last_is_read_whole() -> None:
    segment = walls.create(workers=1, services=2)
    note, other = PendingEntry(segment, 1), PendingEntry(segment, 0)
    assert note.read() is None
    assert note.write(7, b"x" * at.NOTE_BYTES_MAX)
    assert note.write(8, b"why")
    assert (note.read(), other.read()) == ((8, b"why"), None)
    assert PendingEntry(segment, 1).read() == (8, b"why"), "a successor sees it"
    segment.close()


def test_what_is_too_large_is_not_kept_by_halves() -> None:
    segment = walls.create(workers=1, services=1)
    note = PendingEntry(segment, 0)
    note.write(7, b"before")
    assert not note.write(8, b"x" * (at.NOTE_BYTES_MAX + 1))
    assert note.read() is None
    segment.close()


@pytest.mark.parametrize("word", [at.N_GENERATION, at.N_LENGTH, at.N_CRC, at.NOTE_HEADER_WORDS])
def test_a_note_that_its_writer_died_over_is_none(word: int) -> None:
    segment = walls.create(workers=1, services=1)
    note = PendingEntry(segment, 0)
    note.write(7, b"because of this and that")
    segment.words[segment.layout.note(0) + word] ^= 1
    assert note.read() is None
    segment.close()
