"""How the journal is opened at a start: verified, or told apart from a corrupt one, or begun anew from a readable copy."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from router.control.store import rows
from router.control.store.rows import EXIT_CORRUPT, FILE, Corrupt
from router.errors import StartError
from router.rollout import entry as kinds
from router.rollout.entry import Entry


def opened(state_dir: Path, at_s: float) -> tuple[sqlite3.Connection, list[Entry]]:
    """Return the verified journal of `state_dir` and all its entries.

    Raise StartError (6) if it is corrupt: what can be read is then in a copy beside it, and the error gives the command
    that continues. `at_s` (wall time) names the copy.
    """
    path = state_dir / FILE
    try:
        return _verified(path)
    except (Corrupt, sqlite3.DatabaseError, ValueError) as error:
        raise corrupt(state_dir, error, at_s) from None
    except OSError as error:
        raise StartError("journal_unreadable", f"{path}: {error.strerror}", EXIT_CORRUPT) from None


def _verified(path: Path) -> tuple[sqlite3.Connection, list[Entry]]:
    database = rows.connect(path)
    try:
        rows.prepare(database, path)
        return database, rows.verified(database)
    except BaseException:  # whatever it is goes on up; only the descriptor must not
        database.close()
        raise


def corrupt(state_dir: Path, error: Exception, at_s: float) -> StartError:
    """Return the error that ends the start: it names the file and its readable copy, and gives the command that continues."""
    path = state_dir / FILE
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return StartError(
            "journal_busy", f"{path} is locked by another program ({error}): close that one first", EXIT_CORRUPT
        )
    entries = rows.readable(path)
    copy = path.with_name(f"journal-readable-{_stamp(at_s)}.jsonl")
    try:
        rows.export(entries, copy)
    except OSError as failed:
        return StartError(
            "journal_corrupt", f"{path} is corrupt ({error}), and no copy can be made: {failed}", EXIT_CORRUPT
        )
    last = next((entry for entry in reversed(entries) if "to" in entry.data), None)
    version = last.data["to"] if last else "VERSION"
    return StartError(
        "journal_corrupt",
        f"{path} is corrupt ({error}). {len(entries)} entries can be read and are in {copy}"
        + (f"; the last switch among them made {version} active in {last.service}. " if last else ". ")
        + "Find out which version serves, then continue with: "
        f"rollback-router run --assume-active {version} --journal-from {copy} (and your other options)",
        EXIT_CORRUPT,
    )


def begun_anew(
    state_dir: Path, copy: Path, at_s: float, sieve: Callable[[list[Entry]], list[Entry]]
) -> tuple[sqlite3.Connection, list[Entry], bool]:
    """Return a journal that goes on from `copy`, its entries, and whether it was begun now.

    `sieve` keeps those entries that make sense without the ones that damage has taken. The corrupt file is renamed and
    kept. A journal that was begun from this very copy before is simply opened; a sound one is never replaced: StartError (2).
    """
    path = state_dir / FILE
    if path.exists() and path.stat().st_size:
        try:
            database, entries = _verified(path)
        except (Corrupt, sqlite3.DatabaseError, ValueError):
            pass
        else:
            if any(entry.type == kinds.IMPORTED and entry.data["copy"] == str(copy) for entry in entries):
                return database, entries, False
            database.close()
            raise StartError(
                "journal_sound", f"{path} is sound: start without --journal-from, or with --fresh to archive it", 2
            )
    found = renumbered(sieve(rows.imported(copy)))
    _put_aside(path, at_s)
    database, _ = _verified(path)
    database.execute("BEGIN IMMEDIATE")
    database.executemany(rows.INSERT, [rows.row(entry.seq, entry) for entry in found])
    database.execute("COMMIT")
    return database, found, True


def renumbered(entries: list[Entry]) -> list[Entry]:
    """Return entries numbered from 1 without gaps; what names another one by its number follows it."""
    numbers = {entry.seq: number for number, entry in enumerate(entries, 1)}
    result = []
    for number, entry in enumerate(entries, 1):
        data = entry.data
        if "abandons" in data:
            data = {**data, "abandons": numbers.get(data["abandons"], 0)}
        result.append(replace(entry, seq=number, data=data))
    return result


def _put_aside(path: Path, at_s: float) -> None:
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            os.rename(part, path.with_name(f"journal.corrupt-{_stamp(at_s)}.sqlite{suffix}"))


def _stamp(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y%m%dT%H%M%S.%fZ}"
