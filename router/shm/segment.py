"""The memory itself: a memfd that the supervisor makes and every child inherits. It lives as long as one of them."""

from __future__ import annotations

import mmap

from router.errors import InternalError
from router.shm import layout as at
from router.shm import sealed
from router.shm.layout import Layout


class Segment:
    """The mapped words. `words[i]` reads and writes one aligned 64-bit word.

    CPython copies eight bytes for an item of a memoryview of format "Q" (`PACK_SINGLE` in memoryobject.c, a memcpy of
    constant size), which compilers turn into one move: on x86-64 and AArch64 an aligned one is indivisible, so a reader
    sees the old word or the new one. `tests/shm/test_segment.py` hammers it from two processes.
    """

    def __init__(self, fd: int, layout: Layout) -> None:
        self.fd = fd
        self.layout = layout
        self._map = mmap.mmap(fd, layout.words * at.WORD_BYTES)
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")

    def close(self) -> None:
        """Give the mapping back; the memory itself goes with its last user."""
        self.words.release()
        self.bytes.release()
        self._map.close()


def create(workers: int, services: int) -> Segment:
    """Make a wall of zeroes. Its descriptor is inheritable by children that are told of it."""
    if not (0 < workers <= at.WORKERS_MAX and 0 < services <= at.SERVICES_MAX):
        raise InternalError(
            "wall_size", f"{workers} workers (max {at.WORKERS_MAX}), {services} services (max {at.SERVICES_MAX})"
        )
    layout = Layout(workers, services)
    fd = sealed.of_size("rollback-router-wall", layout.words * at.WORD_BYTES)
    segment = Segment(fd, layout)
    for offset, value in (
        (at.H_MAGIC, at.MAGIC),
        (at.H_VERSION, at.VERSION),
        (at.H_WORDS, layout.words),
        (at.H_WORKERS, workers),
        (at.H_SERVICES, services),
    ):
        segment.words[offset] = value
    return segment


def attach(fd: int) -> Segment:
    """Map the wall behind an inherited descriptor; raise InternalError unless it is of this very layout, and its size sealed."""
    sealed.check(fd, sealed.SIZE, "wall")
    with mmap.mmap(fd, at.HEADER_WORDS * at.WORD_BYTES) as header, memoryview(header) as raw, raw.cast("Q") as words:
        found = (words[at.H_MAGIC], words[at.H_VERSION], words[at.H_WORDS])
        workers, services = words[at.H_WORKERS], words[at.H_SERVICES]
    layout = Layout(workers, services)
    if found != (at.MAGIC, at.VERSION, layout.words):
        raise InternalError(
            "wall_layout", f"descriptor {fd} holds {found}, expected {(at.MAGIC, at.VERSION, layout.words)}"
        )
    return Segment(fd, layout)
