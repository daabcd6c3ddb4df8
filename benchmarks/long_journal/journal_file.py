"""One entry as plain values, and the file of schema 1."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

_SCHEMA: Final = """
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, monotonic_ns INTEGER NOT NULL, boot INTEGER NOT NULL, service TEXT NOT NULL,
    type TEXT NOT NULL, actor TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_by_service ON entries (service, seq);
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 1;
"""


class Line(NamedTuple):
    """One entry: wall seconds, monotonic nanoseconds, boot, service ("": the whole router), type, actor, JSON data."""

    seq: int
    at: float
    monotonic_ns: int
    boot: int
    service: str
    type: str
    actor: str
    data: dict[str, Any]


def save(lines: list[Line], path: Path) -> None:
    """Write a journal file of schema 1; `path` must not exist."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.executescript(_SCHEMA)
        database.execute("BEGIN")
        for line in lines:
            members = (*line[:-1], orjson.dumps(line.data, option=orjson.OPT_SORT_KEYS).decode())
            row = (*members, zlib.crc32(orjson.dumps(list(members))))
            database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("COMMIT")
    finally:
        database.close()
    path.chmod(0o600)
