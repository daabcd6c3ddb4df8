"""What is undelivered survives; a file that cannot be read costs an alarm and no start."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from router.control.store.outbox import FILE, KEPT_S, Outbox, Stock, opened
from tests.waiting import until

NOW = 1_000_000.0


def plain(notice_id: str) -> dict[str, Any]:
    return {"id": notice_id, "title": "é"}


async def kept(folder: Path, *steps: tuple[Any, ...], now_s: float = NOW, **limits: int) -> Stock:
    """Do `steps` in one life; return what the next one finds."""
    box = Outbox(opened(folder, NOW)[0], lambda why: None, **limits)
    for name, *values in steps:
        getattr(box, name)(*values)
    await box.close()
    database, stock = opened(folder, now_s)
    database.close()
    return stock


async def test_what_is_undelivered_survives_in_its_order(tmp_path: Path) -> None:
    stock = await kept(
        tmp_path,
        ("opened_channel", "ops", 5.0),
        *(("put", "ops", plain(f"n{number}"), NOW) for number in (2, 1, 3)),
        ("put", "ops", plain("n1"), NOW),
        ("put", "mail", plain("n1"), NOW),
        ("finished", "ops", "n1"),
        ("opened_channel", "ops", 9.0),
    )
    assert stock.pending == [("ops", plain("n2")), ("ops", plain("n3")), ("mail", plain("n1"))]
    assert stock.known == {("ops", "n1"), ("ops", "n2"), ("ops", "n3"), ("mail", "n1")}
    assert (stock.since, stock.set_aside) == ({"ops": 5.0}, None)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


async def test_a_channel_that_is_gone_leaves_nothing(tmp_path: Path) -> None:
    stock = await kept(
        tmp_path, ("opened_channel", "ops", 5.0), ("put", "ops", plain("n1"), NOW), ("closed_channel", "ops")
    )
    assert (stock.pending, stock.known, stock.since) == ([], set(), {})


async def test_finished_ones_are_forgotten_after_a_while(tmp_path: Path) -> None:
    steps = (("put", "ops", plain("old"), NOW), ("finished", "ops", "old"), ("put", "ops", plain("owed"), NOW))
    stock = await kept(tmp_path, *steps, now_s=NOW + KEPT_S + 1)
    assert stock.known == {("ops", "owed")}


async def test_or_when_they_are_too_many(tmp_path: Path) -> None:
    database, _ = opened(tmp_path, NOW)
    database.executemany(
        "INSERT INTO notices (channel, id, at) VALUES ('ops', ?, ?)", [(str(n), NOW) for n in range(8)]
    )
    box = Outbox(database, lambda why: None, kept_max=5)
    box.prune(NOW)
    await box.close()
    database, stock = opened(tmp_path, NOW)
    database.close()
    assert stock.known == {("ops", str(n)) for n in range(3, 8)}


async def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database at all, but long enough to be taken for one" * 10)
    stock = await kept(tmp_path, ("put", "ops", plain("n1"), NOW))
    assert stock.pending == [("ops", plain("n1"))]
    aside = tmp_path / "outbox.corrupt-19700112T134640.000000Z.sqlite"
    assert aside.read_bytes().startswith(b"no database")
    database, stock = opened(tmp_path, NOW)
    database.execute("PRAGMA user_version = 99")
    database.close()
    database, stock = opened(tmp_path, NOW + 1)
    database.close()
    assert stock.set_aside is not None


async def test_a_disk_that_takes_nothing_is_told_once_and_again_when_it_does(tmp_path: Path) -> None:
    told: list[str | None] = []
    database, _ = opened(tmp_path, NOW)
    box = Outbox(database, told.append)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    database.execute("PRAGMA busy_timeout = 1")
    other.execute("BEGIN EXCLUSIVE")
    box.put("ops", plain("n1"), NOW)
    box.put("ops", plain("n2"), NOW)
    await until(lambda: told)
    await until(lambda: not box.waiting)
    other.execute("ROLLBACK")
    other.close()
    box.put("ops", plain("n3"), NOW)
    await box.close()
    assert told == ["OperationalError: database is locked", None]


async def test_the_queue_to_the_disk_is_bounded(tmp_path: Path) -> None:
    stock = await kept(tmp_path, ("put", "ops", plain("n1"), NOW), jobs_max=0)
    assert stock.pending == []
