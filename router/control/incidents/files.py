"""The files of the incidents: STATE_DIR/incidents/ID.json, .svg, .md and .html, written and read by one thread of its own.

Control's loop never waits for the disk. Callers of `read` wait at most READ_TIMEOUT_S. Files to be written are kept in
memory until the disk takes them, of each incident only the newest, so a disk that hangs or is full costs no more memory. A
file is complete or absent: it is written under a temporary name, synced, and renamed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

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
_Answer = bytes | dict[str, float] | None
Files = dict[str, bytes]
"""Contents by suffix. A file whose suffix is missing is deleted."""


class IncidentFiles:
    """Writes and reads the files of incidents.

    `on_error` is called on the event loop with the reason why the disk does not take the files, and with None once it does.
    """

    def __init__(self, state_dir: Path, kept_max: int, fail_point: FailPoint | None = None) -> None:
        self.on_error: Callable[[str | None], None] = lambda why: None
        self.kept_max = kept_max
        self._folder = state_dir / FOLDER
        self._fail_point = fail_point or FailPoint()
        self._pending: OrderedDict[str, Files] = OrderedDict()
        self._reads: deque[tuple[str | None, asyncio.Future[_Answer]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._busy_since_s: float | None = None
        self._error: str | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="incidents", daemon=True)
        self._thread.start()

    # -- on the event loop
    def put(self, incident: str, files: Files) -> None:
        """Queue the files of an incident for writing. They replace queued files of the same incident."""
        with self._wake:
            self._pending[incident] = files
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """The number of incidents whose newest files are not on the disk."""
        return len(self._pending)

    @property
    def error(self) -> str | None:
        """Why the disk refused the files when they were last written; None if it took them."""
        return self._error

    def busy_s(self) -> float:
        """Return how long the thread has been at the disk for one thing."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else clock.now_s() - since_s

    async def read(self, incident: str) -> bytes | None:
        """Return the JSON file of an incident; None if there is none, or the disk does not answer in time."""
        found = await self._request(incident)
        return found if isinstance(found, bytes) else None

    async def listing(self) -> dict[str, float] | None:
        """Return when (wall seconds) the JSON file of each incident was written; None if the disk does not answer in time."""
        found = await self._request(None)
        return found if isinstance(found, dict) else None

    async def _request(self, incident: str | None) -> _Answer:
        if len(self._reads) >= READS_MAX:
            return None
        answer: asyncio.Future[_Answer] = self._loop.create_future()
        with self._wake:
            self._reads.append((incident, answer))
            self._wake.notify()
        try:
            return await asyncio.wait_for(answer, READ_TIMEOUT_S)
        except TimeoutError:
            return None

    async def close(self) -> None:
        """Write the queued files if the disk takes them within CLOSE_TIMEOUT_S."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)

    # -- on the thread
    def _run(self) -> None:
        pause_s = RETRY_MIN_S
        failed = False
        while True:
            with self._wake:
                if not self._reads and not self._closing and (failed or not self._pending):
                    self._wake.wait(pause_s if failed else None)
                reads, self._reads = self._reads, deque()
                work = next(iter(self._pending.items()), None)
            for incident, answer in reads:
                self._serve_read(incident, answer)
            if work is None or (failed and self._closing):
                if self._closing:
                    return
                continue
            failed = not self._store(*work)
            pause_s = min(pause_s * 2, RETRY_MAX_S) if failed else RETRY_MIN_S

    def _serve_read(self, incident: str | None, answer: asyncio.Future[_Answer]) -> None:
        self._busy_since_s = clock.now_s()
        found = self._modification_times() if incident is None else self._read_json(incident)
        self._busy_since_s = None
        self._call_on_loop(lambda: None if answer.done() else answer.set_result(found))

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

    def _store(self, incident: str, files: Files) -> bool:
        self._busy_since_s = clock.now_s()
        try:
            self._fail_point.hit(f"incident.{incident}")
            owned_files.folder(self._folder)
            for suffix in _SUFFIXES:
                self._replace(f"{incident}{suffix}", files.get(suffix))
            self._prune()
        except OSError as error:
            self._report(f"{self._folder}: {error.strerror or error}")
            return False
        finally:
            self._busy_since_s = None
        with self._wake:
            if self._pending.get(incident) is files:
                del self._pending[incident]
        self._report(None)
        return True

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

    def _report(self, error: str | None) -> None:
        if error != self._error:
            self._error = error
            self._call_on_loop(lambda: self.on_error(error))

    def _call_on_loop(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop has ended: no caller waits for the answer
            pass
