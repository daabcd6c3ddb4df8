from __future__ import annotations

import os
import random

import pytest

from router.shm import layout as at
from router.shm import segment as segments
from router.shm.capture_ring import Capture, CaptureRing
from router.shm.segment import Segment

RINGS = [pytest.param(at.CAPTURE_FAILURES, id="failures"), pytest.param(at.CAPTURE_INPUTS, id="inputs")]


def ring(segment: Segment, worker: int = 0, which: int = at.CAPTURE_FAILURES) -> CaptureRing:
    return CaptureRing(segment, worker, which)


def payloads(found: list[Capture]) -> list[bytes]:
    return [capture.payload for capture in found]


def entry_of(segment: Segment, number: int) -> int:
    start = segment.layout.captures(0, at.CAPTURE_FAILURES) + at.CAPTURE_HEADER_WORDS
    return start + number % at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS


def first_byte_of(segment: Segment, number: int) -> int:
    data = segment.layout.captures(0, 0) + at.CAPTURE_HEADER_WORDS + at.CAPTURES_KEPT * at.CAPTURE_ENTRY_WORDS
    position = segment.words[entry_of(segment, number) + at.E_POSITION]
    return data * at.WORD_BYTES + position % at.CAPTURE_RING_BYTES


def test_an_unwritten_ring_is_empty(segment: Segment) -> None:
    assert (ring(segment).written, ring(segment).read()) == (0, [])


@pytest.mark.parametrize("which", RINGS)
def test_what_a_worker_kept_is_read_by_another_process_and_only_there(segment: Segment, which: int) -> None:
    assert ring(segment, 1, which).write(1_000, 1, b"first")
    assert ring(segment, 1, which).write(2_000, 0, b"")
    other = segments.attach(segment.fd)
    assert ring(other, 1, which).read() == [Capture(0, 1_000, 1, b"first"), Capture(1, 2_000, 0, b"")]
    assert ring(other, 0, which).read() == ring(other, 1, 1 - which).read() == []
    other.close()


def test_a_reader_asks_for_what_it_has_not_seen_for_a_service_and_for_a_time(segment: Segment) -> None:
    writer = ring(segment)
    for number in range(6):
        writer.write(number * 10, number % 2, b"%d" % number)
    assert payloads(writer.read(4)) == [b"4", b"5"]
    assert payloads(writer.read(service=1)) == [b"1", b"3", b"5"]
    assert payloads(writer.read(since_ns=30, service=0)) == [b"4"]
    assert payloads(writer.read(6)) == []


def test_the_oldest_go_by_number(segment: Segment) -> None:
    writer = ring(segment)
    for number in range(at.CAPTURES_KEPT + 3):
        writer.write(number, 0, b"%d" % number)
    assert payloads(writer.read()) == [b"%d" % number for number in range(3, at.CAPTURES_KEPT + 3)]


def test_the_oldest_go_by_size_and_none_is_read_that_was_overwritten(segment: Segment) -> None:
    writer, rng = ring(segment), random.Random(4)
    bodies = [bytes([number % 256]) * rng.randrange(at.CAPTURE_BYTES_MAX) for number in range(40)]
    for number, body in enumerate(bodies):
        writer.write(number, 0, body)
        found = writer.read()
        assert found[-1].payload == body
        assert [one.payload for one in found] == [bodies[one.number] for one in found]
        assert len(found) >= min(number + 1, 3)
    assert segment.words[segment.layout.captures(0, at.CAPTURE_INPUTS) + at.C_WRITTEN] == 0, (
        "its neighbour is not touched"
    )


def test_what_is_too_large_is_refused_and_changes_nothing(segment: Segment) -> None:
    writer = ring(segment)
    assert writer.write(1, 0, b"a" * at.CAPTURE_BYTES_MAX)
    assert not writer.write(2, 0, b"a" * (at.CAPTURE_BYTES_MAX + 1))
    assert [capture.at_ns for capture in writer.read()] == [1]


def test_the_last_worker_does_not_write_beyond_the_segment(segment: Segment) -> None:
    writer = ring(segment, 1, at.CAPTURE_INPUTS)
    for number in range(9):
        assert writer.write(number, 0, bytes([number]) * at.CAPTURE_BYTES_MAX)
    assert len(writer.read()) == 4


@pytest.mark.parametrize("offset", [at.E_NUMBER, at.E_AT_NS, at.E_SERVICE, at.E_POSITION, at.E_LENGTH, at.E_CRC])
def test_an_entry_that_is_half_written_is_skipped(segment: Segment, offset: int) -> None:
    writer = ring(segment)
    for number in range(3):
        writer.write(number, 0, b"%d" % number)
    segment.words[entry_of(segment, 1) + offset] ^= 1
    assert payloads(writer.read()) == [b"0", b"2"]


def test_bytes_that_are_half_written_are_skipped(segment: Segment) -> None:
    writer = ring(segment)
    for number in range(3):
        writer.write(number, 0, b"body %d" % number)
    segment.bytes[first_byte_of(segment, 1)] ^= 1
    assert payloads(writer.read()) == [b"body 0", b"body 2"]


@pytest.mark.parametrize("length", [at.CAPTURE_BYTES_MAX + 1, (1 << 64) - 1])
def test_an_impossible_length_is_not_followed(segment: Segment, length: int) -> None:
    ring(segment).write(1, 0, b"a")
    segment.words[entry_of(segment, 0) + at.E_LENGTH] = length
    assert ring(segment).read() == []


def test_the_successor_of_a_worker_that_was_killed_while_it_wrote_goes_on(segment: Segment) -> None:
    writer = ring(segment)
    for number in range(at.CAPTURES_KEPT):
        writer.write(number, 0, b"%d" % number)
    segment.words[entry_of(segment, at.CAPTURES_KEPT) + at.E_CRC] = (
        0  # its next write begins so, over the oldest record
    )
    assert payloads(ring(segment).read()) == [b"%d" % number for number in range(1, at.CAPTURES_KEPT)]
    ring(segment).write(7, 0, b"after")
    assert payloads(ring(segment).read(at.CAPTURES_KEPT - 1)) == [b"%d" % (at.CAPTURES_KEPT - 1), b"after"]


def test_pages_that_nobody_wrote_cost_no_memory() -> None:
    segment = segments.create(64, 1)
    assert ring(segment, 63, at.CAPTURE_INPUTS).write(1, 0, b"one")
    held_bytes = os.fstat(segment.fd).st_blocks * 512
    assert (held_bytes < 64 * 1024, segment.layout.words * at.WORD_BYTES > 128 << 20) == (True, True)
    segment.close()
    os.close(segment.fd)
