"""A change that the disk may have: it is said so, and sooner or later it is completed or struck out, and that is said, too."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from router import clock
from router.control.acceptances import Acceptances
from router.control.conductor import Conductor
from router.control.store import mark
from router.control.store.journal import APPEND_TIMEOUT_S, Journal, JournalUnavailable
from router.control.store.rows import FILE
from router.errors import OperatorError
from router.rollout import entry as kinds
from router.rollout.commands import Record
from router.rollout.events import VerdictReached
from tests.control.crew_of_fakes import Life, FakeWorkers, new_wall, settings
from tests.control.hung_disk import HungDisk
from tests.proxy.rig import until


class DiskError(sqlite3.OperationalError):
    """An error with the name that SQLite gives it."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.sqlite_errorname = name


Do = Callable[[Life], Awaitable[Any]]
TRIGGER: dict[str, Any] = {"kind": "error_rate", "detail": "", "state": "fail", "reason": "too many errors"}


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    wall = new_wall()
    workers = FakeWorkers(wall)
    place = tmp_path / "state"
    place.mkdir()
    begun = await Life(settings(place), wall, workers, place).begin()
    begun.probe("v2", times=3)
    yield begun
    await begun.end()
    workers.close()
    wall.close()


async def switch(life: Life) -> Any:
    return await life.controller.switch(service="svc", to="v2", actor="ann")


async def freeze(life: Life) -> Any:
    return await life.controller.freeze(service="svc", actor="ann")


async def establish(life: Life, kind: str, **data: Any) -> Any:
    return await life.bench.conductor.establish(Record(kind, "ann", data))


KINDS: dict[str, Do] = {
    kinds.SWITCHED: switch,
    kinds.FROZEN: freeze,
    kinds.ROLLED_BACK: lambda life: life.controller.rollback(service="svc", actor="ann"),
    kinds.RETIRED: lambda life: life.controller.retire(service="svc", version="v2", actor="ann"),
    kinds.QUARANTINED: lambda life: life.controller.quarantine(service="svc", version="v2", actor="ann"),
    kinds.DEPLOYED: lambda life: life.controller.deploy(
        service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann"
    ),
    kinds.CRITERION_SET: lambda life: Acceptances(life.controller, ()).set(
        service="svc", metric="fault_share", limit=0.01, actor="ann", reason="", dry_run=False
    ),
    kinds.INPUTS_FORGOTTEN: lambda life: establish(life, kinds.INPUTS_FORGOTTEN, reason="x"),
    kinds.INCIDENT_EDITED: lambda life: establish(life, kinds.INCIDENT_EDITED, incident="svc-1-2"),
}


@contextmanager
def impatient() -> Iterator[None]:
    """Nobody waits for the disk for longer than a moment."""
    with pytest.MonkeyPatch.context() as patched:
        for method in (Journal.append, Conductor.establish):
            assert method.__kwdefaults__ is not None
            patched.setitem(method.__kwdefaults__, "timeout_s", 0.2)
        yield


async def doubted(life: Life, do: Do) -> JournalUnavailable:
    with impatient(), pytest.raises(JournalUnavailable) as caught:
        await do(life)
    assert caught.value.doubt is not None
    assert "nothing was changed" not in caught.value.detail
    return caught.value


def alarms(life: Life) -> list[str]:
    return [alarm["code"] for alarm in life.controller.alarms.listing()]


async def after_a_kill(life: Life, tmp_path: Path) -> tuple[Life, FakeWorkers]:
    """Begin a life on a new wall with the files as they are now."""
    place = tmp_path / "after"
    place.mkdir()
    for name in (FILE, f"{FILE}-wal", mark.FILE):
        shutil.copy(life.folder / name, place / name)
    wall = new_wall()
    workers = FakeWorkers(wall)
    return await Life(settings(place), wall, workers, place).begin(), workers


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "not whole"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_next_start_goes_by_the_row_and_says_so(life: Life, tmp_path: Path, kind: str, whole: bool) -> None:
    disk = HungDisk(life.journal, whole=whole)
    before = life.bench.registry.as_dict()
    refused = await doubted(life, KINDS[kind])
    assert refused.facts == {"in_doubt": True, "seq": 4}
    assert refused.exit_code == 1
    assert life.bench.registry.as_dict() == before, "it is not in effect"
    (shown,) = life.controller.view.status()["journal"]["in_doubt"]
    assert (shown["seq"], shown["type"], shown["actor"], shown["outcome"]) == (4, kind, "ann", None)
    assert alarms(life) == ["change_in_doubt"]
    successor, workers = await after_a_kill(life, tmp_path)
    disk.free.set()
    await successor.until_idle()
    entries = await successor.journal.entries()
    assert [entry.type for entry in entries if entry.seq == 4] == [kind if whole else "boot"]
    (decided,) = [entry.data for entry in entries if entry.type == kinds.DOUBT_DECIDED]
    outcome = "completed" if whole else "struck_out"
    assert decided == {"change": 4, "type": kind, "by": "ann", "outcome": outcome}
    (told,) = successor.controller.view.status()["journal"]["decided"]
    assert (told["seq"], told["outcome"]) == (4, outcome)
    assert alarms(successor) == []
    if kind == kinds.SWITCHED:
        assert successor.states()["v2"] == ("active" if whole else "standby")
    if kind == kinds.FROZEN:
        assert (successor.bench.registry.frozen is not None) is whole
    await successor.end()
    again = await Life(successor.settings, successor.wall, workers, successor.folder).begin()
    assert again.journal.left == (), "it is said once"
    await again.end()
    workers.close()


