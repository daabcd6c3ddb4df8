"""The table of the journal: schema, rows and checksums; how the file is connected, verified, exported and imported.

A record is what one transaction of one caller writes: one or more rows with the same `position`. Positions count from 1 without
gaps. The first row of a record has its idempotency key. Rows of schema 1 have no position: each is a record of its own, whose
position is its number.

Copies are made of the stored JSON, and never of decoded facts: a member or a type that this release does not know stays.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from router.control.store.records.request_key import RequestKey
from router.errors import StartError
from router.errors.codes import StartCode
from router.rollout.facts.entry import Entry, route_generation
from router.rollout.facts.fact import FactInvalid
from router.runtime import owned_files

FILE: Final = "journal.sqlite"
SCHEMA_VERSION: Final = 2
_BUSY_TIMEOUT_S: Final = 1.0
_MEMBERS: Final = "seq, at, monotonic_ns, boot, service, type, actor, data, crc"
_COLUMNS: Final = f"{_MEMBERS}, position, key, request"
_COLUMNS_OF_SCHEMA: Final = {1: f"{_MEMBERS}, NULL, NULL, NULL", SCHEMA_VERSION: _COLUMNS}
_INSERT_MEMBERS: Final = f"INSERT INTO entries ({_MEMBERS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT: Final = f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADDED: Final = ("position INTEGER", "key TEXT", "request TEXT")
"""The columns that schema 2 has added; null in rows of schema 1."""
_KEYS_INDEX: Final = "CREATE INDEX entries_by_key ON entries (seq) WHERE key IS NOT NULL"
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
    crc INTEGER NOT NULL,
    {", ".join(_ADDED)}
) STRICT;
CREATE INDEX entries_by_service ON entries (service, seq);
{_KEYS_INDEX};
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = {SCHEMA_VERSION};
"""


_CRC: Final = _COLUMNS.split(", ").index("crc")
_POSITION: Final = _COLUMNS.split(", ").index("position")


class Corrupt(sqlite3.DatabaseError):
    """The message names the damage; raised and caught within this package."""


class JournalRow(NamedTuple):
    """A stored row. `data` is JSON text, `position` the number of its record, None in rows of schema 1.

    `key` and `request` are those of the record (RequestKey); None in all rows but the first of a record with a key.
    """

    seq: int
    at: float
    monotonic_ns: int
    boot: int
    service: str
    type: str
    actor: str
    data: str
    crc: int = 0
    position: int | None = None
    key: str | None = None
    request: str | None = None

    def sealed(self) -> JournalRow:
        """Return the row with its checksum."""
        return self._replace(crc=_crc(self))

    def entry(self) -> Entry:
        """Return the entry of the row; raise FactInvalid if its members do not fit their type."""
        members = (self.type, self.service, self.actor, self.data, self.at, self.monotonic_ns, self.boot, self.seq)
        return Entry.of_json(*members)


def row(seq: int, entry: Entry, position: int | None = None, key: RequestKey | None = None) -> JournalRow:
    """Return `entry` as the row with number `seq`, in the record `position`; `key` is that of the record."""
    data = orjson.dumps(entry.fact.to_data(), option=orjson.OPT_SORT_KEYS).decode()
    members = (seq, float(entry.at), entry.monotonic_ns, entry.boot, entry.service, entry.type, entry.actor, data)
    digests = (None, None) if key is None else (key.key, key.request)
    return JournalRow(*members, 0, position, *digests).sealed()


def _crc(values: tuple[Any, ...]) -> int:
    """Return the checksum over all members but itself. What schema 2 has added counts in rows that have it."""
    members, added = values[:_CRC], values[_CRC + 1 :]
    return zlib.crc32(orjson.dumps([*members] if added == (None, None, None) else [*members, *added]))


