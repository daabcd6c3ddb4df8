"""Records: their positions and keys on the disk, schema 1 raised to schema 2, and copies that keep all of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.store import journal_rows, mark
from router.control.store.journal_file import JournalFile
from router.control.store.journal_opening import begun_anew, opened, renumbered
from router.control.store.journal_rows import FILE, JournalRow, export, imported, readable, row
from router.control.store.records.request_key import RequestKey
from router.errors import StartError
from router.rollout.facts.entry import Entry
from router.runtime.failpoint import FailPoint
from tests.control.store.test_journal_file import entry, journal
from tests.stored.state import FOLDER
from tests.waiting import until

KEY = RequestKey("k" * 64, "r" * 64)
OLD = sorted(path.parent.name for path in FOLDER.glob(f"*/{FILE}"))


def rows(folder: Path) -> list[JournalRow]:
    """Return the rows as they are on the disk."""
    with closing(sqlite3.connect(folder / FILE)) as database:
        return [JournalRow(*values) for values in database.execute("SELECT * FROM entries ORDER BY seq")]


def places(folder: Path) -> list[tuple[int | None, str | None, str | None]]:
    return [(found.position, found.key, found.request) for found in rows(folder)]


async def test_a_record_is_what_one_call_writes(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry(), entry("confirmed"), key=KEY)
        numbers: list[int] = []
        assert kept.submit(entry(), entry(), on_done=numbers.extend)
        assert kept.submit(entry())
        await kept.append(entry())
        assert numbers == [3, 4]
        assert kept.waiting == 0
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry(), key=KEY)
    first = (KEY.key, KEY.request)
    assert places(tmp_path) == [
        (1, *first), (1, None, None), (2, None, None), (2, None, None), (3, None, None), (4, None, None), (5, *first),
    ]  # fmt: skip
    opened(tmp_path, 0.0)[0].close()


async def test_batches_that_share_a_transaction_are_records_of_their_own(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(3):
            kept.submit(entry(), entry())
        other.execute("ROLLBACK")
        other.close()
        await until(lambda: kept.waiting == 0)
    assert [position for position, _, _ in places(tmp_path)] == [1, 1, 2, 2, 3, 3]


async def test_a_record_that_is_struck_out_keeps_its_place(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        numbers = await kept.append(entry(), entry(), key=KEY)
        await kept.strike_out([replace(entry(), seq=seq) for seq in numbers])
    assert [position for position, _, _ in places(tmp_path)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ("position = 3", "wrong checksum"),
        ("key = 'other'", "wrong checksum"),
        ("request = NULL", "wrong checksum"),
        ("position = NULL, key = NULL, request = NULL", "wrong checksum"),
        ("key = NULL", "wrong checksum"),
    ],
)
async def test_what_a_record_is_stands_under_the_checksum(tmp_path: Path, change: str, refused: str) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
        await kept.append(entry(), key=KEY)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.executescript(f"DROP TRIGGER entries_stay; UPDATE entries SET {change} WHERE seq = 2")
    with pytest.raises(StartError, match=refused):
        opened(tmp_path, 0.0)


@pytest.mark.parametrize(
    ("positions", "sound"),
    [
        ([1, 1, 2], True), ([None, 2, 3], True), ([None, None, 3], True), ([1, 3, 4], False), ([2, 3, 4], False),
        ([1, 2, 1], False), ([1, None, 3], False), ([None, 1, 2], False), ([None, None, 2], False), ([0, 1, 2], False),
    ],
)  # fmt: skip
def test_positions_count_without_gaps_and_old_rows_count_each(
    tmp_path: Path, positions: list[int | None], sound: bool
) -> None:
    database, _ = opened(tmp_path, 0.0)
    for seq, position in enumerate(positions, 1):
        journal_rows.insert(database, [row(seq, entry(), position)])
    assert journal_rows.last_position(database) == (positions[-1] or 3)
    database.close()
    if sound:
        opened(tmp_path, 0.0)[0].close()
    else:
        with pytest.raises(StartError, match="of record"):
            opened(tmp_path, 0.0)


# -- schema 1
def old(name: str, folder: Path) -> list[Entry]:
    """Copy a journal of schema 1; return its entries, read without the code under test."""
    folder.mkdir(exist_ok=True)
    for path in (FOLDER / name).glob("journal.*"):
        shutil.copy(path, folder)
    with closing(sqlite3.connect(folder / FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
        found = database.execute(
            "SELECT type, service, actor, data, at, monotonic_ns, boot, seq FROM entries ORDER BY seq"
        ).fetchall()
    return [Entry.of(*values[:3], orjson.loads(values[3]), *values[4:]) for values in found]


def schema_of(folder: Path) -> int:
    with closing(sqlite3.connect(f"{(folder / FILE).as_uri()}?mode=ro", uri=True)) as database:
        (found,) = database.execute("PRAGMA user_version").fetchone()
        return int(found)


@pytest.mark.parametrize("name", OLD)
async def test_a_journal_of_schema_1_is_raised_and_goes_on(tmp_path: Path, name: str) -> None:
    before = old(name, tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        checksums = database.execute("SELECT crc FROM entries ORDER BY seq").fetchall()
    database, entries = opened(tmp_path, 0.0)
    assert entries == before
    assert schema_of(tmp_path) == 1, "the first record raises it"
    kept = JournalFile(database, len(entries), FailPoint())
    await kept.append(entry(), entry(), key=KEY)
    assert schema_of(tmp_path) == 2
    assert (await kept.entries(after=len(before) - 1))[0] == before[-1]
    await kept.close()
    found = rows(tmp_path)
    assert [(item.crc,) for item in found[: len(before)]] == checksums, "old rows stay as they are"
    assert {item.position for item in found[: len(before)]} == {None}
    assert [item.position for item in found[len(before) :]] == [len(before) + 1] * 2
    assert opened(tmp_path, 0.0)[1][: len(before)] == before


def test_a_damaged_journal_of_schema_1_is_not_raised(tmp_path: Path) -> None:
    before = old(OLD[0], tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE)) as database:
        database.executescript("DROP TRIGGER entries_stay; UPDATE entries SET actor = 'eve' WHERE seq = 2")
    with pytest.raises(StartError, match=f"entry 2 has a wrong checksum.*{len(before) - 1} entries can be read"):
        opened(tmp_path, 0.0)
    assert schema_of(tmp_path) == 1


@pytest.mark.parametrize("name", OLD)
async def test_while_it_may_not_be_raised_an_earlier_release_can_read_it(tmp_path: Path, name: str) -> None:
    before, may_raise = old(name, tmp_path), False
    database, _ = opened(tmp_path, 0.0)
    kept = JournalFile(database, len(before), FailPoint(), may_raise=lambda: may_raise)
    await kept.append(entry("boot", boot=9), entry("imported"))
    assert schema_of(tmp_path) == 1
    with closing(sqlite3.connect(tmp_path / FILE)) as reader:
        stored = reader.execute("SELECT * FROM entries ORDER BY seq").fetchall()
    for *members, crc in stored:
        assert crc == zlib.crc32(orjson.dumps(members)), "by the rule of schema 1"
    assert [values[0] for values in stored] == list(range(1, len(before) + 3))
    assert (await kept.entries(after=len(before)))[0].fact.to_data() == {"boot": 9}
    may_raise = True
    await kept.append(entry(), entry(), key=KEY)
    may_raise = False
    await kept.append(entry())
    await kept.close()
    assert schema_of(tmp_path) == 2
    assert places(tmp_path)[-1] == (len(before) + 4, None, None), "it stays raised"
    first = len(before) + 3  # each row of schema 1 counts as a record
    assert places(tmp_path)[-4:-1] == [(None, None, None), (first, KEY.key, KEY.request), (first, None, None)]
    opened(tmp_path, 0.0)[0].close()


DYING = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from router.control.store import journal_rows
from router.control.store.journal_file import JournalFile
from router.control.store.journal_opening import opened
from router.rollout.facts.entry import Entry
from router.runtime.failpoint import FailPoint

left = int(sys.argv[2])
connect = journal_rows.connect

def traced(path):
    database = connect(path)

    def statement(text):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    database.set_trace_callback(statement)
    return database

journal_rows.connect = traced

async def main():
    database, entries = opened(Path(sys.argv[1]), 0.0)
    journal = JournalFile(database, len(entries), FailPoint())
    await journal.append(Entry.of("of_the_kill", "svc", "ann", {}, 1.0, 1, 1))
    await journal.close()

asyncio.run(main())
"""


