"""The file of the history: its schema, its rows, the last reading of each slot, and the deletion of old rows.

The primary key is the order in which rows are read (service, wall time), so there is no second index. Pages of deleted rows are
reused: the file does not shrink, and it does not grow beyond the most that it once held.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from router.rollout.history import row
from router.rollout.history.row import Row, RowBase, unpack
from router.rollout.history.service_report import FAILED, Totals
from router.rollout.outcome import FAULTS, OUTCOMES
from router.rollout.stats.histogram import BUCKETS, quantile
from router.runtime import owned_files

log = logging.getLogger(__name__)

FILE: Final = "history.sqlite"
SCHEMA_VERSION: Final = 2
HOUR_MS: Final = 3_600_000
_BUSY_TIMEOUT_S: Final = 1.0
_COUNTS: Final = tuple(name for name in Row._fields[5:-2])
"""Every column from `span_ms` to `without_use`: whole numbers."""
_SCHEMA: Final = f"""
CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE rows (
    service INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    monotonic_ms INTEGER NOT NULL,
    version INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in _COUNTS)},
    failing TEXT NOT NULL,
    histograms BLOB NOT NULL,
    PRIMARY KEY (service, at_ms, slot, monotonic_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE marks (
    service TEXT NOT NULL,
    slot INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (service, slot)
) STRICT, WITHOUT ROWID;
PRAGMA user_version = {SCHEMA_VERSION};
"""
_FROM_1: Final = f"""
ALTER TABLE rows ADD COLUMN useful INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rows ADD COLUMN without_use INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = {SCHEMA_VERSION};
"""
_MEMBERS: Final = ("at_ms", "slot", "monotonic_ms", "version", "boot", *_COUNTS, "failing", "histograms")
assert Row._fields == _MEMBERS
_INSERT: Final = f"INSERT INTO rows (service, {', '.join(_MEMBERS)}) VALUES (?{', ?' * len(_MEMBERS)})"
_SELECT: Final = (
    f"SELECT {', '.join('names.name' if name == 'version' else f'rows.{name}' for name in _MEMBERS)} "
    "FROM rows JOIN names ON names.id = rows.version WHERE rows.service = ? AND rows.at_ms > ? AND rows.at_ms <= ?"
)
_FAILS: Final = " + ".join(outcome.label for outcome in FAILED)
_TOTALS: Final = f"""
SELECT count(*), sum(span_ms), sum(claimed), sum(rescued), {", ".join(f"sum({outcome.label})" for outcome in OUTCOMES)},
    sum(CASE WHEN counted > 0 AND failed <= share * counted THEN span_ms END),
    sum(CASE WHEN failed > share * counted THEN span_ms END),
    sum(CASE WHEN counted = 0 THEN span_ms END),
    sum(CASE WHEN verdict = {row.PASSED} THEN span_ms END),
    sum(CASE WHEN verdict = {row.FAILED} THEN span_ms END),
    sum(CASE WHEN verdict = {row.UNDECIDED} THEN span_ms END)
FROM (SELECT *, ok + {_FAILS} AS counted, {_FAILS} AS failed, ? AS share FROM rows
      WHERE service = ? AND at_ms > ? AND at_ms <= ? AND slot = {row.SERVICE_SLOT})
"""
_FAULTS: Final = " + ".join(outcome.label for outcome in FAULTS)
_STEPS: Final = f"""
SELECT at_ms / ? * ?, names.name, role, sum(span_ms), sum(claimed), sum(begun), sum(faults_unbegun), sum({_FAULTS}),
    sum(rescued), sum(abandoned_long), sum(stalled_ms), max(waiting), min(ready), max(verdict),
    sum(useful), sum(without_use), count(*), {{times}}
FROM rows JOIN names ON names.id = rows.version
WHERE service = ? AND at_ms > ? AND at_ms <= ?{{only}} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT ?
"""
Marks = dict[tuple[str, int], tuple[int, RowBase]]
"""(boot, mark) by service and slot."""


class Step(NamedTuple):
    """Sums over the rows of one version in one role. The step begins at wall time `at_ms`; spans are monotonic ms."""

    at_ms: int
    version: str
    role: int
    span_ms: int
    claimed: int
    begun: int
    faults_unbegun: int
    faults: int
    rescued: int
    abandoned_long: int
    stalled_ms: int
    waiting_max: int
    ready: int
    verdict: int
    useful: int
    without_use: int
    rows: int
    times_us: str | None
    """Median and p99 of the first-byte times (µs), as JSON; None if they were not requested, or if no response had begun."""


class _Times:
    """An aggregate of SQLite: packed histograms → median and p99 of first-byte times in µs, as JSON."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS

    def step(self, packed: Any) -> None:
        if sparse := unpack(packed):
            for bucket, count in zip(*sparse[0], strict=True):
                self._counts[bucket] += count

    def finalize(self) -> str | None:
        if not any(self._counts):
            return None
        return orjson.dumps([quantile(self._counts, share) for share in (0.5, 0.99)]).decode()


class HistoryFile:
    """One connection, of the writer or of a reader. Every method may raise sqlite3.Error."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self._names: dict[str, int] = {}

    @classmethod
    def opened(cls, path: Path) -> HistoryFile:
        """Open or create the file (mode 0600, WAL). A commit is no fsync: a power cut may lose the last seconds."""
        owned_files.database(path)
        database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            (found,) = database.execute("PRAGMA user_version").fetchone()
            if found not in (0, 1, SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"it has schema {found}, and this release reads {SCHEMA_VERSION}")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA cell_size_check = ON")
            if found == 0:
                database.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
            elif found == 1:
                database.executescript("BEGIN IMMEDIATE;" + _FROM_1 + "COMMIT;")
            return cls(database)
        except sqlite3.Error:
            database.close()
            raise

    @classmethod
    def to_read(cls, path: Path) -> HistoryFile:
        """Open the existing file for reading, beside its writer; raise sqlite3.OperationalError if it is missing."""
        try:
            # By name: closing a descriptor would release the locks of the writer, which is in the same process (fcntl).
            owned_files.companions(path)
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from None
        uri = f"{path.absolute().as_uri()}?mode=rw"
        database = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            database.execute("PRAGMA query_only = ON")
        except sqlite3.Error:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        """Close the connection."""
        self.database.close()

    # -- writing
    def write(self, service: str, boot: int, rows: Iterable[Row], marks: dict[int, RowBase], keep_from_ms: int) -> None:
        """Add rows of a service and the marks behind them, and delete up to an hour of rows that ended before `keep_from_ms`."""
        database = self.database
        database.execute("BEGIN IMMEDIATE")
        try:
            number = self._id(service)
            database.executemany(_INSERT, [(number, *row[:3], self._id(row.version), *row[4:]) for row in rows])
            database.executemany(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?)",
                [(service, slot, boot, _written(mark)) for slot, mark in marks.items()],
            )
            self._delete(number, keep_from_ms)
            database.execute("COMMIT")
        except sqlite3.Error:
            self._names.clear()  # they may belong to the transaction that failed
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise

    def _id(self, name: str) -> int:
        known = self._names.get(name)
        if known is None:
            self.database.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", [name])
            (known,) = self.database.execute("SELECT id FROM names WHERE name = ?", [name]).fetchone()
            self._names[name] = known
        return int(known)

    def _delete(self, service: int, before_ms: int) -> None:
        """Delete at most an hour of rows: after a pause of days, deleting all old rows at once would take seconds."""
        (oldest_ms,) = self.database.execute("SELECT min(at_ms) FROM rows WHERE service = ?", [service]).fetchone()
        if oldest_ms is not None and oldest_ms <= before_ms:
            until_ms = min(before_ms, oldest_ms + HOUR_MS)
            self.database.execute("DELETE FROM rows WHERE service = ? AND at_ms <= ?", [service, until_ms])

    def shrink(self) -> None:
        """Delete the oldest hour of rows over all services."""
        oldest = [
            (at_ms, service)
            for (service,) in self.database.execute("SELECT id FROM names").fetchall()
            for (at_ms,) in self.database.execute("SELECT min(at_ms) FROM rows WHERE service = ?", [service])
            if at_ms is not None
        ]
        if oldest:
            at_ms, service = min(oldest)
            self.database.execute("DELETE FROM rows WHERE service = ? AND at_ms <= ?", [service, at_ms + HOUR_MS])

    def used_bytes(self) -> int:
        """Return how many bytes of the file are in use."""
        (pages,) = self.database.execute("PRAGMA page_count").fetchone()
        (free,) = self.database.execute("PRAGMA freelist_count").fetchone()
        (size,) = self.database.execute("PRAGMA page_size").fetchone()
        return int((pages - free) * size)

    def marks(self) -> Marks:
        """Return the last reading of every slot. A damaged reading is left out: the next rows of that slot count from now."""
        found: Marks = {}
        for service, slot, boot, text in self.database.execute("SELECT service, slot, boot, mark FROM marks"):
            try:
                found[service, slot] = boot, _read(text)
            except (ValueError, TypeError, IndexError) as error:
                log.warning("the last reading of slot %s of %s is damaged and is left out: %s", slot, service, error)
        return found

    # -- reading
    def rows(
        self, service: str, since_ms: int, until_ms: int, version: str | None = None, limit: int = -1
    ) -> Iterator[Row]:
        """Yield the rows that ended after `since_ms` and not after `until_ms`, oldest first, at most `limit` (−1: all).

        `version` None: of all versions and of the service itself (version ""); else only those of that name.
        """
        numbers = self._known(service, version)
        if numbers is not None:
            only, values = ("", []) if version is None else (" AND rows.version = ?", [numbers[1]])
            order = " ORDER BY rows.at_ms, rows.slot, rows.monotonic_ms LIMIT ?"
            found = self.database.execute(_SELECT + only + order, [numbers[0], since_ms, until_ms, *values, limit])
            yield from map(Row._make, found)

    def active(self, service: str, since_ms: int, until_ms: int, *, every: int = 1, due: bool = False) -> Iterator[Row]:
        """Yield the rows of active versions, oldest first: each `every`-th row, or the rows in which an action was
        `due`.
        """
        numbers = self._known(service)
        if numbers is not None:
            only = f" AND rows.role = {row.ROLES.index('active')} AND rows.monotonic_ms / 10000 % ? = 0"
            only += " AND instr(rows.failing, '!') > 0" if due else ""
            order = " ORDER BY rows.at_ms, rows.monotonic_ms"
            found = self.database.execute(_SELECT + only + order, [numbers[0], since_ms, until_ms, every])
            yield from map(Row._make, found)

    def totals(self, service: str, since_ms: int, until_ms: int, fault_share_max: float) -> Totals:
        """Return the sums over the rows that ended after `since_ms` and not after `until_ms`.

        More than `fault_share_max` of the requests at fault make a row a bad one.
        """
        numbers = self._known(service)
        values = [fault_share_max, numbers[0] if numbers else 0, since_ms, until_ms]
        found = self.database.execute(_TOTALS, values).fetchone()
        rows, ms, accepted, rescued, *rest = (value or 0 for value in found)
        outcomes, spans = tuple(rest[: len(OUTCOMES)]), [span_ms / 1000 for span_ms in rest[len(OUTCOMES) :]]
        return Totals(rows, ms / 1000, accepted, rescued, outcomes, *spans)

    def steps(
        self, service: str, since_ms: int, until_ms: int, step_ms: int, version: str | None, limit: int, *, times: bool
    ) -> list[Step]:
        """Return the rows of a period summed by steps of `step_ms`, by version and role, oldest first, at most `limit`.

        With `times` the steps have first-byte times, too, which costs 10 µs of Python a row.
        """
        numbers = self._known(service, version)
        if numbers is None:
            return []
        only, values = ("", []) if version is None else (" AND version = ?", [numbers[1]])
        times_sql = "NULL"
        if times:
            aggregate: Any = _Times  # the type stub of create_aggregate has int results only
            self.database.create_aggregate("first_byte_times", 1, aggregate)
            times_sql = "first_byte_times(histograms)"
        found = self.database.execute(
            _STEPS.format(only=only, times=times_sql),
            [step_ms, step_ms, numbers[0], since_ms, until_ms, *values, limit],
        )
        return [Step._make(values) for values in found]

    def _known(self, *names: str | None) -> list[int] | None:
        """Return the numbers of these names (0 for None); None if one was never written."""
        numbers = []
        for name in names:
            found = (
                (0,)
                if name is None
                else self.database.execute("SELECT id FROM names WHERE name = ?", [name]).fetchone()
            )
            if found is None:
                return None
            numbers.append(found[0])
        return numbers


def _written(mark: RowBase) -> str:
    histograms = mark.histograms and [
        [(bucket, count) for bucket, count in enumerate(counts) if count] for counts in mark.histograms
    ]
    return orjson.dumps([*mark[:4], histograms, mark.work]).decode()


def _read(text: str) -> RowBase:
    incarnation, at_ns, left_out_ns, counters, sparse, *later = orjson.loads(text)
    work = (int(later[0][0]), int(later[0][1])) if later and later[0] is not None else None
    if sparse is None:
        return RowBase(incarnation, at_ns, left_out_ns, tuple(counters), None, work)
    histograms: list[Any] = []
    for pairs in sparse:
        counts = [0] * BUCKETS
        for bucket, count in pairs:
            counts[bucket] = count
        histograms.append(tuple(counts))
    times = histograms[0], histograms[1], histograms[2]
    return RowBase(incarnation, at_ns, left_out_ns, tuple(counters), times, work)
