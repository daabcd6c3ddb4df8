"""The table of the journal: schema, rows and checksums; how the file is connected, verified, exported and imported."""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from router.errors import StartError
from router.errors.codes import StartCode
from router.rollout.model.entry import Entry, route_generation
from router.runtime import owned_files

FILE: Final = "journal.sqlite"
SCHEMA_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 1.0
_COLUMNS: Final = "seq, at, monotonic_ns, boot, service, type, actor, data, crc"
INSERT: Final = f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SCHEMA: Final = f"""
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    monotonic_ns INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    service TEXT NOT NULL,
    type TEXT NOT NULL,
    actor TEXT NOT NULL,
    data TEXT NOT NULL,
    crc INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_by_service ON entries (service, seq);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = {SCHEMA_VERSION};
"""


class Corrupt(sqlite3.DatabaseError):
    """The message names the damage; raised and caught within this package."""


def row(seq: int, entry: Entry) -> tuple[Any, ...]:
    """Return `entry` as the row with number `seq`."""
    members = (
        seq,
        float(entry.at),
        entry.monotonic_ns,
        entry.boot,
        entry.service,
        entry.type,
        entry.actor,
        orjson.dumps(entry.data, option=orjson.OPT_SORT_KEYS).decode(),
    )
    return (*members, _crc(members))


def _crc(members: tuple[Any, ...]) -> int:
    return zlib.crc32(orjson.dumps(list(members)))


def entry_of(values: tuple[Any, ...]) -> Entry:
    """Return the entry of a row; raise Corrupt if its checksum does not fit."""
    *members, crc = values
    if crc != _crc(tuple(members)):
        raise Corrupt(f"entry {members[0]} has a wrong checksum")
    seq, at, monotonic_ns, boot, service, kind, actor, data = members
    return Entry(kind, service, actor, orjson.loads(data), at, monotonic_ns, boot, seq)


@dataclass(frozen=True, slots=True)
class Selection:
    """Entries with numbers above `after` and below `before`, of one `service`, or of all for None.

    If there are more than `limit`: the first ones, or with `newest` the last ones.
    """

    after: int = 0
    limit: int = 100
    service: str | None = None
    before: int | None = None
    newest: bool = False


def select(database: sqlite3.Connection, wanted: Selection) -> list[Entry]:
    """Return the selected entries, oldest first."""
    conditions: list[str] = ["seq > ?"]
    values: list[int | str] = [wanted.after]
    for condition, value in (("seq < ?", wanted.before), ("service = ?", wanted.service)):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    order = "DESC" if wanted.newest else "ASC"
    found = database.execute(
        f"SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?",
        [*values, wanted.limit],
    )
    entries = [entry_of(row_values) for row_values in found]
    return entries[::-1] if wanted.newest else entries


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file (mode 0600, WAL, every commit an fsync).

    Raise sqlite3.DatabaseError if it is no database, StartError if the file or a companion belongs to another user.
    """
    try:
        owned_files.database(path)
    except owned_files.NotOwned as error:
        raise StartError(StartCode.STATE_NOT_OURS, f"{path}: {error.strerror}") from None
    database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA cell_size_check = ON")
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Give a new file its schema; raise StartError for one that a newer release wrote."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    if found > SCHEMA_VERSION:
        raise StartError(
            StartCode.JOURNAL_NEWER,
            f"{path} was written by a newer release (schema {found}, this one reads {SCHEMA_VERSION}): "
            "install that release again, or choose another --state-dir",
        )
    if found == 0:
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            raise Corrupt("the file holds another database")
        database.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")


def verified(database: sqlite3.Connection) -> list[Entry]:
    """Return all entries; raise Corrupt or sqlite3.DatabaseError if the file, a row or the numbering is damaged."""
    problems = [line for (line,) in database.execute("PRAGMA quick_check(3)") if line != "ok"]
    if problems:
        raise Corrupt("; ".join(problems))
    entries = [entry_of(values) for values in database.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY seq")]
    for expected, entry in enumerate(entries, 1):
        if entry.seq != expected:
            raise Corrupt(f"entry {expected} is missing")
    return entries


def checksums(database: sqlite3.Connection, *numbers: int) -> dict[int, int]:
    """Return the checksums of rows, by number."""
    places = ", ".join("?" * len(numbers))
    return dict(database.execute(f"SELECT seq, crc FROM entries WHERE seq IN ({places})", numbers).fetchall())


def ends(database: sqlite3.Connection, last_seq: int) -> tuple[int, int]:
    """Return the checksums of the first row and of row `last_seq`."""
    crcs = checksums(database, 1, last_seq)
    return crcs.get(1, 0), crcs.get(last_seq, 0)


def highest_generation(entries: Iterable[Entry]) -> int:
    """Return the highest generation that entries publish."""
    return max((route_generation(entry) or 0 for entry in entries), default=0)


def readable(path: Path) -> list[Entry]:
    """Return every entry of a damaged file that can be read and whose checksum is right, oldest first.

    A damaged page ends a scan, so the table is scanned from both ends.
    """
    found: dict[int, Entry] = {}
    for order in ("ASC", "DESC"):
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        except sqlite3.Error:
            continue
        try:
            for values in database.execute(f"SELECT {_COLUMNS} FROM entries NOT INDEXED ORDER BY seq {order}"):
                try:
                    entry = entry_of(values)
                except (Corrupt, orjson.JSONDecodeError, TypeError, UnicodeError):
                    continue
                found[entry.seq] = entry
        except (sqlite3.Error, UnicodeError):
            pass
        finally:
            database.close()
    return [found[seq] for seq in sorted(found)]


def export(entries: Iterable[Entry], path: Path) -> None:
    """Write entries as JSON lines (mode 0600)."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(orjson.dumps(asdict(entry)) + b"\n" for entry in entries)
        file.flush()
        os.fsync(file.fileno())


def imported(path: Path) -> list[Entry]:
    """Return the entries that `export` wrote; raise StartError that names the first invalid line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StartError(StartCode.JOURNAL_COPY_UNREADABLE, f"--journal-from {path}: {error.strerror}") from None
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry(**orjson.loads(line)))
        except (orjson.JSONDecodeError, TypeError):
            raise StartError(StartCode.JOURNAL_COPY_INVALID, f"{path}, line {number} is not a journal entry") from None
    return entries
