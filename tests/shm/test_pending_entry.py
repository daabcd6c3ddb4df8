from __future__ import annotations

import pytest

from router.shm import layout as at
from router.shm import segment as segments
from router.shm.pending_entry import PendingEntry


def test_what_was_written_last_is_read_whole() -> None:
    segment = segments.create(workers=1, services=2)
    pending, other = PendingEntry(segment, 1), PendingEntry(segment, 0)
    assert pending.read() is None
    assert pending.write(7, b"x" * at.PENDING_BYTES_MAX)
    assert pending.write(8, b"why")
    assert (pending.read(), other.read()) == ((8, b"why"), None)
    assert PendingEntry(segment, 1).read() == (8, b"why"), "a successor sees it"
    segment.close()


def test_what_is_too_large_is_not_kept_by_halves() -> None:
    segment = segments.create(workers=1, services=1)
    pending = PendingEntry(segment, 0)
    pending.write(7, b"before")
    assert not pending.write(8, b"x" * (at.PENDING_BYTES_MAX + 1))
    assert pending.read() is None
    segment.close()


@pytest.mark.parametrize("word", [at.P_GENERATION, at.P_LENGTH, at.P_CRC, at.PENDING_HEADER_WORDS])
def test_an_entry_that_its_writer_died_over_is_none(word: int) -> None:
    segment = segments.create(workers=1, services=1)
    pending = PendingEntry(segment, 0)
    pending.write(7, b"because of this and that")
    segment.words[segment.layout.pending_entry(0) + word] ^= 1
    assert pending.read() is None
    segment.close()
