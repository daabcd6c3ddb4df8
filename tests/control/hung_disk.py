"""A disk that hangs at a commit, before the write or after all of it. It answers again when `free` is set."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from router.control.store.journal import Journal


class HungDisk:
    """Stands around the database of a journal. `whole`: the commit is made, and then nothing comes back."""

    def __init__(self, journal: Journal, *, whole: bool) -> None:
        self.free = threading.Event()
        self.reached = threading.Event()
        self.error: sqlite3.Error | None = None
        """What the commit fails with once it is free."""
        self._whole = whole
        self._database = journal._writer._database
        journal._writer._database = self  # type: ignore[assignment]

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement != "COMMIT" or self.free.is_set():
            return self._database.execute(statement, *values)
        if self._whole:
            self._database.execute(statement)
        self.reached.set()
        self.free.wait(30)
        if self.error is not None:
            raise self.error
        return self._database.execute("SELECT 1") if self._whole else self._database.execute(statement)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)
