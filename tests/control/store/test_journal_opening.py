"""A file system that refuses an operation is not called a damaged journal, nor a lock of another program."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from router.control.store.journal_opening import opened
from router.control.store.journal_rows import FILE
from router.errors import StartError
from router.runtime.exit_codes import exit_code

HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA locking_mode = EXCLUSIVE")
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def refusal(folder: Path) -> StartError:
    with pytest.raises(StartError) as caught:
        opened(folder, 0.0)
    assert exit_code(caught.value) in (5, 6)
    assert not list(folder.glob("journal-readable-*")), "it was taken for a damaged journal"
    return caught.value


def test_the_program_that_has_locked_it_is_named(tmp_path: Path) -> None:
    opened(tmp_path, 0.0)[0].close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / FILE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        error = refusal(tmp_path)
        assert (error.code, f"pid {holder.pid}" in error.detail) == ("journal_busy", True), error.detail
        holder.communicate(b"")
    database, _ = opened(tmp_path, 0.0)
    database.close()


class Locked(sqlite3.OperationalError):
    sqlite_errorname = "SQLITE_BUSY"


def test_locks_that_do_not_work_are_not_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(tmp_path, 0.0)[0].close()

    def locked(*_: object, **__: object) -> object:
        raise Locked("database is locked")  # what SQLite makes of ENOLCK

    monkeypatch.setattr(sqlite3, "connect", locked)
    error = refusal(tmp_path)
    assert (error.code, " at " in error.detail, "pid" in error.detail) == ("journal_busy", True, False)
    real = fcntl.fcntl

    def no_locks(fd: int, command: int, *rest: object) -> object:
        if command == fcntl.F_GETLK:
            raise OSError(37, os.strerror(37))
        return real(fd, command, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "fcntl", no_locks)
    error = refusal(tmp_path)
    assert (error.code, os.strerror(37) in error.detail) == ("state_unsuitable", True)


@pytest.mark.parametrize(
    "name",
    ["SQLITE_IOERR_SHMMAP", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_LOCK", "SQLITE_FULL", "SQLITE_READONLY_DIRECTORY"],
)
def test_an_operation_that_is_refused_is_named_with_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    opened(tmp_path, 0.0)[0].close()

    class Refused(sqlite3.OperationalError):
        sqlite_errorname = name

    def refused(*_: object, **__: object) -> object:
        raise Refused("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", refused)
    error = refusal(tmp_path)
    assert (error.code, name in error.detail, " at " in error.detail) == ("journal_unreadable", True, True)