def test_a_kill_between_any_two_steps_of_the_raise_loses_nothing(tmp_path: Path) -> None:
    before = old(OLD[0], tmp_path)
    found, step, ended = set(), 0, False
    while not ended:
        step += 1
        folder = tmp_path / str(step)
        old(OLD[0], folder)
        told = subprocess.run(
            [sys.executable, "-c", DYING, str(folder), str(step)], capture_output=True, text=True, timeout=50
        )
        ended = told.returncode == 0
        assert ended or told.returncode == -9, told.stderr
        database, entries = opened(folder, 0.0)
        database.close()
        assert entries[: len(before)] == before
        found.add((schema_of(folder), len(entries) - len(before)))
    assert step > 8, "each statement was reached"
    assert found == {(1, 0), (2, 1)}, "raise and first record are one transaction"


# -- copies
STORED = '{"added":{"b":[1.5,null]},"generation":16777217,"to":"v2"}'


def unknown(seq: int, position: int | None = None, key: RequestKey | None = None) -> JournalRow:
    """Return a row of a type and with members that this release does not know."""
    made = row(seq, Entry.of("of_another_release", "svc", "ann", {}, 1000.25, 77, 1), position, key)
    return made._replace(data=STORED).sealed()


def test_a_copy_has_the_stored_json(tmp_path: Path) -> None:
    made = [unknown(1), unknown(2, 2, KEY), row(3, entry(), 2)]
    export(made, tmp_path / "copy.jsonl")
    lines = (tmp_path / "copy.jsonl").read_text("utf-8").splitlines()
    assert [STORED in line for line in lines] == [True, True, False]
    assert json.loads(lines[1]) == {
        "seq": 2, "at": 1000.25, "monotonic_ns": 77, "boot": 1, "service": "svc", "type": "of_another_release",
        "actor": "ann", "data": json.loads(STORED), "position": 2, "key": KEY.key, "request": KEY.request,
    }  # fmt: skip
    assert [found.sealed() for found in imported(tmp_path / "copy.jsonl")] == made


