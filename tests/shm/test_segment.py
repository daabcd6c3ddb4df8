from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import subprocess
import sys

import pytest

from router.errors import InternalError
from router.runtime import clock
from router.shm import layout as at
from router.shm import segment as segments
from router.shm.segment import Segment

PATTERNS = (0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA)

HAMMER = """
import sys
from router.shm import segment as segments
words = segments.attach(int(sys.argv[1])).words
offset, low, high = (int(argument) for argument in sys.argv[2:])
sys.stdout.write("ready\\n")
sys.stdout.flush()
while words[offset + 1] == 0:
    words[offset] = low
    words[offset] = high
"""


def test_a_new_segment_describes_itself_and_is_zero() -> None:
    segment = segments.create(2, 3)
    header = [segment.words[offset] for offset in range(5)]
    assert header == [at.MAGIC, at.VERSION, segment.layout.words, 2, 3]
    words = segment.words.tolist()
    assert not any(words[5 : at.H_HASH_KEY] + words[at.H_HASH_KEY + at.HASH_KEY_WORDS :])
    segment.close()


def test_two_mappings_are_one_memory(segment: Segment) -> None:
    other = segments.attach(segment.fd)
    assert other.layout == segment.layout
    segment.words[segment.layout.worker(1)] = 42
    assert other.words[segment.layout.worker(1)] == 42
    other.close()


def test_a_place_is_cleared_and_its_memory_given_back() -> None:
    segment = segments.create(2, 4)
    before = os.fstat(segment.fd).st_blocks
    for service in (1, 2, 3):
        for word, words in segment.layout.place_blocks(service):
            if service == 2:
                segment.bytes[word * 8 : (word + words) * 8] = b"\xff" * (words * 8)
            segment.words[word] = segment.words[word + words - 1] = 77
    assert os.fstat(segment.fd).st_blocks - before > 8000
    segment.clear_place(2)
    assert os.fstat(segment.fd).st_blocks - before < 300
    for service in (1, 2, 3):
        for word, words in segment.layout.place_blocks(service):
            found = segment.words[word : word + words].tolist()
            assert (found[0], found[-1]) == ((77, 77) if service != 2 else (0, 0))
            assert service != 2 or not any(found)
    segment.close()


def test_a_place_is_cleared_also_where_memory_cannot_be_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class LockedMap(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(errno.EINVAL, "locked")

    monkeypatch.setattr(mmap, "mmap", LockedMap)
    segment = segments.create(1, 2)
    (word, words), *_ = segment.layout.place_blocks(1)
    segment.words[word] = segment.words[word + words // 2] = segment.words[word + words - 1] = 77
    segment.clear_place(1)
    assert not any(segment.words[word : word + words].tolist())
    segment.close()


def test_places_share_no_word() -> None:
    layout = segments.create(2, 3).layout
    blocks = sorted(block for service in range(3) for block in layout.place_blocks(service))
    for (first, words), (following, _) in itertools.pairwise(blocks):
        assert first + words <= following
    assert blocks[0][0] == at.HEADER_WORDS
    assert sum(blocks[-1]) <= layout.captures(0, 0)


@pytest.mark.parametrize(("workers", "services"), [(0, 1), (65, 1), (1, 0), (1, 65)])
def test_sizes_are_bounded(workers: int, services: int) -> None:
    with pytest.raises(InternalError) as caught:
        segments.create(workers, services)
    assert caught.value.code == "segment_size"


@pytest.mark.parametrize("offset", [at.H_MAGIC, at.H_VERSION, at.H_WORDS, at.H_SERVICES])
def test_memory_of_another_layout_is_refused(segment: Segment, offset: int) -> None:
    segment.words[offset] += 1
    with pytest.raises(InternalError) as caught:
        segments.attach(segment.fd)
    assert caught.value.code == "segment_layout"


def test_the_descriptor_does_not_leak_into_children_that_are_not_told(segment: Segment) -> None:
    assert not os.get_inheritable(segment.fd)


def test_nobody_cuts_it_under_those_who_have_mapped_it(segment: Segment) -> None:
    size = os.fstat(segment.fd).st_size
    for other in (0, size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(segment.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    os.pwrite(segment.fd, bytes(8), size - 8)


def test_memory_that_could_be_cut_is_not_mapped(segment: Segment) -> None:
    fd = os.memfd_create("like a segment", os.MFD_ALLOW_SEALING)
    os.pwrite(fd, bytes(segment.bytes), 0)
    with pytest.raises(InternalError, match="of the segment has seals 0x0"):
        segments.attach(fd)
    os.close(fd)


def test_no_torn_word_is_ever_seen(segment: Segment) -> None:
    """Another process stores two patterns that differ in every bit; a mixture of them would be a torn word."""
    offset = segment.layout.worker(0) + at.W_HEARTBEAT_NS
    segment.words[offset] = PATTERNS[0]
    arguments = [str(number) for number in (segment.fd, offset, *PATTERNS)]
    with subprocess.Popen(
        [sys.executable, "-c", HAMMER, *arguments], pass_fds=(segment.fd,), stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        words = segment.words
        seen = {words[offset] for _ in range(300_000)}
        end_s = clock.now_s() + 20
        while len(seen) < 2 and clock.now_s() < end_s:  # a busy machine did not let the writer run
            seen |= {words[offset] for _ in range(100_000)}
        words[offset + 1] = 1
    assert writer.returncode == 0
    assert seen == set(PATTERNS)


def test_each_segment_has_a_key_for_fingerprints_of_its_own() -> None:
    made = [segments.create(1, 1) for _ in range(2)]
    keys = [tuple(segment.words[at.H_HASH_KEY : at.H_HASH_KEY + at.HASH_KEY_WORDS]) for segment in made]
    assert all(all(key) for key in keys)
    assert keys[0] != keys[1]
    for segment in made:
        segment.close()
