"""The transactional outbox of notifications: one SQLite file with one writer thread, so that a restart loses none.

A notification is stored when it is made, and marked when it was delivered or given up. A marked notification stays for
KEPT_S without its text, so that an entry which is replayed after a restart does not send it again. An unreadable file
is renamed; if the disk refuses a write, delivery continues from memory.

Why: docs/decisions.md#the-outbox-of-notifications.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from router.control.store.set_aside import set_aside
from router.control.store.writer_thread import WriterThread
from router.runtime import owned_files

log = logging.getLogger(__name__)

FILE: Final = "outbox.sqlite"
SCHEMA_VERSION: Final = 1
KEPT_S: Final = 7 * 86_400.0
KEPT_MAX: Final = 20_000
"""Finished notifications that are kept at most."""
JOBS_MAX: Final = 10_000
CLOSE_TIMEOUT_S: Final = 5.0
_BUSY_TIMEOUT_S: Final = 1.0
_PRUNE: Final = """
DELETE FROM notices WHERE notice IS NULL AND (at < ? OR number <= (SELECT max(number) FROM notices) - ?)
"""
_SCHEMA: Final = f"""
CREATE TABLE notices (
    number INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    notice TEXT,
    UNIQUE (channel, id)
) STRICT;
CREATE TABLE channels (name TEXT PRIMARY KEY, since REAL NOT NULL) STRICT;
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(slots=True)
class Stock:
    """The content of the file at the start. `pending` are (channel, notification), oldest first; `known` are (channel, id)."""

    pending: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)
    """Since when a channel exists (wall seconds): older entries are not sent to it."""
    set_aside: Path | None = None
    """The new path of an unreadable file."""


class Outbox:
    """The open file. On the event loop, `on_error` gets the reason when a write fails, and None when writes work again.

    At most `jobs_max` statements wait for the disk, and `kept_max` finished notifications are kept.
    """

    def __init__(
        self,
        database: sqlite3.Connection,
        on_error: Callable[[str | None], None],
        *,
        jobs_max: int = JOBS_MAX,
        kept_max: int = KEPT_MAX,
    ) -> None:
        self._database = database
        self._kept_max = kept_max
        self._thread = WriterThread("outbox", on_error, jobs_max=jobs_max, end=database.close)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of statements that wait for the disk."""
        return self._thread.waiting

    def put(self, channel: str, notice: dict[str, Any], at: float) -> None:
        """Store a notification until `finished`."""
        text = orjson.dumps(notice).decode()
        self._do(
            "INSERT OR IGNORE INTO notices (channel, id, at, notice) VALUES (?, ?, ?, ?)",
            channel,
            notice["id"],
            at,
            text,
        )

    def finished(self, channel: str, notice_id: str) -> None:
        """Mark a notification that was delivered or given up."""
        self._do("UPDATE notices SET notice = NULL WHERE channel = ? AND id = ?", channel, notice_id)

    def opened_channel(self, name: str, since: float) -> None:
        """Store since when a channel exists."""
        self._do("INSERT OR IGNORE INTO channels (name, since) VALUES (?, ?)", name, since)

    def closed_channel(self, name: str) -> None:
        """Delete a channel that is gone from the settings, and its notifications."""
        self._do("DELETE FROM channels WHERE name = ?", name)
        self._do("DELETE FROM notices WHERE channel = ?", name)

    def prune(self, now_s: float) -> None:
        """Delete finished notifications that are older than KEPT_S or more than `kept_max`."""
        self._do(_PRUNE, now_s - KEPT_S, self._kept_max)

    async def close(self) -> None:
        """Write the queued statements and close the file; give up after CLOSE_TIMEOUT_S."""
        await self._thread.close(CLOSE_TIMEOUT_S)

    def _do(self, statement: str, *values: Any) -> None:
        self._thread.submit(partial(self._execute, statement, values))

    def _execute(self, statement: str, values: tuple[Any, ...]) -> None:
        try:
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            self._thread.report(f"{type(error).__name__}: {error}")
        else:
            self._thread.report(None)


def opened(state_dir: Path, now_s: float) -> tuple[sqlite3.Connection, Stock]:
    """Return the file and its content; an unreadable file is renamed first. Raise OSError if no file can be created."""
    path = state_dir / FILE
    try:
        return _read(path, now_s)
    except sqlite3.DatabaseError as error:
        aside = set_aside(path, now_s)
        log.error("%s cannot be read (%s); it is now %s, and deliveries begin anew", path, error, aside)
        database, stock = _read(path, now_s)
        stock.set_aside = aside
        return database, stock


def _read(path: Path, now_s: float) -> tuple[sqlite3.Connection, Stock]:
    owned_files.database(path)
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"schema {version}, this release reads {SCHEMA_VERSION}")
        database.execute(_PRUNE, (now_s - KEPT_S, KEPT_MAX))
        return database, _stock(database)
    except BaseException:  # raised again; only the descriptor must not stay open
        database.close()
        raise


def _stock(database: sqlite3.Connection) -> Stock:
    stock = Stock()
    for channel, notice_id, text in database.execute("SELECT channel, id, notice FROM notices ORDER BY number"):
        stock.known.add((channel, notice_id))
        if text is not None:
            try:
                stock.pending.append((channel, orjson.loads(text)))
            except orjson.JSONDecodeError as error:
                raise sqlite3.DatabaseError(f"notice {notice_id} is damaged: {error}") from None
    stock.since = dict(database.execute("SELECT name, since FROM channels"))
    return stock
