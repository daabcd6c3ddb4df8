"""The router starts on the state directories of earlier commits and reads all of their state (tests/stored)."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.control.receiver import Receiver, receiving
from tests.end_to_end.real_router import RefusedError, Router
from tests.stored.make import promoted
from tests.stored.state import FACTS, FOLDER, facts, lasting, missing, model_servers, settings, url

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(90)]

SETS = sorted(path.parent.name for path in FOLDER.glob(f"*/{FACTS}"))
LATER_S = 60.0
IN_PLACE = {"marks"}
"""Tables whose rows are written over: how far the history has counted."""


def files(folder: Path) -> set[str]:
    """Return the names of the files below `folder`, without what every router makes at its start or while it runs."""
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    made = {"lock", "proposal-links.key", "journal.mark", FACTS}
    return {name for name in names - made if not name.endswith(("-wal", "-shm", ".md", ".html", ".svg"))}


def rows(file: Path) -> dict[str, Counter[frozenset[tuple[str, Any]]]]:
    """Return the rows of each table of a file that no process has open, as (column, value); nothing is written beside it."""
    database = sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)
    try:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: Counter(_rows_of(database, table)) for table in tables}
    finally:
        database.close()


def _rows_of(database: sqlite3.Connection, table: str) -> Iterator[frozenset[tuple[str, Any]]]:
    cursor = database.execute(f"SELECT * FROM {table}")
    columns = [column[0] for column in cursor.description]
    return (frozenset(zip(columns, row, strict=True)) for row in cursor.fetchall())


def lost(before: Counter[frozenset[tuple[str, Any]]], now: Counter[frozenset[tuple[str, Any]]]) -> bool:
    """Return whether a stored row is missing; columns that a later release has added do not count."""
    columns = {column for row in before for column, _ in row}
    return not before <= Counter(frozenset(cell for cell in row if cell[0] in columns) for row in now.elements())


def clock_of(folder: Path, at_s: float) -> str:
    """Return a PYTHONPATH with which Python's wall clock begins at `at_s`: what is stored expires, and may be from a future."""
    folder.mkdir()
    shift = at_s - time.time()
    (folder / "sitecustomize.py").write_text(
        f"import time\n_real = time.time\ntime.time = lambda: _real() + {shift!r}\n", "utf-8"
    )
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


@asynccontextmanager
async def started(folder: Path, name: str, made_s: float) -> AsyncIterator[tuple[Router, Receiver]]:
    """Run a router on a copy of the set `name`, a minute after it was made; it has to leave with 0."""
    async with model_servers(), receiving() as receiver:
        router = Router(folder, settings(receiver.url), workers=1)
        shutil.copytree(FOLDER / name, router.state, ignore=shutil.ignore_patterns(FACTS))
        try:
            await router.start(PYTHONPATH=clock_of(folder / "clock", made_s + LATER_S))
            yield router, receiver
            await router.check()
        finally:
            code = await router.stop()
    assert code == 0, router.log[-4000:]
    router.check_log()


@pytest.mark.parametrize("name", SETS)
async def test_an_earlier_state_directory_is_what_it_was(tmp_path: Path, name: str) -> None:
    stored = lasting(json.loads((FOLDER / name / FACTS).read_text("utf-8")))
    async with started(tmp_path, name, stored["made_s"]) as (router, receiver):
        await router.wait_ready("v5")
        found = await facts(router, stored["since"], stored["until"])
        assert missing({member: stored[member] for member in found}, found) == []
        boots = [datetime.fromisoformat(entry["at"]).timestamp() for entry in await router.journal("boot")]
        assert 0 <= boots[-1] - stored["made_s"] - LATER_S < 60, "the router's clock was not the one of the set"
        assert receiver.got == [], "a notification is sent twice"
        await goes_on(router, len(stored["service"]["incidents_open"]))
    before, now = files(FOLDER / name), files(router.state)
    assert before <= now, "a file is gone"
    made = {"sessions.key"}  # the key of cookies, which an earlier router did not have
    assert {name for name in now - before - made if not name.startswith("incidents/")} == set(), "a file was set aside"
    for path in (FOLDER / name).glob("*.sqlite"):
        found_rows = rows(router.state / path.name)
        for table, stored_rows in rows(path).items():
            assert table in IN_PLACE or not lost(stored_rows, found_rows[table]), (
                f"{path.name} has lost rows of {table}"
            )


async def goes_on(router: Router, incidents: int) -> None:
    """What is quarantined is refused; the candidate passes the stored cases and is promoted; the way back leads to v4."""
    for version in ("v2", "v3"):
        with pytest.raises(RefusedError) as refused:
            await router.verb("deploy", version=version, endpoints=[url(version)], replace=True)
        assert refused.value.code == "version_quarantined"
    await router.verb("unfreeze", reason="the night is over")
    assert (await router.service())["frozen"] is None
    await promoted(router, "v5")
    assert (await router.service())["active"] == "v5"
    await router.verb("rollback", reason="a second look")
    service = await router.service()
    assert (service["active"], len(service["incidents_open"])) == ("v4", incidents + 1)


def test_there_are_sets() -> None:
    assert len(SETS) >= 2
