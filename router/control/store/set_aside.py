"""Damaged files are set aside: they are renamed, never deleted, so that an operator can look at them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from router.runtime import clock

_WORD: Final = ".corrupt-"
_COMPANIONS: Final = ("", "-wal", "-shm")


def set_aside(path: Path, at_s: float) -> Path:
    """Rename a file, and the companions of a SQLite file, as far as they exist; raise OSError.

    Return the new path: `journal.sqlite` becomes `journal.corrupt-20260102T030405.678901Z.sqlite`. `at_s` is wall seconds.
    """
    aside = path.with_name(f"{path.stem}{_WORD}{clock.file_stamp(at_s)}{path.suffix}")
    for companion in _COMPANIONS:
        part = path.with_name(path.name + companion)
        if part.exists():
            os.rename(part, aside.with_name(aside.name + companion))
    return aside


def discard_aside(path: Path, now_s: float, after_s: float) -> list[str]:
    """Delete what was set aside of `path` longer than `after_s` ago; return the names."""
    gone = []
    for aside in path.parent.glob(f"{path.stem}{_WORD}*"):
        if now_s - aside.lstat().st_mtime >= after_s:
            aside.unlink()
            gone.append(aside.name)
    return sorted(gone)
