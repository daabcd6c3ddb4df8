"""The mark beside the journal: how far the journal is known to reach, so that a start notices a tail that is missing.

    before a commit    write: these numbers are handed to the disk         (a doubt)
    the commit         fsync of the WAL
    after it           write: it reaches to this row, with this checksum   then the change is acknowledged
    soon, beside       fdatasync of the mark, on a thread of its own        nobody waits for it

A write without a sync outlives any process, so after a kill the mark is exact. After a power cut it may lack what was
written in its last SYNC_AFTER_S and two syncs. It never says more than the disk has: it is written after the fsync of the commit.

Two pages, written in turn, so that a torn one leaves the other. A page is a checksum, a length and JSON.
"""

from __future__ import annotations

import logging
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from router.control.store.doubt import Doubt
from router.runtime import clock, owned_files

log = logging.getLogger(__name__)

FILE: Final = "journal.mark"
PAGE_BYTES: Final = 4096
DOUBTS_MAX: Final = 8
"""Doubts that are kept; there is one at a time, unless a slow disk takes changes late, one after the other."""
CLOSE_TIMEOUT_S: Final = 2.0
SYNC_AFTER_S: Final = 0.02
"""What is written within it shares a sync, so that a burst of commits does not compete with syncs of the mark."""
_HEAD_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class Mark:
    """The journal reaches to row `seq`, whose checksum is `crc`; `first` is the checksum of row 1, 0 without any.

    `generation` is the highest one of a route in it. `number` tells which of two pages is the newer one.
    """

    number: int = 0
    seq: int = 0
    crc: int = 0
    first: int = 0
    generation: int = 0
    doubts: tuple[Doubt, ...] = ()

    def page(self) -> bytes:
        """Return it as it is written."""
        doubts = [doubt.plain() for doubt in self.doubts[-DOUBTS_MAX:]]
        while True:
            text = orjson.dumps([self.number, self.seq, self.crc, self.first, self.generation, doubts])
            if len(text) <= PAGE_BYTES - _HEAD_BYTES:
                return b"%08x %08x %s" % (zlib.crc32(text), len(text), text)
            doubts.pop(0)


def read(path: Path) -> Mark | None:
    """Return the mark; None if there is none, or none that can be read. Raise OSError if the file is not ours."""
    try:
        content = owned_files.read(path, 2 * PAGE_BYTES)
    except FileNotFoundError:
        return None
    found = [mark for start in (0, PAGE_BYTES) if (mark := _parsed(content[start : start + PAGE_BYTES])) is not None]
    if not found:
        log.warning("%s cannot be read: whether the journal's end is missing is not known at this start", path)
    return max(found, key=lambda mark: mark.number, default=None)


def _parsed(page: bytes) -> Mark | None:
    try:
        crc, length = int(page[:8], 16), int(page[9:17], 16)
        text = page[_HEAD_BYTES : _HEAD_BYTES + length]
        if len(text) != length or zlib.crc32(text) != crc:
            return None
        number, seq, row_crc, first, generation, doubts = orjson.loads(text)
        return Mark(number, seq, row_crc, first, generation, tuple(Doubt(*doubt) for doubt in doubts))
    except (ValueError, TypeError):
        return None


class MarkFile:
    """The open mark. One thread writes (`write`), another one syncs. `on_trouble` is called, on either of them, with why the
    disk does not take it, and with None once it does.
    """

    def __init__(self, path: Path, on_trouble: Callable[[str | None], None]) -> None:
        self.syncing_since_ns = 0
        """When the sync under way began; 0 if there is none."""
        self._path = path
        self._on_trouble = on_trouble
        self._mark = Mark()
        self._file = -1
        self._due = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name="journal mark", daemon=True)

    def begin(self, found: Mark | None) -> None:
        """Go on after what a start has read."""
        self._mark = found or Mark()

    @property
    def generation(self) -> int:
        """The highest generation that it names."""
        return self._mark.generation

    def write(self, seq: int, crc: int, first: int, generation: int, doubts: Sequence[Doubt]) -> None:
        """Keep how far the journal reaches and what is in doubt; it outlives this process at once, a power cut soon."""
        self._mark = Mark(self._mark.number + 1, seq, crc, first, generation, tuple(doubts))
        page = self._mark.page()
        try:
            if self._file < 0:
                self._open(page)
            os.pwrite(self._file, page, self._mark.number % 2 * PAGE_BYTES)
        except OSError as error:
            self._on_trouble(f"{self._path}: {error.strerror}")
        else:
            self._due.set()

    def _open(self, page: bytes) -> None:
        """Open the file. A new one gets its name once it is whole, so a start never meets half of one."""
        try:
            handle = owned_files.opened(self._path, os.O_RDWR)
        except FileNotFoundError:
            new = self._path.with_name(f"{self._path.name}.new")
            new.unlink(missing_ok=True)
            handle = owned_files.opened(new, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            content = page.ljust(PAGE_BYTES, b"\0")
            os.pwrite(handle, content + content, 0)
            os.fsync(handle)
            os.rename(new, self._path)
            _sync_folder(self._path.parent)
        self._file = handle
        self._thread.start()

    def close(self) -> None:
        """Sync what was written, if the disk takes it."""
        if self._file < 0:
            return
        self._closing.set()
        self._due.set()
        self._thread.join(CLOSE_TIMEOUT_S)
        if not self._thread.is_alive():
            os.close(self._file)
            self._file = -1

    def _keep_syncing(self) -> None:
        while not self._closing.is_set():
            self._due.wait()
            self._closing.wait(SYNC_AFTER_S)
            self._due.clear()
            self.syncing_since_ns = clock.now_ns()
            try:
                os.fdatasync(self._file)
            except OSError as error:
                self._on_trouble(f"{self._path}: {error.strerror}")
            else:
                self._on_trouble(None)
            self.syncing_since_ns = 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_aside(path: Path, name: str) -> None:
    """Rename the mark of a journal that was replaced."""
    if path.exists():
        os.rename(path, path.with_name(name))
