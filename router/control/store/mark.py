"""The mark beside the journal: the last row that is known to be on the disk, so that a start notices a missing tail.

    before a commit    write: these numbers are handed to the disk              a change in doubt
    the commit         fsync of the WAL
    after the commit   write: the journal reaches to this row, this checksum    then the change is acknowledged
    within 20 ms       fdatasync of the mark, on a thread of its own            no caller waits for it

A write without a sync outlives the process, so the mark is exact after a kill. After a power cut the mark may lack what was
written in its last SYNC_AFTER_S and in two syncs. The mark never reaches further than the disk, because it is written after the
fsync of the commit.

The file has two pages that are written in turn: if one is torn, the other is valid. A page is a checksum, a length and JSON.

Why: docs/decisions.md#the-mark.
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

from router.control.store.in_doubt import InDoubtChange
from router.runtime import clock, owned_files

log = logging.getLogger(__name__)

FILE: Final = "journal.mark"
PAGE_BYTES: Final = 4096
DOUBTS_MAX: Final = 8
"""Changes in doubt that the mark names. Usually there is one; a slow disk that takes several changes late makes more."""
CLOSE_TIMEOUT_S: Final = 2.0
SYNC_AFTER_S: Final = 0.02
"""Writes within this time share one sync, so a burst of commits does not compete with syncs of the mark."""
_HEAD_BYTES: Final = 18


@dataclass(frozen=True, slots=True)
class Mark:
    """The journal reaches to row `seq`, whose checksum is `crc`; `first` is the checksum of row 1, 0 without rows.

    `generation` is the highest route generation in the journal. The page with the higher `number` is the newer one.
    """

    number: int = 0
    seq: int = 0
    crc: int = 0
    first: int = 0
    generation: int = 0
    doubts: tuple[InDoubtChange, ...] = ()

    def page(self) -> bytes:
        """Return the bytes of one page, at most PAGE_BYTES; the oldest changes in doubt are left out if they do not
        fit.
        """
        doubts = [doubt.as_list() for doubt in self.doubts[-DOUBTS_MAX:]]
        while True:
            text = orjson.dumps([self.number, self.seq, self.crc, self.first, self.generation, doubts])
            if len(text) <= PAGE_BYTES - _HEAD_BYTES:
                return b"%08x %08x %s" % (zlib.crc32(text), len(text), text)
            doubts.pop(0)


def read(path: Path) -> Mark | None:
    """Return the mark; None if it is missing or unreadable. Raise OSError if the file is a link or another user's."""
    try:
        content = owned_files.read(path, 2 * PAGE_BYTES)
    except FileNotFoundError:
        return None
    found = [mark for start in (0, PAGE_BYTES) if (mark := _parse(content[start : start + PAGE_BYTES])) is not None]
    if not found:
        log.warning("%s cannot be read: whether the journal's end is missing is not known at this start", path)
    return max(found, key=lambda mark: mark.number, default=None)


def _parse(page: bytes) -> Mark | None:
    try:
        crc, length = int(page[:8], 16), int(page[9:17], 16)
        text = page[_HEAD_BYTES : _HEAD_BYTES + length]
        if len(text) != length or zlib.crc32(text) != crc:
            return None
        number, seq, row_crc, first, generation, doubts = orjson.loads(text)
        return Mark(number, seq, row_crc, first, generation, tuple(InDoubtChange(*doubt) for doubt in doubts))
    except (ValueError, TypeError):
        return None


class MarkFile:
    """The open file. The journal's writer calls `write`; a thread of this class syncs.

    `on_error` is called on either thread: with the reason when the disk refuses a write or a sync, with None when it works again.
    """

    def __init__(self, path: Path, on_error: Callable[[str | None], None]) -> None:
        self.syncing_since_ns = 0
        """Start of the sync under way (monotonic nanoseconds); 0 if there is none."""
        self._path = path
        self._on_error = on_error
        self._mark = Mark()
        self._file = -1
        self._due = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name="journal mark", daemon=True)

    def begin(self, found: Mark | None) -> None:
        """Continue from the mark that the start has read."""
        self._mark = found or Mark()

    @property
    def generation(self) -> int:
        """Return the highest route generation that the mark names."""
        return self._mark.generation

    def write(self, seq: int, crc: int, first: int, generation: int, doubts: Sequence[InDoubtChange]) -> None:
        """Write the mark. It survives a kill of this process at once, and a power cut after the next sync."""
        self._mark = Mark(self._mark.number + 1, seq, crc, first, generation, tuple(doubts))
        page = self._mark.page()
        try:
            if self._file < 0:
                self._open(page)
            os.pwrite(self._file, page, self._mark.number % 2 * PAGE_BYTES)
        except OSError as error:
            self._on_error(f"{self._path}: {error.strerror}")
        else:
            self._due.set()

    def _open(self, page: bytes) -> None:
        """Open the file. A new file is renamed to its name when it is complete, so a start never reads a part of one."""
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
        """Sync and close the file; give up after CLOSE_TIMEOUT_S."""
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
                self._on_error(f"{self._path}: {error.strerror}")
            else:
                self._on_error(None)
            self.syncing_since_ns = 0


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
