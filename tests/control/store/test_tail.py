"""The journal's end: whatever happens to it, a start never goes on from less than was acknowledged without saying so."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from router.control.store import journal_rows, journal_writer, mark
from router.control.store.journal_file import JournalFile
from router.control.store.journal_opening import begun_anew, opened
from router.control.store.journal_rows import FILE
from router.control.store.set_aside import set_aside
from router.errors import StartError
from router.rollout.facts.automation import Frozen
from router.rollout.facts.entry import Entry
from router.runtime.exit_codes import exit_code
from router.runtime.failpoint import FailPoint
from tests.texts import golden
from tests.waiting import until

WAL = f"{FILE}-wal"
ENTRIES = 6


def entry(number: int) -> Entry:
    data = {"generation": number, "states": {}, "to": f"v{number}", "reason": "x" * (number * 131 % 3000)}
    return Entry.of("switched", "svc", "ann", data, 1000.25, number, 1)


@asynccontextmanager
async def journal(folder: Path) -> AsyncIterator[JournalFile]:
    database, entries = opened(folder, 0.0)
    generation = journal_rows.highest_generation(entries)
    made = JournalFile(database, entries[-1].seq if entries else 0, FailPoint(), generation=generation)
    yield made
    await made.close()


async def killed(folder: Path, to: Path) -> Path:
    """Write ENTRIES acknowledged entries; return a copy of the files as a kill at that moment leaves them."""
    async with journal(folder) as kept:
        for number in range(1, ENTRIES + 1):
            assert await kept.append(entry(number)) == [number]
        copied(folder, to)
    return to


def copied(folder: Path, to: Path) -> None:
    to.mkdir()
    for name in (FILE, WAL, mark.FILE):
        if (folder / name).exists():
            shutil.copy(folder / name, to / name)


def count(folder: Path) -> int | str:
    """Return how many entries a start finds, or how it is refused."""
    try:
        database, entries = opened(folder, 0.0)
    except StartError as error:
        return f"{exit_code(error)} {error.code}"
    database.close()
    return len(entries)


REFUSED = "6 journal_corrupt"


async def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    assert (left / WAL).stat().st_size > ENTRIES * 4096, "the WAL holds them all"
    assert count(left) == ENTRIES
    assert count(tmp_path) == ENTRIES


async def test_one_flipped_bit_anywhere_in_the_wal_is_refused_or_means_nothing(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    content = (left / WAL).read_bytes()
    frame = 24 + 4096
    regions = [*range(0, 32, 3), *(32 + number * frame + at for number in range((len(content) - 32) // frame)
                             for at in (3, 7, 9, 17, 24, 2000, frame - 1))]  # fmt: skip
    found = set()
    for at in regions:
        folder = tmp_path / "flipped"
        copied(left, folder)
        (folder / WAL).write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        told = count(folder)
        assert told in (ENTRIES, REFUSED), f"at {at}"
        found.add(told)
        if told == REFUSED:
            assert count(folder) == REFUSED, "also the second time"
            assert (folder / WAL).stat().st_size == len(content), "the evidence stays"
        shutil.rmtree(folder)
    assert REFUSED in found


async def test_a_wal_that_is_cut_anywhere_or_gone_is_refused(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    content = (left / WAL).read_bytes()
    for length in [*range(0, len(content), 2222), len(content) - 1]:
        folder = tmp_path / "cut"
        copied(left, folder)
        (folder / WAL).write_bytes(content[:length])
        assert count(folder) == REFUSED, f"cut at {length}"
        shutil.rmtree(folder)
    (left / WAL).unlink()
    assert count(left) == REFUSED


async def test_a_main_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    (left / FILE).unlink()
    (left / WAL).unlink()
    assert count(left) == REFUSED


async def test_a_tail_that_was_never_acknowledged_is_dropped_in_silence(tmp_path: Path) -> None:
    """The disk has the commit of the last entry, or half of it, and the mark says that the one before was the last."""
    async with journal(tmp_path) as kept:
        for number in range(1, ENTRIES):
            await kept.append(entry(number))
        before = (tmp_path / mark.FILE).read_bytes()
        whole = (tmp_path / WAL).stat().st_size
        await kept.append(entry(ENTRIES))
        copied(tmp_path, tmp_path / "left")
    (tmp_path / "left" / mark.FILE).write_bytes(before)
    content = (tmp_path / "left" / WAL).read_bytes()
    for length in [*range(whole, len(content), 900), len(content)]:
        copied(tmp_path / "left", tmp_path / "torn")
        (tmp_path / "torn" / WAL).write_bytes(content[:length])
        assert count(tmp_path / "torn") == (ENTRIES if length == len(content) else ENTRIES - 1)
        shutil.rmtree(tmp_path / "torn")


async def test_what_was_checkpointed_needs_no_wal(tmp_path: Path) -> None:
    await killed(tmp_path, tmp_path / "left")
    async with journal(tmp_path / "left") as kept:
        await kept.entries()  # by then the start has written the WAL back
        copied(tmp_path / "left", tmp_path / "later")
    (tmp_path / "later" / WAL).unlink()
    assert count(tmp_path / "later") == ENTRIES


async def test_an_idle_journal_writes_its_wal_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "CHECKPOINT_IDLE_S", 0.01)
    async with journal(tmp_path) as kept:
        await kept.append(entry(1))

        def written_back() -> bool:
            shutil.rmtree(tmp_path / "later", ignore_errors=True)
            copied(tmp_path, tmp_path / "later")
            (tmp_path / "later" / WAL).unlink()
            return count(tmp_path / "later") == 1

        await until(written_back)


# -- marks that are not what they were
async def test_a_journal_without_a_mark_starts_and_gets_one(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    (left / mark.FILE).unlink()
    assert count(left) == ENTRIES
    async with journal(left) as kept:
        await kept.entries()
    found = mark.read(left / mark.FILE)
    assert found is not None
    assert (found.seq, found.generation) == (ENTRIES, ENTRIES)


async def test_a_damaged_mark_is_said_and_starts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    (left / mark.FILE).write_bytes(b"\xff" * 8192)
    assert count(left) == ENTRIES
    assert "cannot be read" in caplog.text


async def test_a_restored_backup_is_refused_with_the_command_that_accepts_it(tmp_path: Path) -> None:
    async with journal(tmp_path) as kept:
        await kept.append(entry(1))
    (tmp_path / "backup").write_bytes((tmp_path / FILE).read_bytes())
    async with journal(tmp_path) as kept:
        await kept.append(entry(2))
    (tmp_path / FILE).write_bytes((tmp_path / "backup").read_bytes())
    with pytest.raises(StartError) as caught:
        opened(tmp_path, 0.0)
    assert (exit_code(caught.value), caught.value.code) == (6, "journal_corrupt")
    assert golden("journal.tail_missing") in caught.value.detail
    copy = tmp_path / "journal-readable-19700101T000000.000000Z.jsonl"
    assert f"--assume-active v1 --journal-from {copy}" in caught.value.detail
    database, entries, begun = begun_anew(tmp_path, copy, 0.0, lambda found: found)
    assert (begun, [found.seq for found in entries]) == (True, [1])
    assert (tmp_path / "journal.corrupt-19700101T000000.000000Z.mark").exists()
    made = JournalFile(database, 1, FailPoint())
    assert await made.append(replace(entry(3), fact=Frozen(reason="x"))) == [2]
    await made.close()
    assert count(tmp_path) == 2


async def test_accepting_a_loss_can_be_repeated_after_a_kill_at_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    (left / WAL).unlink()
    assert count(left) == REFUSED
    (copy,) = left.glob("*.jsonl")

    def dies(path: Path, at_s: float) -> Path:
        if path.name == mark.FILE:
            raise KeyboardInterrupt
        return set_aside(path, at_s)

    with monkeypatch.context() as patched:
        patched.setattr("router.control.store.journal_opening.set_aside", dies)
        with pytest.raises(KeyboardInterrupt):
            begun_anew(left, copy, 1.0, lambda found: found)
    assert count(left) == REFUSED, "what the old mark speaks of is still missing"
    database, _, begun = begun_anew(left, copy, 2.0, lambda found: found)
    database.close()
    assert begun
    assert count(left) == 0, "nothing was in the main file"


async def test_a_mark_of_another_journal_is_refused(tmp_path: Path) -> None:
    left = await killed(tmp_path, tmp_path / "left")
    other = tmp_path / "other"
    other.mkdir()
    async with journal(other) as kept:
        await kept.append(replace(entry(1), at=2000.0))
    shutil.copy(other / mark.FILE, left / mark.FILE)
    with pytest.raises(StartError, match="belongs to another journal, which had 1 entry"):
        opened(left, 0.0)


async def test_a_history_that_went_another_way_is_refused(tmp_path: Path) -> None:
    async with journal(tmp_path) as kept:
        await kept.append(entry(1))
    shutil.copytree(tmp_path, tmp_path / "twin")
    async with journal(tmp_path) as kept:
        await kept.append(entry(2))
    async with journal(tmp_path / "twin") as kept:
        await kept.append(entry(3))
        await kept.append(entry(4))
    shutil.copy(tmp_path / mark.FILE, tmp_path / "twin" / mark.FILE)
    with pytest.raises(StartError, match="another checksum for entry 2"):
        opened(tmp_path / "twin", 0.0)


# -- kills between the steps
DYING = """
import asyncio, sys
from pathlib import Path
from router.control.store.journal_file import JournalFile
from router.control.store.journal_opening import opened
from router.runtime.failpoint import FailPoint
from router.rollout.facts.automation import Frozen
from router.rollout.facts.entry import Entry

async def main():
    database, entries = opened(Path(sys.argv[1]), 0.0)
    journal = JournalFile(database, len(entries), FailPoint(sys.argv[2]))
    while True:
        entry = Entry.of("switched", "svc", "ann", {"to": "v", "reason": "x" * 900}, 1.0, 1, 1)
        for number in await journal.append(entry, entry):
            print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("passes", [1, 4])
@pytest.mark.parametrize("point", ["journal.before", "journal.handed", "journal.after", "mark.before", "mark.after"])
def test_a_kill_between_any_two_steps_neither_loses_nor_refuses(tmp_path: Path, point: str, passes: int) -> None:
    at_least = 0
    for _ in range(2):
        told = subprocess.run(
            [sys.executable, "-c", DYING, str(tmp_path), f"{point}:{passes}"],
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert told.returncode == -9, told.stderr
        numbers = [int(line) for line in told.stdout.split()]
        acknowledged = max([at_least, *numbers])
        found = count(tmp_path)
        assert isinstance(found, int), found
        assert acknowledged <= found <= acknowledged + 2, "at most what was under way is there, too"
        at_least = found
