from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from router.control.store.journal_file import JournalFile, JournalUnavailable
from router.control.store.journal_opening import begun_anew, corrupt, opened
from router.control.store.journal_rows import FILE, SCHEMA_VERSION, export, row
from router.errors import Refusal, StartError
from router.rollout.facts.entry import Entry
from router.runtime.exit_codes import exit_code
from router.runtime.failpoint import FailPoint
from tests.waiting import until


def entry(kind: str = "promoted", service: str = "svc", **data: object) -> Entry:
    return Entry.of(kind, service, "ann", dict(data), 1000.25, 77, 1)


def entries_of(folder: Path) -> list[Entry]:
    """Return the entries of the journal in `folder`, as a start finds them."""
    database, entries = opened(folder, 0.0)
    database.close()
    return entries


class Errors(list[str | None]):
    """What the journal has said of the disk."""


@asynccontextmanager
async def journal(folder: Path) -> AsyncIterator[tuple[JournalFile, list[Entry], Errors]]:
    database, entries = opened(folder, 0.0)
    errors = Errors()
    made = JournalFile(database, entries[-1].seq if entries else 0, FailPoint(), errors.append)
    yield made, entries, errors
    await made.close()


async def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, before, errors):
        assert before == []
        assert await kept.append(entry(to="v2"), entry("confirmed")) == [1, 2]
        assert await kept.append(entry(service="other")) == [3]
        found = await kept.entries(after=1, limit=10)
        assert found == [replace(entry("confirmed"), seq=2), replace(entry(service="other"), seq=3)]
        assert await kept.entries(service="other") == found[1:]
        assert await kept.entries(limit=1) == [replace(entry(to="v2"), seq=1)]
        assert errors == []
    assert entries_of(tmp_path) == [replace(entry(to="v2"), seq=1), *found]


async def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
        modes = {name: oct(os.stat(tmp_path / name).st_mode & 0o777) for name in os.listdir(tmp_path)}
        assert modes == dict.fromkeys((FILE, f"{FILE}-wal", f"{FILE}-shm", "journal.mark"), "0o600")


async def test_every_commit_is_an_fsync(tmp_path: Path) -> None:
    database, _ = opened(tmp_path, 0.0)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


@pytest.mark.parametrize("statement", ["UPDATE entries SET actor = 'eve'", "DELETE FROM entries"])
async def test_it_is_append_only(tmp_path: Path, statement: str) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
    database = sqlite3.connect(tmp_path / FILE)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement)
    database.close()


async def test_a_busy_disk_refuses_people_and_keeps_the_verdict_for_later(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, errors):
        await kept.append(entry())
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        numbers: list[int] = []
        assert kept.submit(entry("rolled_back"), on_done=numbers.extend)
        with pytest.raises(JournalUnavailable) as caught:
            await kept.append(entry("switched"))
        assert (caught.value.code, caught.value.in_doubt) == ("journal_unavailable", False)
        assert (numbers, kept.waiting, errors) == ([], 1, ["OperationalError: database is locked"])
        other.execute("ROLLBACK")
        other.close()
        # What waited is written first, also if the next change comes before the next attempt.
        assert await kept.append(entry("switched")) == [3]
        await until(lambda: numbers == [2])
        assert (kept.waiting, errors) == (0, ["OperationalError: database is locked", None])
        assert [told.type for told in await kept.entries()] == ["promoted", "rolled_back", "switched"]


async def test_a_read_only_file_refuses_people(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
    database = sqlite3.connect(
        f"{(tmp_path / FILE).as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
    )
    errors: list[str | None] = []
    read_only = JournalFile(database, 1, FailPoint(), errors.append)
    with pytest.raises(JournalUnavailable, match="readonly"):
        await read_only.append(entry())
    assert read_only.submit(entry("rolled_back"))
    assert await read_only.close() is False, "whoever takes over would not read it"
    assert errors == ["OperationalError: attempt to write a readonly database"]


FULL = """
import asyncio, resource, sys
from pathlib import Path
from router.control.store.journal_file import JournalFile, JournalUnavailable
from router.control.store.journal_opening import opened
from router.runtime.failpoint import FailPoint
from router.rollout.facts.entry import Entry

async def main():
    database, entries = opened(Path(sys.argv[1]), 0.0)
    troubles = []
    journal = JournalFile(database, 0, FailPoint(), troubles.append)
    entry = Entry.of("promoted", "svc", "ann", {"reason": "x" * 9000}, 1.0, 1, 1)
    await journal.append(entry)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    written = 1
    try:
        while True:
            await journal.append(entry)
            written += 1
    except JournalUnavailable as error:
        print(error.code)
    numbers = []
    journal.submit(entry, on_done=numbers.extend)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    while not numbers:
        await asyncio.sleep(0.01)
    await journal.close()
    print(numbers[0] - written, len(troubles), troubles[-1])

asyncio.run(main())
"""


def test_a_full_disk_refuses_people_and_takes_the_verdict_once_there_is_room(tmp_path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=50, check=True
    )
    assert told.stdout == "journal_unavailable\n1 2 None\n"
    numbers = [found.seq for found in entries_of(tmp_path)]
    assert numbers == list(range(1, len(numbers) + 1))


async def test_what_never_reached_the_disk_is_refused_and_not_written_later(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
        other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalUnavailable, match="nothing was changed") as caught:
            await kept.append(entry("switched"), timeout_s=0.05)
        assert (caught.value.in_doubt, caught.value.facts) == (False, {"in_doubt": False})
        other.execute("ROLLBACK")
        other.close()
        assert await kept.append(entry("frozen")) == [2]
        assert [told.type for told in await kept.entries()] == ["promoted", "frozen"]


async def test_an_unfinished_tail_is_dropped_in_silence(tmp_path: Path) -> None:
    """Copies of the files as a power cut would leave them, the WAL cut at every 1,000th byte of the last transaction."""
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry(number=1))
        whole = (tmp_path / f"{FILE}-wal").stat().st_size
        await kept.append(entry(number=2, reason="x" * 9000))
        wal, main = (tmp_path / f"{FILE}-wal").read_bytes(), (tmp_path / FILE).read_bytes()
    for length in range(whole, len(wal), 1000):
        folder = tmp_path / str(length)
        folder.mkdir()
        (folder / FILE).write_bytes(main)
        (folder / f"{FILE}-wal").write_bytes(wal[:length])
        database, entries = opened(folder, 0.0)
        assert entries == [replace(entry(number=1), seq=1)]
        database.close()


