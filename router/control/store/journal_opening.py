"""Opens the journal at a start: verifies it, refuses a corrupt one, or begins a new one from a readable copy."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

import orjson

from router.control.store import journal_rows, mark
from router.control.store.journal_rows import FILE, Corrupt, JournalRow
from router.control.store.mark import Mark
from router.control.store.set_aside import set_aside
from router.errors import StartError
from router.errors.codes import StartCode
from router.rollout.facts.entry import Entry
from router.rollout.facts.fact import FactInvalid
from router.rollout.facts.router_itself import Abandoned, Imported
from router.rollout.facts.switches import SwitchFact
from router.rollout.model.route import generation_text
from router.runtime import clock, owned_files
from router.runtime.host import file_system, mounts
from router.runtime.text.hints import Hints
from router.runtime.text.plurals import counted, plural

log = logging.getLogger(__name__)

_REFUSED_BY_FILE_SYSTEM: Final = (
    "SQLITE_FULL",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
    "SQLITE_PERM",
    "SQLITE_IOERR_SHM",
    "SQLITE_IOERR_LOCK",
    "SQLITE_IOERR_RDLOCK",
    "SQLITE_IOERR_UNLOCK",
    "SQLITE_IOERR_CHECKRESERVEDLOCK",
    "SQLITE_IOERR_FSYNC",
    "SQLITE_IOERR_DIR_FSYNC",
    "SQLITE_IOERR_TRUNCATE",
    "SQLITE_IOERR_WRITE",
    "SQLITE_IOERR_MMAP",
)
"""Errors that say nothing about the contents of the file, so it is not called damaged."""


def opened(state_dir: Path, at_s: float) -> tuple[sqlite3.Connection, list[Entry]]:
    """Return the verified journal of `state_dir` and all its entries.

    Raise StartError if it is corrupt. Its readable entries are then in a copy beside it, and the error names the copy and
    the command that continues. `at_s` (wall seconds) is part of the copy's name.
    """
    path = state_dir / FILE
    try:
        return _verified(path)
    except (sqlite3.DatabaseError, ValueError) as error:
        raise corrupt(state_dir, error, at_s) from None
    except OSError as error:
        raise StartError(StartCode.JOURNAL_UNREADABLE, f"{path}: {error.strerror}") from None


def _verified(path: Path) -> tuple[sqlite3.Connection, list[Entry]]:
    try:
        found = mark.read(path.with_name(mark.FILE))
    except owned_files.NotOwned as error:
        raise StartError(StartCode.STATE_NOT_OURS, f"{path.with_name(mark.FILE)}: {error.strerror}") from None
    database = journal_rows.connect(path)
    try:
        journal_rows.prepare(database, path)
        entries = journal_rows.verified(database)
        if found is not None:
            _refuse_incomplete(found, entries, journal_rows.checksums(database, 1, found.seq))
        return database, entries
    except BaseException:  # raised again; only the descriptor must not stay open
        _close_without_checkpoint(database, path)
        raise


def _refuse_incomplete(found: Mark, entries: list[Entry], checksums: dict[int, int]) -> None:
    """Raise Corrupt if the journal lacks the rows that its mark names. `checksums` are those of its rows, by number."""
    if entries and found.first and found.first != checksums.get(1):
        raise Corrupt(f"{mark.FILE} beside it belongs to another journal, which had {counted(found.seq, 'entry')}")
    if len(entries) < found.seq:
        raise Corrupt(
            f"its end is missing: {mark.FILE} records that {counted(found.seq, 'entry')} {plural('was', found.seq)} "
            f"written and acknowledged, up to generation {generation_text(found.generation)}, and there are {len(entries)}"
        )
    if found.seq and found.crc and found.crc != checksums.get(found.seq):
        raise Corrupt(f"{mark.FILE} has another checksum for entry {found.seq} than the journal")


def _close_without_checkpoint(database: sqlite3.Connection, path: Path) -> None:
    """Close a damaged journal without the checkpoint of SQLite's last close, which would delete the WAL.

    A second connection stays open meanwhile, so this close is not the last one.
    """
    try:
        keeper = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error:
        return database.close()
    try:
        keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        pass
    finally:
        database.close()
        keeper.close()


def corrupt(state_dir: Path, error: Exception, at_s: float) -> StartError:
    """Return the error that ends the start: it names the file and its readable copy, and gives the command that continues."""
    path = state_dir / FILE
    if isinstance(error, sqlite3.OperationalError) and (refused := _by_file_system(path, error)) is not None:
        return refused
    rows = journal_rows.readable(path)
    copy = path.with_name(f"journal-readable-{clock.file_stamp(at_s)}.jsonl")
    try:
        journal_rows.export(rows, copy)
    except OSError as failed:
        return StartError(StartCode.JOURNAL_CORRUPT, f"{path} is corrupt ({error}), and no copy can be made: {failed}")
    entries = (entry for row in reversed(rows) if (entry := _entry(row)) is not None)
    switches = ((entry.service, entry.fact.to) for entry in entries if isinstance(entry.fact, SwitchFact))
    service, version = next(switches, (None, "VERSION"))
    return StartError(
        StartCode.JOURNAL_CORRUPT,
        f"{path} is corrupt ({error}). {counted(len(rows), 'entry')} can be read: {copy}"
        + (f"; the last switch among them made {version} active in {service}. " if service is not None else ". ")
        + "Find out which version serves, then continue with: "
        + Hints().text("`run --assume-active VERSION --journal-from COPY`", VERSION=version, COPY=str(copy))
        + " (and your other options)",
    )


def _by_file_system(path: Path, error: sqlite3.OperationalError) -> StartError | None:
    """Return the error of a start if the file is locked, or its file system lacks an operation; None if it may be damaged.

    SQLite reports "database is locked" also where locks do not work (ENOLCK), so the holder of the lock is looked for.
    """
    name = error.sqlite_errorname or ""
    if "locked" in str(error):
        try:
            pid = next(
                (pid for suffix in ("", "-shm") if (pid := file_system.locked_by(Path(f"{path}{suffix}")))), None
            )
        except OSError as failed:
            unfit = file_system.unfit(path.parent, "lock files (fcntl)", failed)
            return StartError(StartCode.STATE_UNSUITABLE, f"{path}: {unfit.strerror}")
        if pid is None:
            detail = (
                f"{path} cannot be locked ({error}), and no process here has locked it: {mounts.of(path)} may not support "
                "locks, or a program on another machine has the file open"
            )
            return StartError(StartCode.JOURNAL_BUSY, detail)
        return StartError(
            StartCode.JOURNAL_BUSY, f"{path} is locked by the program with pid {pid} ({error}): close that one first"
        )
    if name.startswith(_REFUSED_BY_FILE_SYSTEM):
        detail = f"{path}: {mounts.of(path)} refuses an operation of SQLite ({name}: {error}): check the disk, or use another"
        return StartError(StartCode.JOURNAL_UNREADABLE, f"{detail}: --state-dir DIR")
    return None


def begun_anew(
    state_dir: Path, copy: Path, at_s: float, sieve: Callable[[list[Entry]], list[Entry]]
) -> tuple[sqlite3.Connection, list[Entry], bool]:
    """Return a journal that continues from `copy`, its entries, and whether it was created now.

    `sieve` drops the entries that refer to entries which the damage has taken. The corrupt file is renamed and kept. A journal
    that was created from the same copy before is opened. A sound journal is never replaced: StartError.
    """
    path = state_dir / FILE
    if path.exists() and path.stat().st_size:
        try:
            database, entries = _verified(path)
        except (sqlite3.DatabaseError, ValueError):
            pass
        else:
            if any(isinstance(entry.fact, Imported) and entry.fact.copy == str(copy) for entry in entries):
                return database, entries, False
            database.close()
            raise StartError(
                StartCode.JOURNAL_SOUND, f"{path} is sound: start without --journal-from, or with --fresh to archive it"
            )
    found = _sifted(journal_rows.imported(copy), sieve)
    set_aside(path, at_s)
    database = journal_rows.connect(path)
    try:
        journal_rows.prepare(database, path)
        database.execute("BEGIN IMMEDIATE")
        journal_rows.insert(database, found)
        database.execute("COMMIT")
        # The old mark goes last: until then a start without --journal-from is refused, because rows that it names are missing.
        set_aside(path.with_name(mark.FILE), at_s)
    except BaseException:  # raised again; only the descriptor must not stay open
        database.close()
        raise
    return database, [row.entry() for row in found], True


def _sifted(rows: list[JournalRow], sieve: Callable[[list[Entry]], list[Entry]]) -> list[JournalRow]:
    """Return the rows whose entries `sieve` keeps, numbered anew."""
    entries = [_entry(row) for row in rows]
    kept = {id(entry) for entry in sieve([entry for entry in entries if entry is not None])}
    return renumbered([row for row, entry in zip(rows, entries, strict=True) if id(entry) in kept])


def _entry(row: JournalRow) -> Entry | None:
    """Return the entry of a row of a copy; None if it cannot be read."""
    try:
        return row.entry()
    except FactInvalid as error:
        log.warning("entry %d is left out: %s", row.seq, error)
        return None


def renumbered(rows: list[JournalRow]) -> list[JournalRow]:
    """Return rows numbered from 1 without gaps, and so their records; references between rows (`abandons`) follow."""
    numbers = {row.seq: number for number, row in enumerate(rows, 1)}
    result: list[JournalRow] = []
    position, before = 0, None
    for number, row in enumerate(rows, 1):
        if row.position is None or row.position != before:
            position, before = position + 1, row.position
        data = row.data
        if row.type == Abandoned.TYPE:
            members = orjson.loads(data)
            members["abandons"] = numbers.get(members["abandons"], 0)
            data = orjson.dumps(members, option=orjson.OPT_SORT_KEYS).decode()
        result.append(row._replace(seq=number, data=data, position=position).sealed())
    return result
