"""The file of cases: captured requests, which have to be deletable, so they are not in the journal.

What is deleted is gone from the files: SQLite overwrites it with zeroes (`secure_delete`), and the WAL, in which older pages
still stand, is written back and cut to nothing (`wal_checkpoint(TRUNCATE)`) before a deletion counts as done.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from router.control.store.case_format import parsed, plain
from router.errors import OperatorError
from router.rollout.cases.case import Case
from router.rollout.cases.suite import StoredSuite, expired, to_drop
from router.runtime import owned_files

FILE: Final = "cases.sqlite"
EXPIRE_AFTER_S: Final = 30 * 86_400.0
SCHEMA_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 1.0
_ASIDE: Final = "cases.unreadable-"
_SCHEMA: Final = f"""
CREATE TABLE cases (
    service TEXT NOT NULL,
    id TEXT NOT NULL,
    added_at REAL NOT NULL,
    captured INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (service, id)
) STRICT;
PRAGMA user_version = {SCHEMA_VERSION};
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A case, and when it was added (wall seconds)."""

    case: Case
    added_at: float


@dataclass(frozen=True, slots=True)
class Added:
    """What became of cases that were to be added, by id. `dropped`: older ones that made room; `refused`: no room."""

    added: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """`revision` is another one after every change; "" without any case."""

    cases: int = 0
    size_bytes: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Caps:
    """How many cases a service may have, and how large in all."""

    cases_max: int
    bytes_max: int


class CasesFile:
    """One connection; every method raises sqlite3.Error if the file does not do what is asked."""

    def __init__(self, path: Path) -> None:
        owned_files.database(path)
        self._database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:  # whatever it is goes on up; only the descriptor must not
            self._database.close()
            raise

    def _prepare(self) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "cell_size_check = ON"):
            self._database.execute(f"PRAGMA {pragma}")
        problems = [line for (line,) in self._database.execute("PRAGMA quick_check(1)") if line != "ok"]
        (found,) = self._database.execute("PRAGMA user_version").fetchone()
        if problems or found not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(problems[0] if problems else f"it has schema {found}, not {SCHEMA_VERSION}")
        if found == 0:
            self._database.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")

    def close(self) -> None:
        """Close the file; its WAL goes into it."""
        self._database.close()

    # -- reading
    def held(self, service: str) -> list[StoredSuite]:
        """Return what the caps look at."""
        rows = self._database.execute(
            "SELECT id, added_at, size_bytes, captured FROM cases WHERE service = ?", [service]
        )
        return [
            StoredSuite(name, added_at, size_bytes, bool(captured)) for name, added_at, size_bytes, captured in rows
        ]

    def summary(self, service: str) -> Summary:
        """Return how many cases there are, how large, and what tells this suite from another one."""
        rows = self._database.execute(
            "SELECT id, added_at, size_bytes FROM cases WHERE service = ? ORDER BY id", [service]
        ).fetchall()
        mark = zlib.crc32(repr([row[:2] for row in rows]).encode())
        return Summary(len(rows), sum(row[2] for row in rows), f"{len(rows)}-{mark:08x}" if rows else "")

    def suite(self, service: str) -> list[Stored]:
        """Return the cases of a service, newest first."""
        rows = self._database.execute(
            "SELECT added_at, document FROM cases WHERE service = ? ORDER BY added_at DESC, id", [service]
        )
        return [Stored(parsed(orjson.loads(document)), added_at) for added_at, document in rows]

    def case(self, service: str, name: str) -> Stored | None:
        """Return one case."""
        row = self._database.execute(
            "SELECT added_at, document FROM cases WHERE service = ? AND id = ?", [service, name]
        ).fetchone()
        return None if row is None else Stored(parsed(orjson.loads(row[1])), row[0])

    # -- writing
    def add(
        self,
        service: str,
        cases: Iterable[Case],
        caps: Caps,
        now_s: float,
        *,
        whole: bool = False,
        dry_run: bool = False,
    ) -> Added:
        """Add cases in one transaction. One that a person wrote is not replaced by a captured one of the same request.

        With `whole`, all of them or none: raise OperatorError (409, `cases_full`). With `dry_run` nothing is changed.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            done = self._add(service, cases, caps, now_s, whole=whole)
            if whole and set(done.dropped) & {*done.added, *done.known}:
                raise _full(caps)
        except BaseException:  # whatever it is goes on up; only nothing of it stays
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("ROLLBACK" if dry_run else "COMMIT")
        if (done.dropped or done.known) and not dry_run:
            self.forget()
        return done

    def _add(self, service: str, cases: Iterable[Case], caps: Caps, now_s: float, *, whole: bool) -> Added:
        added: list[str] = []
        known: list[str] = []
        dropped: list[str] = []
        refused: list[str] = []
        held = {one.id: one for one in self.held(service)}
        size_bytes = sum(one.size_bytes for one in held.values())
        for case in cases:
            document = orjson.dumps(plain(case))
            new = StoredSuite(case.id, now_s, len(document), case.captured)
            old = held.get(new.id)
            if old is not None and case.captured and not old.captured:
                known.append(case.id)
                continue
            going: list[str] | None = []
            if len(held) >= caps.cases_max or size_bytes + new.size_bytes > caps.bytes_max:
                # Only then: it looks at all that are held, and 10,000 cases would take minutes.
                going = to_drop(list(held.values()), new, caps.cases_max, caps.bytes_max)
            if going is None:
                if whole:
                    raise _full(caps)
                refused.append(case.id)
                continue
            self._delete(service, going)
            size_bytes += new.size_bytes - sum(held.pop(name).size_bytes for name in going)
            size_bytes -= old.size_bytes if old is not None else 0
            held[new.id] = new
            self._database.execute(
                "INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?)",
                [service, new.id, new.added_at, new.captured, new.size_bytes, document],
            )
            (known if old is not None else added).append(case.id)
            dropped += going
        return Added(tuple(added), tuple(known), tuple(dropped), tuple(refused))

    def remove(self, service: str, names: Sequence[str]) -> int:
        """Delete cases; return how many there were, once nothing is left of them."""
        count = self._delete(service, names)
        self.forget()
        return count

    def expire(self, after_s: dict[str, float], now_s: float) -> dict[str, int]:
        """Delete the captured cases that are older than their service's limit (EXPIRE_AFTER_S for a service that is no more);
        return how many, by service.
        """
        gone = {}
        for (service,) in self._database.execute("SELECT DISTINCT service FROM cases").fetchall():
            if names := expired(self.held(service), now_s, after_s.get(service, EXPIRE_AFTER_S)):
                gone[service] = self.remove(service, names)
        return gone

    def _delete(self, service: str, names: Sequence[str]) -> int:
        rows = [(service, name) for name in names]
        return (
            self._database.executemany("DELETE FROM cases WHERE service = ? AND id = ?", rows).rowcount if rows else 0
        )

    def forget(self) -> None:
        """Take deleted bytes out of the WAL too; raise sqlite3.OperationalError if it cannot be done now."""
        (busy, *_) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the file is in use: what was deleted is still in its write-ahead log")


def _full(caps: Caps) -> OperatorError:
    return OperatorError(
        409,
        "cases_full",
        f"there is no room for all of them: a service has at most cases_max = {caps.cases_max} cases of bytes_max = "
        f"{caps.bytes_max} bytes in all; remove some, or raise the limits; nothing was added",
        exit_code=9,
    )


def put_aside(path: Path, at_s: float) -> str:
    """Rename an unreadable file and its companions; return its new name."""
    stamp = f"{datetime.fromtimestamp(at_s, UTC):%Y%m%dT%H%M%S.%fZ}"
    aside = path.with_name(f"{_ASIDE}{stamp}.sqlite")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.rename(part, aside.with_name(aside.name + suffix))
    return aside.name


def discard_aside(folder: Path, now_s: float, after_s: float) -> list[str]:
    """Delete what was put aside longer than `after_s` ago: captured requests are in it, too."""
    gone = []
    for path in folder.glob(f"{_ASIDE}*"):
        if now_s - path.lstat().st_mtime >= after_s:
            path.unlink()
            gone.append(path.name)
    return sorted(gone)