def test_a_journal_that_is_begun_from_a_copy_has_records_without_gaps(tmp_path: Path) -> None:
    made = [unknown(1), unknown(2), row(5, entry(), 4), row(6, entry(), 4), unknown(7, 5, KEY), row(9, entry(), 8)]
    copy = tmp_path / "copy.jsonl"
    export(made, copy)
    database, entries, _ = begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert [found.seq for found in entries] == [1, 2, 3, 4, 5, 6]
    assert journal_rows.last_position(database) == 5
    assert journal_rows.keyed(database, 0.0, 10) == {5: KEY}
    database.close()
    assert [found.position for found in rows(tmp_path)] == [1, 2, 3, 3, 4, 5]
    assert [found.data for found in rows(tmp_path)] == [item.data for item in made]
    assert opened(tmp_path, 0.0)[1] == entries


def test_rows_that_are_left_out_take_their_place_with_them() -> None:
    abandoned = row(3, entry("abandoned", abandons=2), 3)._replace(data='{"abandons":2,"of":1}').sealed()
    found = renumbered([row(2, entry(), 2), abandoned])
    assert [(item.seq, item.position) for item in found] == [(1, 1), (2, 2)]
    assert orjson.loads(found[1].data) == {"abandons": 1, "of": 1}


@pytest.mark.parametrize("name", OLD)
async def test_the_copy_of_a_damaged_journal_has_its_records(tmp_path: Path, name: str) -> None:
    before = old(name, tmp_path)
    assert [found.entry() for found in readable(tmp_path / FILE)] == before
    (tmp_path / mark.FILE).unlink(missing_ok=True)
    database, entries = opened(tmp_path, 0.0)
    kept = JournalFile(database, len(entries), FailPoint())
    await kept.append(entry(), key=KEY)
    await kept.close()
    last = readable(tmp_path / FILE)[-1]
    assert (last.position, last.key) == (len(before) + 1, KEY.key)


@pytest.mark.parametrize("line", ['{"data": 3}', "[]", '{"type": "x", "data": {}}', '{"data": {}, "later": 1}'])
def test_a_line_that_is_no_row(tmp_path: Path, line: str) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text(line)
    with pytest.raises(StartError) as caught:
        imported(copy)
    assert (caught.value.code, f"{copy}, line 1" in caught.value.detail) == ("journal_copy_invalid", True)


def test_keys_are_read_newest_first_and_given_oldest_first(tmp_path: Path) -> None:
    database, _ = opened(tmp_path, 0.0)
    keys = [RequestKey(f"k{number}", "r") for number in range(5)]
    written: list[Any] = [row(seq, replace(entry(), at=1000.0 + seq), seq, key) for seq, key in enumerate(keys, 1)]
    journal_rows.insert(database, written)
    assert list(journal_rows.keyed(database, 1000.0, 3).items()) == [(3, keys[2]), (4, keys[3]), (5, keys[4])]
    assert list(journal_rows.keyed(database, 1004.0, 3)) == [5]
    database.close()
