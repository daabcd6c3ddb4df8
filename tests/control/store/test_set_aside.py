"""Damaged files are renamed with their companions, and deleted when they have expired."""

from __future__ import annotations

import os
from pathlib import Path

from router.control.store.set_aside import discard_aside, set_aside

AT_S = 1_700_000_000.0
ASIDE = "cases.corrupt-20231114T221320.000000Z.sqlite"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def damaged(folder: Path) -> Path:
    """Make a file with one of its companions, and a file that is another store's."""
    for name in ("cases.sqlite", "cases.sqlite-wal", "history.sqlite"):
        (folder / name).write_text(name)
    return folder / "cases.sqlite"


def test_a_file_is_renamed_with_its_companions(tmp_path: Path) -> None:
    assert set_aside(damaged(tmp_path), AT_S) == tmp_path / ASIDE
    assert names(tmp_path) == [ASIDE, f"{ASIDE}-wal", "history.sqlite"]
    assert (tmp_path / f"{ASIDE}-wal").read_text() == "cases.sqlite-wal"


def test_a_missing_file_is_no_error(tmp_path: Path) -> None:
    set_aside(tmp_path / "journal.mark", AT_S)
    assert names(tmp_path) == []


def test_expired_files_are_deleted_and_no_others(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    set_aside(path, AT_S)
    set_aside(tmp_path / "history.sqlite", AT_S)
    path.write_text("in use")
    for name in names(tmp_path):
        os.utime(tmp_path / name, (AT_S, AT_S))
    assert discard_aside(path, AT_S + 99, 100.0) == []
    assert discard_aside(path, AT_S + 100, 100.0) == [ASIDE, f"{ASIDE}-wal"]
    assert names(tmp_path) == ["cases.sqlite", "history.corrupt-20231114T221320.000000Z.sqlite"]
