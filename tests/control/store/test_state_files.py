"""No file of the state directory is opened, cut or chmodded if it is a link, or another user's."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from router.control.incidents.files import IncidentFiles
from router.control.monitors.alarms import Alarms
from router.control.proposals import links
from router.control.store import cases_file, history_file, journal_opening, journal_rows, outbox
from router.control.store.cases_file import CasesFile
from router.control.store.history_file import HistoryFile
from router.errors import StartError
from router.runtime.exit_codes import exit_code
from tests.texts import golden
from tests.waiting import until

OPENERS: dict[str, Callable[[Path], Any]] = {
    journal_rows.FILE: lambda path: closing(journal_opening.opened(path.parent, 0.0)[0]),
    history_file.FILE: lambda path: closing(HistoryFile.opened(path)),
    cases_file.FILE: lambda path: closing(CasesFile(path)),
    outbox.FILE: lambda path: closing(outbox.opened(path.parent, 0.0)[0]),
}


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A sound, empty database of somebody's, which any of these programs would make its own."""
    (tmp_path / "elsewhere").mkdir()
    made = tmp_path / "elsewhere" / "precious"
    made.touch()
    made.chmod(0o644)
    return made


@pytest.mark.parametrize("name", OPENERS)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("trap", [Path.symlink_to, Path.hardlink_to])
def test_a_database_behind_a_link_is_left_alone(
    tmp_path: Path, precious: Path, name: str, suffix: str, trap: Callable[[Path, Path], None]
) -> None:
    trap(tmp_path / f"{name}{suffix}", precious)
    with pytest.raises((OSError, StartError)) as caught:
        OPENERS[name](tmp_path / name)
    if isinstance(caught.value, StartError):
        assert (caught.value.code, exit_code(caught.value)) == ("state_not_ours", 5)
        assert f"{name}{suffix} " in caught.value.detail
    else:
        assert f"{name}{suffix} " in str(caught.value.strerror)
    assert (precious.stat().st_size, precious.stat().st_mode & 0o777) == (0, 0o644)
    assert [item.name for item in precious.parent.iterdir()] == ["precious"]


@pytest.mark.parametrize("name", OPENERS)
def test_a_database_of_ours_is_opened_and_opened_again(tmp_path: Path, name: str) -> None:
    for _ in range(2):
        with OPENERS[name](tmp_path / name):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_who_reads_the_history_follows_no_link_either(tmp_path: Path, precious: Path) -> None:
    (tmp_path / history_file.FILE).symlink_to(precious)
    with pytest.raises(sqlite3.OperationalError, match="is a symbolic link"):
        HistoryFile.to_read(tmp_path / history_file.FILE)


def test_to_look_at_a_database_takes_no_lock_from_who_writes_it(tmp_path: Path) -> None:
    """A process that closes any descriptor of a file gives up its locks on it (fcntl(2))."""
    writer = HistoryFile.opened(tmp_path / history_file.FILE)
    writer.database.execute("BEGIN IMMEDIATE")
    HistoryFile.to_read(tmp_path / history_file.FILE).close()
    script = (
        f"import sqlite3; sqlite3.connect({str(tmp_path / history_file.FILE)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    )
    assert "database is locked" in _failure(script)
    writer.database.execute("ROLLBACK")
    writer.close()
    assert _failure(script) == ""


def _failure(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("trap", [Path.symlink_to, Path.hardlink_to, lambda path, _: os.mkfifo(path)])
def test_the_secret_of_the_links_is_read_from_no_link(
    tmp_path: Path, precious: Path, trap: Callable[[Path, Path], None]
) -> None:
    precious.write_bytes(bytes(links.SECRET_BYTES))
    trap(tmp_path / links.SECRET, precious)
    alarms = Alarms()
    links.opened(tmp_path, alarms)
    assert [alarm["code"] for alarm in alarms.listing()] == ["links_invalid"]
    assert precious.stat().st_mode & 0o777 == 0o644
    assert precious.read_bytes() == bytes(links.SECRET_BYTES)


async def stored(folder: Path) -> list[str | None]:
    """Have the files of an incident written; return what was said of the disk."""
    said: list[str | None] = []
    files = IncidentFiles(folder, 10, said.append)
    files.put("svc-1-1", {".json": b"{}"})
    await until(lambda: said or not files.waiting)
    assert (await files.read("svc-1-1") == b"{}") is not bool(said)
    await files.close()
    return said


def size(path: Path) -> int:
    return path.lstat().st_size


async def test_incidents_are_written_into_no_linked_folder(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "incidents").symlink_to(precious.parent)
    (said,) = await stored(tmp_path)
    assert golden("state.linked_directory") in str(said)
    assert [item.name for item in precious.parent.iterdir()] == ["precious"]


async def test_a_file_that_a_kill_has_left_is_not_cut_where_it_has_another_name(tmp_path: Path, precious: Path) -> None:
    os.truncate(precious, 8)
    (tmp_path / "incidents").mkdir(mode=0o700)
    (tmp_path / "incidents" / ".svc-1-1.json.new").hardlink_to(precious)
    assert await stored(tmp_path) == []
    assert (size(precious), size(tmp_path / "incidents" / "svc-1-1.json")) == (8, 2)


async def test_an_incident_behind_a_link_is_not_shown(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "incidents").mkdir(mode=0o700)
    (tmp_path / "incidents" / "svc-1-2.json").symlink_to(precious)
    os.mkfifo(tmp_path / "incidents" / "svc-1-3.json")
    files = IncidentFiles(tmp_path, 10)
    assert [await files.read(f"svc-1-{number}") for number in (2, 3)] == [None, None]
    await files.close()
