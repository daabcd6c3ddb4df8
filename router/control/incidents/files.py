"""The files of the incidents: STATE_DIR/incidents/ID.json, .svg, .md and .html, written and read by one thread of its own.

Control's loop never waits for the disk. Callers of `read` wait at most READ_TIMEOUT_S. Files to be written are kept in
memory until the disk takes them, of each incident only the newest, so a disk that hangs or is full costs no more memory. A
file is complete or absent: it is written under a temporary name, synced, and renamed.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from router.control.store.writer_thread import QueueFull, WriterThread
from router.runtime import clock, owned_files
from router.runtime.failpoint import FailPoint

log = logging.getLogger(__name__)
FOLDER: Final = "incidents"
READ_TIMEOUT_S: Final = 2.0
READS_MAX: Final = 32
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
CLOSE_TIMEOUT_S: Final = 3.0
FILE_BYTES_MAX: Final = 4 << 20
"""Larger files are not read: the router writes none."""
_SUFFIXES: Final = (".json", ".svg", ".md", ".html")
_INCIDENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]*-[0-9]+-[0-9]+")
Found = TypeVar("Found")
Files = dict[str, bytes]
"""Contents by suffix. A file whose suffix is missing is deleted."""


class IncidentFiles:
    """Writes and reads the files of incidents.

    `on_error` is called on the event loop with the reason why the disk does not take the files, and with None once it does.
    At most `reads_max` reads wait, each for `read_timeout_s`. A refused write is tried again after a pause between
    `retry_min_s` and `retry_max_s`.
    """

    def __init__(
        self,
        state_dir: Path,
        kept_max: int,
        on_error: Callable[[str | None], None] = lambda why: None,
        fail_point: FailPoint | None = None,
        *,
        reads_max: int = READS_MAX,
        read_timeout_s: float = READ_TIMEOUT_S,
        retry_min_s: float = RETRY_MIN_S,
        retry_max_s: float = RETRY_MAX_S,
    ) -> None:
        self.kept_max = kept_max
        self._read_timeout_s = read_timeout_s
        self._retry_min_s = retry_min_s
        self._retry_max_s = retry_max_s
        self._folder = state_dir / FOLDER
        self._fail_point = fail_point or FailPoint()
        self._pending: OrderedDict[str, Files] = OrderedDict()
        self._lock = threading.Lock()
        self._pause_s = self._retry_min_s
        self._thread = WriterThread(
            "incidents", on_error, jobs_max=reads_max, idle=self._write_next, end=self._write_rest
        )
        self._thread.start()

    # -- on the event loop
    def reconfigure(self, kept_max: int) -> None:
        """Apply another limit from the next written incident on."""
        self.kept_max = kept_max

    def put(self, incident: str, files: Files) -> None:
        """Queue the files of an incident for writing. They replace queued files of the same incident."""
        with self._lock:
            self._pending[incident] = files
        self._thread.wake()

    @property
    def waiting(self) -> int:
        """The number of incidents whose newest files are not on the disk."""
        return len(self._pending)

    @property
    def error(self) -> str | None:
        """Why the disk refused the files when they were last written; None if it took them."""
        return self._thread.error

    def busy_s(self) -> float:
        """Return how long the thread has been at the disk for one thing."""
        since_ns = self._thread.busy_since_ns
        return (clock.now_ns() - since_ns) / 1e9 if since_ns else 0.0

    async def read(self, incident: str) -> bytes | None:
        """Return the JSON file of an incident; None if there is none, or the disk does not answer in time."""
        return await self._read(lambda: self._read_json(incident))

    async def listing(self) -> dict[str, float] | None:
        """Return when (wall seconds) the JSON file of each incident was written; None if the disk does not answer in time."""
        return await self._read(self._modification_times)

    async def _read(self, read: Callable[[], Found]) -> Found | None:
        def reading() -> Found:
            with self._thread.at_disk():
                return read()

        try:
            return await self._thread.call(reading, self._read_timeout_s)
        except (QueueFull, TimeoutError):
            return None

    async def close(self) -> None:
        """Write the queued files if the disk takes them within CLOSE_TIMEOUT_S."""
        await self._thread.close(CLOSE_TIMEOUT_S)

    # -- on the thread
    def _write_next(self, waited: bool) -> float | None:
        """Write the files that wait longest; return after how many seconds to go on, None if none wait."""
        with self._lock:
            incident, files = next(iter(self._pending.items()), (None, {}))
        if incident is None:
            return None
        try:
            with self._thread.at_disk():
                self._store(incident, files)
        except OSError as error:
            self._thread.report(f"{self._folder}: {error.strerror or error}")
            pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, self._retry_max_s)
            return pause_s
        with self._lock:
            if self._pending.get(incident) is files:
                del self._pending[incident]
        self._thread.report(None)
        self._pause_s = self._retry_min_s
        return 0.0

    def _write_rest(self) -> None:
        while self._write_next(waited=False) == 0.0:
            pass

    def _modification_times(self) -> dict[str, float]:
        try:
            owned_files.folder(self._folder, make=False)
            return {path.stem: path.lstat().st_mtime for path in self._json_files()}
        except OSError:
            return {}

    def _json_files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.suffix == ".json" and _INCIDENT_ID.fullmatch(path.stem)]

    def _read_json(self, incident: str) -> bytes | None:
        if not _INCIDENT_ID.fullmatch(incident):
            return None
        try:
            owned_files.folder(self._folder, make=False)
            return owned_files.read(self._folder / f"{incident}.json", FILE_BYTES_MAX)
        except OSError:
            return None

    def _store(self, incident: str, files: Files) -> None:
        self._fail_point.hit(f"incident.{incident}")
        owned_files.folder(self._folder)
        for suffix in _SUFFIXES:
            self._replace(f"{incident}{suffix}", files.get(suffix))
        self._prune()

    def _replace(self, name: str, contents: bytes | None) -> None:
        path, temporary = self._folder / name, self._folder / f".{name}.new"
        if contents is None:
            path.unlink(missing_ok=True)
            return
        try:
            temporary.unlink(missing_ok=True)  # not truncated: the file may have another name (a hard link)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except OSError:
            temporary.unlink(missing_ok=True)  # a partial file would take space on a full disk
            raise
        folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder_fd)
        finally:
            os.close(folder_fd)

    def _prune(self) -> None:
        """Delete the files of those incidents, beyond `kept_max`, that were written longest ago."""
        found = self._json_files()
        if len(found) <= self.kept_max:
            return
        found.sort(key=lambda path: path.lstat().st_mtime_ns)
        for path in found[: len(found) - self.kept_max]:
            log.info("the files of incident %s make room for newer ones", path.stem)
            for suffix in _SUFFIXES:
                path.with_name(f"{path.stem}{suffix}").unlink(missing_ok=True)
