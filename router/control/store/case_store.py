"""The cases of all services: a SQLite file (cases_file.py) with a thread of its own.

No switch waits for it. A disk that hangs blocks the thread alone; a call is answered 503 after CALL_TIMEOUT_S. An unreadable file
is renamed, an alarm is raised, and an empty file takes its place.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from router.control.loop_calls import on_loop
from router.control.store.cases_file import FILE, CasesFile
from router.control.store.set_aside import set_aside
from router.control.store.writer_thread import QueueFull, WriterThread
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock

log = logging.getLogger(__name__)

CALLS_MAX: Final = 100
CALL_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 2.0
Answer = TypeVar("Answer")


class CasesUnavailable(Refusal):
    """The file of cases cannot be used now. Nothing was changed; if the disk hung, a later read shows the outcome."""

    def __init__(self, why: str) -> None:
        super().__init__(RefusalCode.CASES_UNAVAILABLE, f"the file of cases cannot be used: {why}")


class CaseStore:
    """`on_aside` is called on the event loop with the new name of an unreadable file and the reason.

    At most `calls_max` calls wait. A caller waits for `call_timeout_s`, and `close` for `close_timeout_s`.
    """

    def __init__(
        self,
        folder: Path,
        on_aside: Callable[[str, str], None] = lambda name, why: None,
        *,
        calls_max: int = CALLS_MAX,
        call_timeout_s: float = CALL_TIMEOUT_S,
        close_timeout_s: float = CLOSE_TIMEOUT_S,
    ) -> None:
        self.path = folder / FILE
        self._calls_max = calls_max
        self._call_timeout_s = call_timeout_s
        self._close_timeout_s = close_timeout_s
        self._on_aside = on_loop(asyncio.get_running_loop(), on_aside)
        self._file: CasesFile | None = None
        self._thread = WriterThread("cases", jobs_max=calls_max, end=self._close_file)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of calls that wait for the disk."""
        return self._thread.waiting

    async def call(self, operation: Callable[[CasesFile], Answer]) -> Answer:
        """Run `operation` on the thread of the file and return its result; raise CasesUnavailable."""
        try:
            return await self._thread.call(lambda: operation(self._open_file()), self._call_timeout_s)
        except QueueFull:
            raise CasesUnavailable(f"{self._calls_max} others wait for the disk") from None
        except TimeoutError:
            raise CasesUnavailable(f"no answer from the disk within {self._call_timeout_s:g} s") from None
        except (sqlite3.Error, OSError) as error:
            raise CasesUnavailable(str(error)) from None

    async def close(self) -> None:
        """Finish the queued calls and close the file; give up after `close_timeout_s`."""
        await self._thread.close(self._close_timeout_s)

    # -- on the thread
    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()

    def _open_file(self) -> CasesFile:
        if self._file is None:
            try:
                self._file = CasesFile(self.path)
            except sqlite3.OperationalError:  # locked, or a full disk: the file may be sound
                raise
            except sqlite3.DatabaseError as error:
                why = str(error)
                name = set_aside(self.path, clock.wall_s()).name
                log.error("%s is unreadable (%s) and is kept as %s", self.path, why, name)
                self._on_aside(name, why)
                self._file = CasesFile(self.path)
        return self._file