def entry_of(values: tuple[Any, ...]) -> Entry:
    """Return the entry of a row; raise Corrupt if its checksum does not fit, or its members do not fit their type."""
    seq, at, monotonic_ns, boot, service, kind, actor, data, crc, *_ = values
    if crc != _crc(values):
        raise Corrupt(f"entry {seq} has a wrong checksum")
    try:
        return Entry.of_json(kind, service, actor, data, at, monotonic_ns, boot, seq)
    except FactInvalid as error:
        raise Corrupt(f"entry {seq} is invalid: {error}") from None


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
    columns = _COLUMNS_OF_SCHEMA[schema_of(database)]
    found = database.execute(
        f"SELECT {columns} FROM entries WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?",
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
    found = schema_of(database)
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


def insert(database: sqlite3.Connection, rows: Sequence[JournalRow]) -> None:
    """Insert rows, within a transaction of the caller. The first row with a position raises the file to this release's schema."""
    if rows and rows[0].position is None:
        database.executemany(_INSERT_MEMBERS, [row[: _CRC + 1] for row in rows])
        return
    if schema_of(database) != SCHEMA_VERSION:
        for column in _ADDED:
            database.execute(f"ALTER TABLE entries ADD COLUMN {column}")
        database.execute(_KEYS_INDEX)
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.executemany(_INSERT, rows)


def schema_of(database: sqlite3.Connection) -> int:
    """Return the schema of a file; 0 for a new one."""
    (found,) = database.execute("PRAGMA user_version").fetchone()
    return int(found)


def verified(database: sqlite3.Connection) -> list[Entry]:
    """Return all entries; raise Corrupt or sqlite3.DatabaseError if the file, a row or the numbering is damaged."""
    problems = [line for (line,) in database.execute("PRAGMA quick_check(3)") if line != "ok"]
    if problems:
        raise Corrupt("; ".join(problems))
    columns = _COLUMNS_OF_SCHEMA[schema_of(database)]
    entries: list[Entry] = []
    position, within = 0, False  # of the row before: its record, and whether more rows may follow in it
    for values in database.execute(f"SELECT {columns} FROM entries ORDER BY seq"):
        entry = entry_of(values)
        entries.append(entry)
        if entry.seq != len(entries):
            raise Corrupt(f"entry {len(entries)} is missing")
        found = values[_POSITION]
        if found is None and not within:
            position += 1
        elif found == position + 1 or (found == position and within):
            position, within = found, True
        else:
            raise Corrupt(f"entry {entry.seq} is of record {found}, and the one before of record {position}")
    return entries


def last_position(database: sqlite3.Connection) -> int:
    """Return the position of the last record; 0 without one."""
    columns = _COLUMNS_OF_SCHEMA[schema_of(database)]
    found = database.execute(f"SELECT {columns} FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    if found is None:
        return 0
    last = JournalRow(*found)
    return last.seq if last.position is None else last.position


def keyed(database: sqlite3.Connection, after_s: float, count: int) -> dict[int, RequestKey]:
    """Return the keys of the newest records that have one, by the number of their first row, oldest first.

    At most `count`, written after `after_s` (wall seconds).
    """
    if schema_of(database) < SCHEMA_VERSION:
        return {}
    found = database.execute(
        "SELECT seq, key, request FROM entries WHERE key IS NOT NULL AND at > ? ORDER BY seq DESC LIMIT ?",
        (after_s, count),
    ).fetchall()
    return {seq: RequestKey(key, request) for seq, key, request in reversed(found)}


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


def readable(path: Path) -> list[JournalRow]:
    """Return every row of a damaged file that can be read and whose checksum is right, oldest first.

    A damaged page ends a scan, so the table is scanned from both ends.
    """
    found: dict[int, JournalRow] = {}
    for order in ("ASC", "DESC"):
        try:
            database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        except sqlite3.Error:
            continue
        try:
            columns = _COLUMNS_OF_SCHEMA.get(schema_of(database), _COLUMNS)
            for values in database.execute(f"SELECT {columns} FROM entries NOT INDEXED ORDER BY seq {order}"):
                try:
                    entry_of(values)
                except (Corrupt, orjson.JSONDecodeError, TypeError, UnicodeError):
                    continue
                found[values[0]] = JournalRow(*values)
        except (sqlite3.Error, UnicodeError):
            pass
        finally:
            database.close()
    return [found[seq] for seq in sorted(found)]


def export(rows: Iterable[JournalRow], path: Path) -> None:
    """Write rows as JSON lines (mode 0600). `data` is the stored JSON; a checksum has no meaning outside of the file."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(orjson.dumps(_line(row)) + b"\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def _line(row: JournalRow) -> dict[str, Any]:
    members = {name: value for name, value in row._asdict().items() if name != "crc" and value is not None}
    return {**members, "data": orjson.Fragment(row.data)}


def imported(path: Path) -> list[JournalRow]:
    """Return the rows that `export` wrote; raise StartError that names the first invalid line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise StartError(StartCode.JOURNAL_COPY_UNREADABLE, f"--journal-from {path}: {error.strerror}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row_of(orjson.loads(line)))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            raise StartError(StartCode.JOURNAL_COPY_INVALID, f"{path}, line {number} is not a journal entry") from None
    return rows


def _row_of(line: dict[str, Any]) -> JournalRow:
    """Return the row of a line. Copies of earlier releases have no positions."""
    data = line.pop("data")
    if not isinstance(data, dict):
        raise TypeError("data")
    return JournalRow(**{"seq": 0, **line}, data=orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode(), crc=0)
