"""The shared memory segment: a memfd that the supervisor creates and every child inherits. It lives as long as one of them."""

from __future__ import annotations

import mmap
import secrets

from router.errors import InternalError
from router.shm import layout as at
from router.shm import sealed
from router.shm.layout import Layout


class Segment:
    """The mapped words. `words[i]` reads and writes one aligned 64-bit word.

    CPython copies eight bytes for an item of a memoryview of format "Q" (`PACK_SINGLE` in memoryobject.c, a memcpy of
    constant size), and compilers turn this into one move. On x86-64 and AArch64 an aligned move is atomic, so a reader sees
    the old word or the new word. `tests/shm/test_segment.py` checks this with two processes.
    """

    def __init__(self, fd: int, layout: Layout) -> None:
        self.fd = fd
        self.layout = layout
        self._map = mmap.mmap(fd, layout.words * at.WORD_BYTES)
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")

    def clear_place(self, service: int) -> None:
        """Set every word of a place to zero, and give its memory back. The caller makes sure that no process uses the place."""
        for word, words in self.layout.place_blocks(service):
            self._clear(word * at.WORD_BYTES, (word + words) * at.WORD_BYTES)

    def _clear(self, first: int, last: int) -> None:
        begin, end = -(-first // mmap.PAGESIZE) * mmap.PAGESIZE, last // mmap.PAGESIZE * mmap.PAGESIZE
        edges = [(first, last)]
        if begin < end:
            try:
                self._map.madvise(mmap.MADV_REMOVE, begin, end - begin)
            except OSError:  # locked memory (mlockall) is not given back
                pass
            else:
                edges = [(first, begin), (end, last)]
        for start, stop in edges:
            self.bytes[start:stop] = bytes(stop - start)

    def close(self) -> None:
        """Unmap. The kernel frees the memory when no process has it open."""
        self.words.release()
        self.bytes.release()
        self._map.close()


def create(workers: int, services: int) -> Segment:
    """Create a zeroed segment with a new hash key. Children inherit its descriptor if it is passed on to them (`pass_fds`).

    The supervisor creates it once: a fingerprint is the same in all processes of a router, before and after their restarts.
    """
    if not (0 < workers <= at.WORKERS_MAX and 0 < services <= at.SERVICES_MAX):
        raise InternalError(
            "segment_size", f"{workers} workers (max {at.WORKERS_MAX}), {services} services (max {at.SERVICES_MAX})"
        )
    layout = Layout(workers, services)
    fd = sealed.of_size("rollback-router-segment", layout.words * at.WORD_BYTES)
    segment = Segment(fd, layout)
    for offset, value in (
        (at.H_MAGIC, at.MAGIC),
        (at.H_VERSION, at.VERSION),
        (at.H_WORDS, layout.words),
        (at.H_WORKERS, workers),
        (at.H_SERVICES, services),
        *((at.H_HASH_KEY + word, secrets.randbits(64)) for word in range(at.HASH_KEY_WORDS)),
    ):
        segment.words[offset] = value
    return segment


def attach(fd: int) -> Segment:
    """Map the segment of an inherited descriptor. Raise InternalError if its layout differs or its size is not sealed."""
    sealed.check(fd, sealed.SIZE, "segment")
    with mmap.mmap(fd, at.HEADER_WORDS * at.WORD_BYTES) as header, memoryview(header) as raw, raw.cast("Q") as words:
        found = (words[at.H_MAGIC], words[at.H_VERSION], words[at.H_WORDS])
        workers, services = words[at.H_WORKERS], words[at.H_SERVICES]
    layout = Layout(workers, services)
    if found != (at.MAGIC, at.VERSION, layout.words):
        raise InternalError(
            "segment_layout", f"descriptor {fd} holds {found}, expected {(at.MAGIC, at.VERSION, layout.words)}"
        )
    return Segment(fd, layout)