async def fill(folder: Path, count: int = 300) -> None:
    async with journal(folder) as (kept, _, _):
        await kept.append(*[entry("switched", to=f"v{number}", reason="x" * 300) for number in range(count)])


def damage(path: Path, offset: int, length: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes(byte ^ 0x01 for byte in content[offset : offset + length])
    path.write_bytes(content)


async def test_a_damaged_page_ends_the_start_with_the_command_that_continues(tmp_path: Path) -> None:
    await fill(tmp_path)
    damage(tmp_path / FILE, 15 * 4096, 200)
    with pytest.raises(StartError) as caught:
        opened(tmp_path, 86_400.0)
    (name,) = [name for name in os.listdir(tmp_path) if name.endswith(".jsonl")]
    copy = tmp_path / name
    assert (exit_code(caught.value), caught.value.code) == (6, "journal_corrupt")
    assert copy.name == "journal-readable-19700102T000000.000000Z.jsonl"
    assert str(tmp_path / FILE) in caught.value.detail
    assert f"rollback-router run --assume-active v299 --journal-from {copy}" in caught.value.detail
    database, entries, begun = begun_anew(tmp_path, copy, 86_400.0, lambda found: found)
    assert begun
    assert 200 < len(entries) < 300
    assert [found.seq for found in entries] == list(range(1, len(entries) + 1))
    assert (entries[0].fact.to_data()["to"], entries[-1].fact.to_data()["to"]) == ("v0", "v299")
    assert (tmp_path / "journal.corrupt-19700102T000000.000000Z.sqlite").exists()
    database.close()
    assert entries_of(tmp_path) == entries


async def test_one_changed_bit_of_a_row_is_noticed(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    damage(tmp_path / FILE, (tmp_path / FILE).read_bytes().index(b'"to":"v1"') + 6)
    with pytest.raises(StartError, match="entry 2 has a wrong checksum"):
        opened(tmp_path, 0.0)


async def test_a_missing_row_is_noticed(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    database = sqlite3.connect(tmp_path / FILE)
    database.executescript("DROP TRIGGER entries_remain; DELETE FROM entries WHERE seq = 2")
    database.close()
    with pytest.raises(StartError, match="entry 2 is missing"):
        opened(tmp_path, 0.0)


@pytest.mark.parametrize("content", [b"hello, world" * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_journal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(StartError) as caught:
        opened(tmp_path, 0.0)
    assert exit_code(caught.value) == 6
    assert "--assume-active VERSION" in caught.value.detail


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database, _ = opened(tmp_path, 0.0)
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    with pytest.raises(StartError, match="newer release"):
        opened(tmp_path, 0.0)


async def test_a_sound_journal_is_never_replaced(tmp_path: Path) -> None:
    await fill(tmp_path, 2)
    copy = tmp_path / "copy.jsonl"
    export([row(1, entry())], copy)
    with pytest.raises(StartError) as caught:
        begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert (caught.value.code, exit_code(caught.value)) == ("journal_sound", 2)


async def test_the_same_start_again_goes_on_with_the_journal_that_it_began(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    export([row(7, entry())], copy)
    database, entries, begun = begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert (begun, [found.seq for found in entries]) == (True, [1])
    kept = JournalFile(database, 1, FailPoint())
    await kept.append(entry("imported", service="", copy=str(copy)))
    await kept.close()
    database, entries, begun = begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert (begun, [found.type for found in entries]) == (False, ["promoted", "imported"])
    database.close()


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "journal_copy_unreadable"), ("{}\n", "journal_copy_invalid"), ("no json\n", "journal_copy_invalid")],
)
def test_a_copy_that_is_none(tmp_path: Path, content: str | None, code: str) -> None:
    copy = tmp_path / "copy.jsonl"
    if content is not None:
        copy.write_text(content)
    with pytest.raises(StartError) as caught:
        begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert (caught.value.code, exit_code(caught.value)) == (code, 2)


async def test_what_names_another_entry_follows_it_when_numbers_move(tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    export([row(5, entry()), row(9, entry("abandoned", abandons=5))], copy)
    database, entries, _ = begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert entries[1].fact.to_data() == {"abandons": 1}
    database.close()


async def test_a_reader_of_a_damaged_row_is_told(tmp_path: Path) -> None:
    async with journal(tmp_path) as (kept, _, _):
        await kept.append(entry())
        other = sqlite3.connect(tmp_path / FILE)
        other.executescript("DROP TRIGGER entries_stay; UPDATE entries SET actor = 'eve'")
        other.close()
        with pytest.raises(Refusal, match="wrong checksum"):
            await kept.entries()


def test_the_error_of_a_contradiction_names_file_and_copy(tmp_path: Path) -> None:
    opened(tmp_path, 0.0)[0].close()
    error = corrupt(tmp_path, ValueError("two active"), 0.0)
    assert str(tmp_path / FILE) in error.detail
    assert os.listdir(tmp_path).count("journal-readable-19700101T000000.000000Z.jsonl") == 1
