"""A disk that hangs at a commit, before the write or after all of it. It answers again when `free` is set."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any


class Disk:
    """Stands around the database of a journal, and passes everything on until it hangs (`HungDisk`)."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.hung: HungDisk | None = None

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if self.hung is not None and statement == "COMMIT":
            return self.hung.commit()
        return self.database.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)


class HungDisk:
    """Makes commits hang. `whole`: the commit is made, and then nothing comes back."""

    def __init__(self, disk: Disk, *, whole: bool) -> None:
        self.free = threading.Event()
        self.reached = threading.Event()
        self.error: sqlite3.Error | None = None
        """What the commit fails with once it is free."""
        self._whole = whole
        self._database = disk.database
        disk.hung = self

    def commit(self) -> sqlite3.Cursor:
        if self.free.is_set():
            return self._database.execute("COMMIT")
        if self._whole:
            self._database.execute("COMMIT")
        self.reached.set()
        self.free.wait(30)
        if self.error is not None:
            raise self.error
        return self._database.execute("SELECT 1" if self._whole else "COMMIT")