@pytest.mark.parametrize("kind", [kinds.SWITCHED, kinds.FROZEN, kinds.DEPLOYED])
async def test_a_disk_that_comes_back_has_it_struck_out_and_the_alarm_ends(life: Life, kind: str) -> None:
    disk = HungDisk(life.journal, whole=False)
    before = life.bench.registry.as_dict()
    await doubted(life, KINDS[kind])
    disk.free.set()
    await until(lambda: not life.journal.doubts)
    assert alarms(life) == []
    assert [(doubt.seq, doubt.outcome) for doubt in life.journal.decided] == [(4, "struck_out")]
    entries = await life.journal.entries(after=3)
    assert [(entry.type, entry.data.get("abandons")) for entry in entries] == [(kind, None), (kinds.ABANDONED, 4)]
    await life.until_idle()
    successor = await Life(life.settings, life.wall, life.workers, life.folder).begin()
    assert successor.bench.registry.as_dict() == before
    await successor.end()


async def test_what_waits_behind_it_never_reaches_the_disk(life: Life, tmp_path: Path) -> None:
    disk = HungDisk(life.journal, whole=True)
    await doubted(life, switch)
    with impatient(), pytest.raises(JournalUnavailable, match="nothing was changed") as caught:
        await freeze(life)
    assert caught.value.facts == {"in_doubt": False}
    with pytest.raises(OperatorError, match="change 4") as nothing:
        await life.controller.unfreeze(service="svc", actor="ann")
    assert (nothing.value.status, nothing.value.code) == (503, "change_in_doubt"), "it is so already, for how long?"
    disk.free.set()
    await until(lambda: not life.journal.doubts)
    assert [entry.type for entry in await life.journal.entries(after=3)] == [kinds.SWITCHED, kinds.ABANDONED]


async def test_a_commit_that_fails_after_its_write_is_in_doubt_until_it_is_overwritten(life: Life) -> None:
    disk = HungDisk(life.journal, whole=False)
    disk.error = DiskError("disk I/O error", "SQLITE_IOERR_FSYNC")
    asking = asyncio.ensure_future(doubted(life, freeze))
    await until(disk.reached.is_set)
    disk.free.set()
    refused = await asking
    assert "disk I/O error" in refused.detail
    await until(lambda: not life.journal.doubts)
    assert [(entry.seq, entry.type) for entry in await life.journal.entries(after=3)] == [(4, kinds.ABANDONED)]
    assert life.bench.registry.frozen is None
    assert alarms(life) == []


async def test_a_full_disk_is_no_doubt(life: Life) -> None:
    disk = HungDisk(life.journal, whole=False)
    disk.error = DiskError("database or disk is full", "SQLITE_FULL")
    asking = asyncio.ensure_future(freeze(life))
    await until(disk.reached.is_set)
    disk.free.set()
    with pytest.raises(JournalUnavailable, match="nothing was changed"):
        await asking
    assert (life.journal.doubts, alarms(life)) == ([], [])


async def test_a_caller_that_is_cancelled_leaves_no_change(life: Life) -> None:
    disk = HungDisk(life.journal, whole=False)
    asking = asyncio.ensure_future(freeze(life))
    await until(disk.reached.is_set)
    asking.cancel()
    await asyncio.wait([asking])
    assert alarms(life) == ["change_in_doubt"]
    disk.free.set()
    await until(lambda: not life.journal.doubts)
    assert [entry.type for entry in await life.journal.entries(after=3)] == [kinds.FROZEN, kinds.ABANDONED]


# -- the disk itself
async def test_a_disk_that_hangs_is_an_alarm_until_it_answers(life: Life) -> None:
    said: list[str | None] = []
    life.journal.on_trouble = said.append
    disk = HungDisk(life.journal, whole=False)
    asking = asyncio.ensure_future(doubted(life, freeze))
    await until(disk.reached.is_set)
    since_ns = clock.now_ns()
    life.journal.look(since_ns + int((APPEND_TIMEOUT_S - 1) * 1e9))
    assert said == []
    life.journal.look(since_ns + int(APPEND_TIMEOUT_S * 1e9))
    assert said == ["the disk has not answered for 5 s"]
    await asking
    disk.free.set()
    await until(lambda: not life.journal.doubts and not life.journal._writer.busy_since_ns())
    life.journal.look(clock.now_ns())
    assert said == ["the disk has not answered for 5 s", None]


async def test_a_fact_that_waits_is_an_alarm(life: Life) -> None:
    said: list[str | None] = []
    life.journal.on_trouble = said.append
    disk = HungDisk(life.journal, whole=False)
    life.bench.tell(VerdictReached(TRIGGER, False), life.now_ns)
    assert life.journal.waiting
    life.journal.look(clock.now_ns() + int((APPEND_TIMEOUT_S - 1) * 1e9))
    assert said == []
    life.journal.look(clock.now_ns() + int(APPEND_TIMEOUT_S * 1e9))
    assert len(said) == 1
    disk.free.set()
    await life.until_idle()
    life.journal.look(clock.now_ns())
    assert said[-1] is None


async def test_a_slow_disk_that_works_is_none(life: Life) -> None:
    said: list[str | None] = []
    life.journal.on_trouble = said.append
    for _ in range(3):
        disk = HungDisk(life.journal, whole=True)
        asking = asyncio.ensure_future(life.bench.conductor.establish(Record(kinds.INPUTS_FORGOTTEN, "ann", {"reason": "x"}),
                                                                      timeout_s=5.0))  # fmt: skip
        await until(disk.reached.is_set)
        life.journal.look(clock.now_ns() + 3_000_000_000)
        disk.free.set()
        await asking
        life.journal.look(clock.now_ns())
    assert (said, life.journal.doubts) == ([], [])
