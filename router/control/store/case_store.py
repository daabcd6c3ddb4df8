"""The cases of all services: a SQLite file (cases_file.py) with a thread of its own.

No switch waits for it. A disk that hangs blocks the thread alone; a call is answered 503 after CALL_TIMEOUT_S. An unreadable file
is renamed, an alarm is raised, and an empty file takes its place.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from router.control.store.cases_file import FILE, CasesFile, set_aside
from router.errors import OperatorError
from router.runtime import clock

log = logging.getLogger(__name__)

CALLS_MAX: Final = 100
CALL_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
Answer = TypeVar("Answer")


class CasesUnavailable(OperatorError):
    """503: the file of cases cannot be used now. Nothing was changed; if the disk hung, a later read shows the outcome."""

    def __init__(self, why: str) -> None:
        super().__init__(503, "cases_unavailable", f"the file of cases cannot be used: {why}", exit_code=9)


class CaseStore:
    """`on_aside` is called on the event loop with the new name of an unreadable file and the reason."""

    def __init__(self, folder: Path, on_aside: Callable[[str, str], None] = lambda name, why: None) -> None:
        self.folder = folder
        self._path = folder / FILE
        self._on_aside = on_aside
        self._file: CasesFile | None = None
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(CALLS_MAX)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="cases", daemon=True)
        self._thread.start()

    async def call(self, operation: Callable[[CasesFile], Answer]) -> Answer:
        """Run `operation` on the thread of the file and return its result; raise CasesUnavailable (503)."""
        answer: asyncio.Future[Answer] = self._loop.create_future()

        def finish(result: Answer | None, error: OperatorError | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(result)  # type: ignore[arg-type]  # a result exists if there is no error

        def job() -> None:
            result, error = None, None
            try:
                result = operation(self._open_file())
            except OperatorError as refusal:
                error = refusal
            except (sqlite3.Error, OSError) as failure:
                error = CasesUnavailable(str(failure))
            self._on_loop(lambda: finish(result, error))

        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise CasesUnavailable(f"{CALLS_MAX} others wait for the disk") from None
        try:
            return await asyncio.wait_for(answer, CALL_TIMEOUT_S)
        except TimeoutError:
            raise CasesUnavailable(f"no answer from the disk within {CALL_TIMEOUT_S:g} s") from None

    async def close(self) -> None:
        """Finish the queued calls and close the file; give up after CLOSE_TIMEOUT_S."""
        try:
            self._jobs.put_nowait(None)
        except queue.Full:
            return
        await asyncio.to_thread(self._thread.join, CLOSE_TIMEOUT_S)

    def _on_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop has ended, so no caller waits
            pass

    # -- on the thread
    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._file is not None:
            self._file.close()

    def _open_file(self) -> CasesFile:
        if self._file is None:
            try:
                self._file = CasesFile(self._path)
            except sqlite3.OperationalError:  # locked, or a full disk: the file may be sound
                raise
            except sqlite3.DatabaseError as error:
                why = str(error)
                name = set_aside(self._path, clock.wall_s())
                log.error("%s is unreadable (%s) and is kept as %s", self._path, why, name)
                self._on_loop(lambda: self._on_aside(name, why))
                self._file = CasesFile(self._path)
        return self._file
