"""The file of cases. Captured requests must be deletable, so they are not in the append-only journal.

A deletion removes the bytes from the disk: SQLite overwrites them with zeroes (`secure_delete`), and the WAL, which still holds
older pages, is written back and truncated (`wal_checkpoint(TRUNCATE)`) before the deletion is confirmed.

Why: docs/decisions.md#cases-are-not-in-the-journal.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from router.control.store.case_format import case_document, parsed
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.rollout.cases.case import Case
from router.rollout.cases.suite import StoredCase, expired, to_drop
from router.runtime import owned_files

FILE: Final = "cases.sqlite"
EXPIRE_AFTER_S: Final = 30 * 86_400.0
SCHEMA_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 1.0
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
    """The result of adding cases, by id.

    `known`: replaced or kept. `dropped`: older cases, deleted because of the limits. `refused`: they exceed the limits.
    """

    added: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """`revision` differs after every change; "" without cases."""

    cases: int = 0
    size_bytes: int = 0
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Caps:
    """How many cases a service may have, and how large in all."""

    cases_max: int
    bytes_max: int


class CasesFile:
    """One connection; every method may raise sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        owned_files.database(path)
        self._database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:  # raised again; only the descriptor must not stay open
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
        """Close the file; SQLite writes the WAL back."""
        self._database.close()

    # -- reading
    def stored(self, service: str) -> list[StoredCase]:
        """Return the cases of a service as the caps need them, without their content."""
        rows = self._database.execute(
            "SELECT id, added_at, size_bytes, captured FROM cases WHERE service = ?", [service]
        )
        return [StoredCase(name, added_at, size_bytes, bool(captured)) for name, added_at, size_bytes, captured in rows]

    def summary(self, service: str) -> Summary:
        """Return the number of cases, their size in bytes, and the revision of the suite."""
        rows = self._database.execute(
            "SELECT id, added_at, size_bytes FROM cases WHERE service = ? ORDER BY id", [service]
        ).fetchall()
        mark = zlib.crc32(repr([row[:2] for row in rows]).encode())
        return Summary(len(rows), sum(row[2] for row in rows), f"{len(rows)}-{mark:08x}" if rows else "")

    def suite(self, service: str) -> list[Stored]:
        """Return the cases of a service, newest first."""
        rows = self._database.execute(
            "SELECT id, added_at, document FROM cases WHERE service = ? ORDER BY added_at DESC, id", [service]
        )
        return [Stored(_case(name, document), added_at) for name, added_at, document in rows]

    def case(self, service: str, name: str) -> Stored | None:
        """Return one case."""
        row = self._database.execute(
            "SELECT added_at, document FROM cases WHERE service = ? AND id = ?", [service, name]
        ).fetchone()
        return None if row is None else Stored(_case(name, row[1]), row[0])

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
        """Add cases in one transaction. A captured case does not replace a case of the same request that an operator wrote.

        With `whole`, add all or none: raise Refusal (`cases_full`). With `dry_run` nothing is changed.
        """
        self._database.execute("BEGIN IMMEDIATE")
        try:
            done = self._add(service, cases, caps, now_s, whole=whole)
            if whole and set(done.dropped) & {*done.added, *done.known}:
                raise _full(caps)
        except BaseException:  # raised again, without a change of the file
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
        stored = {one.id: one for one in self.stored(service)}
        size_bytes = sum(one.size_bytes for one in stored.values())
        for case in cases:
            document = orjson.dumps(case_document(case))
            new = StoredCase(case.id, now_s, len(document), case.captured)
            old = stored.get(new.id)
            if old is not None and case.captured and not old.captured:
                known.append(case.id)
                continue
            evicted: list[str] | None = []
            if len(stored) >= caps.cases_max or size_bytes + new.size_bytes > caps.bytes_max:
                # Only if the caps are exceeded: it reads all stored cases, which would take minutes for an import of 10,000.
                evicted = to_drop(list(stored.values()), new, caps.cases_max, caps.bytes_max)
            if evicted is None:
                if whole:
                    raise _full(caps)
                refused.append(case.id)
                continue
            self._delete(service, evicted)
            size_bytes += new.size_bytes - sum(stored.pop(name).size_bytes for name in evicted)
            size_bytes -= old.size_bytes if old is not None else 0
            stored[new.id] = new
            self._database.execute(
                "INSERT OR REPLACE INTO cases VALUES (?, ?, ?, ?, ?, ?)",
                [service, new.id, new.added_at, new.captured, new.size_bytes, document],
            )
            (known if old is not None else added).append(case.id)
            dropped += evicted
        return Added(tuple(added), tuple(known), tuple(dropped), tuple(refused))

    def remove(self, service: str, names: Sequence[str]) -> int:
        """Delete cases and their bytes; return how many there were."""
        count = self._delete(service, names)
        self.forget()
        return count

    def expire(self, after_s: dict[str, float], now_s: float) -> dict[str, int]:
        """Delete captured cases that are older than the limit of their service; return how many, by service.

        EXPIRE_AFTER_S is the limit for a service that is no longer in the settings.
        """
        gone = {}
        for (service,) in self._database.execute("SELECT DISTINCT service FROM cases").fetchall():
            if names := expired(self.stored(service), now_s, after_s.get(service, EXPIRE_AFTER_S)):
                gone[service] = self.remove(service, names)
        return gone

    def _delete(self, service: str, names: Sequence[str]) -> int:
        rows = [(service, name) for name in names]
        return (
            self._database.executemany("DELETE FROM cases WHERE service = ? AND id = ?", rows).rowcount if rows else 0
        )

    def forget(self) -> None:
        """Truncate the WAL, which holds deleted bytes; raise sqlite3.OperationalError if a reader prevents it."""
        (busy, *_) = self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the file is in use: what was deleted is still in its write-ahead log")


def _full(caps: Caps) -> Refusal:
    return Refusal(
        RefusalCode.CASES_FULL,
        f"there is no room for all of them: a service has at most cases_max = {caps.cases_max} cases of bytes_max = "
        f"{caps.bytes_max} bytes in all; remove some, or raise the limits; nothing was added",
    )


def _case(name: str, document: str | bytes) -> Case:
    """Return the case that is stored as `document`; raise sqlite3.DatabaseError that names it if the row is damaged."""
    try:
        return parsed(orjson.loads(document))
    except (orjson.JSONDecodeError, Refusal) as error:
        raise sqlite3.DatabaseError(f"case {name} is damaged: {error}") from None
