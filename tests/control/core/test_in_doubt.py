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

from router.control.acceptance.addon import AcceptanceAddon
from router.control.core.executor import CommandExecutor
from router.control.store import mark
from router.control.store.journal_file import APPEND_TIMEOUT_S, JournalUnavailable
from router.control.store.journal_rows import FILE
from router.control.store.records.local_journal import LocalJournal
from router.errors import Refusal
from router.rollout.facts.record import Record
from router.rollout.model.events import VerdictReached
from router.runtime import clock
from router.runtime.exit_codes import exit_code
from tests import entry_types
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.hung_disk import HungDisk
from tests.proxy.rig import until
from tests.texts import golden


class DiskError(sqlite3.OperationalError):
    """An error with the name that SQLite gives it."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.sqlite_errorname = name


Do = Callable[[ControlHarness], Awaitable[Any]]
TRIGGER: dict[str, Any] = {"kind": "error_rate", "detail": "", "state": "fail", "reason": "too many errors"}


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlHarness]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    place = tmp_path / "state"
    place.mkdir()
    begun = await ControlHarness(settings(place), segment, workers, place).begin()
    begun.probe("v2", times=3)
    yield begun
    await begun.end()
    workers.close()
    segment.close()


async def switch(control: ControlHarness) -> Any:
    return await control.operations.switch(service="svc", to="v2", actor="ann")


async def freeze(control: ControlHarness) -> Any:
    return await control.operations.freeze(service="svc", actor="ann")


async def establish(control: ControlHarness, kind: str, **data: Any) -> Any:
    return await control.service_controller.executor.append_and_apply(Record.of(kind, "ann", data))


KINDS: dict[str, Do] = {
    entry_types.SWITCHED: switch,
    entry_types.FROZEN: freeze,
    entry_types.ROLLED_BACK: lambda control: control.operations.rollback(service="svc", actor="ann"),
    entry_types.RETIRED: lambda control: control.operations.retire(service="svc", version="v2", actor="ann"),
    entry_types.QUARANTINED: lambda control: control.operations.quarantine(service="svc", version="v2", actor="ann"),
    entry_types.DEPLOYED: lambda control: control.operations.deploy(
        service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann"
    ),
    entry_types.CRITERION_SET: lambda control: AcceptanceAddon(control.control_loop, ()).set(
        service="svc", metric="fault_share", limit=0.01, actor="ann", reason="", dry_run=False
    ),
    entry_types.INPUTS_FORGOTTEN: lambda control: establish(control, entry_types.INPUTS_FORGOTTEN, reason="x"),
    entry_types.INCIDENT_EDITED: lambda control: establish(control, entry_types.INCIDENT_EDITED, incident="svc-1-2"),
}


@contextmanager
def impatient() -> Iterator[None]:
    """Nobody waits for the disk for longer than a moment."""
    with pytest.MonkeyPatch.context() as patched:
        for method in (LocalJournal.append, CommandExecutor.append_and_apply):
            assert method.__kwdefaults__ is not None
            patched.setitem(method.__kwdefaults__, "timeout_s", 0.2)
        yield


async def doubted(control: ControlHarness, do: Do) -> JournalUnavailable:
    with impatient(), pytest.raises(JournalUnavailable) as caught:
        await do(control)
    assert caught.value.doubt is not None
    assert "nothing was changed" not in caught.value.detail
    return caught.value


def alarms(control: ControlHarness) -> list[str]:
    return [alarm["code"] for alarm in control.control_loop.alarms.listing()]


async def after_a_kill(control: ControlHarness, tmp_path: Path) -> tuple[ControlHarness, FakeWorkers]:
    """Begin a life on a new wall with the files as they are now."""
    place = tmp_path / "after"
    place.mkdir()
    for name in (FILE, f"{FILE}-wal", mark.FILE):
        shutil.copy(control.folder / name, place / name)
    segment = new_segment()
    workers = FakeWorkers(segment)
    return await ControlHarness(settings(place), segment, workers, place).begin(), workers


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "not whole"])
@pytest.mark.parametrize("kind", KINDS)
async def test_the_next_start_decides_by_the_row(
    control: ControlHarness, tmp_path: Path, kind: str, whole: bool
) -> None:
    disk = HungDisk(control.disk, whole=whole)
    before = control.service_controller.registry.as_dict()
    refused = await doubted(control, KINDS[kind])
    assert refused.facts == {"in_doubt": True, "seq": 4}
    assert exit_code(refused) == 1
    assert control.service_controller.registry.as_dict() == before, "it is not in effect"
    (shown,) = control.queries.status()["journal"]["in_doubt"]
    assert (shown["seq"], shown["type"], shown["actor"], shown["outcome"]) == (4, kind, "ann", None)
    assert alarms(control) == ["change_in_doubt"]
    successor, workers = await after_a_kill(control, tmp_path)
    disk.free.set()
    await successor.until_idle()
    entries = await successor.journal.entries()
    assert [entry.type for entry in entries if entry.seq == 4] == [kind if whole else "boot"]
    (decided,) = [entry.fact.to_data() for entry in entries if entry.type == entry_types.DOUBT_DECIDED]
    outcome = "completed" if whole else "struck_out"
    assert decided == {"change": 4, "type": kind, "by": "ann", "outcome": outcome}
    (change,) = successor.queries.status()["journal"]["decided"]
    assert (change["seq"], change["outcome"]) == (4, outcome)
    assert alarms(successor) == []
    if kind == entry_types.SWITCHED:
        assert successor.states()["v2"] == ("active" if whole else "standby")
    if kind == entry_types.FROZEN:
        assert (successor.service_controller.registry.frozen is not None) is whole
    await successor.end()
    again = await ControlHarness(successor.settings, successor.segment, workers, successor.folder).begin()
    assert again.journal.left_in_doubt == (), "it is said once"
    await again.end()
    workers.close()


@pytest.mark.parametrize("kind", [entry_types.SWITCHED, entry_types.FROZEN, entry_types.DEPLOYED])
async def test_a_disk_that_comes_back_has_it_struck_out_and_the_alarm_ends(control: ControlHarness, kind: str) -> None:
    disk = HungDisk(control.disk, whole=False)
    before = control.service_controller.registry.as_dict()
    await doubted(control, KINDS[kind])
    disk.free.set()
    await until(lambda: not control.journal.in_doubt)
    assert alarms(control) == []
    assert [(doubt.seq, doubt.outcome) for doubt in control.journal.resolved] == [(4, "struck_out")]
    entries = await control.journal.entries(after=3)
    assert [(entry.type, entry.fact.to_data().get("abandons")) for entry in entries] == [
        (kind, None),
        (entry_types.ABANDONED, 4),
    ]
    await control.until_idle()
    successor = await ControlHarness(control.settings, control.segment, control.workers, control.folder).begin()
    assert successor.service_controller.registry.as_dict() == before
    await successor.end()


async def test_what_waits_behind_it_never_reaches_the_disk(control: ControlHarness, tmp_path: Path) -> None:
    disk = HungDisk(control.disk, whole=True)
    await doubted(control, switch)
    with impatient(), pytest.raises(JournalUnavailable, match="nothing was changed") as caught:
        await freeze(control)
    assert caught.value.facts == {"in_doubt": False}
    with pytest.raises(Refusal, match="change 4") as nothing:
        await control.operations.unfreeze(service="svc", actor="ann")
    assert nothing.value.code == "change_in_doubt", "it is so already, for how long?"
    disk.free.set()
    await until(lambda: not control.journal.in_doubt)
    assert [entry.type for entry in await control.journal.entries(after=3)] == [
        entry_types.SWITCHED,
        entry_types.ABANDONED,
    ]


async def test_a_commit_that_fails_after_its_write_is_in_doubt_until_it_is_overwritten(control: ControlHarness) -> None:
    disk = HungDisk(control.disk, whole=False)
    disk.error = DiskError("disk I/O error", "SQLITE_IOERR_FSYNC")
    asking = asyncio.ensure_future(doubted(control, freeze))
    await until(disk.reached.is_set)
    disk.free.set()
    refused = await asking
    assert "disk I/O error" in refused.detail
    await until(lambda: not control.journal.in_doubt)
    assert [(entry.seq, entry.type) for entry in await control.journal.entries(after=3)] == [(4, entry_types.ABANDONED)]
    assert control.service_controller.registry.frozen is None
    assert alarms(control) == []


async def test_a_full_disk_is_no_doubt(control: ControlHarness) -> None:
    disk = HungDisk(control.disk, whole=False)
    disk.error = DiskError("database or disk is full", "SQLITE_FULL")
    asking = asyncio.ensure_future(freeze(control))
    await until(disk.reached.is_set)
    disk.free.set()
    with pytest.raises(JournalUnavailable, match="nothing was changed"):
        await asking
    assert (control.journal.in_doubt, alarms(control)) == ([], [])


async def test_a_caller_that_is_cancelled_leaves_no_change(control: ControlHarness) -> None:
    disk = HungDisk(control.disk, whole=False)
    asking = asyncio.ensure_future(freeze(control))
    await until(disk.reached.is_set)
    asking.cancel()
    await asyncio.wait([asking])
    assert alarms(control) == ["change_in_doubt"]
    disk.free.set()
    await until(lambda: not control.journal.in_doubt)
    assert [entry.type for entry in await control.journal.entries(after=3)] == [
        entry_types.FROZEN,
        entry_types.ABANDONED,
    ]


# -- the disk itself
async def test_a_disk_that_hangs_is_an_alarm_until_it_answers(control: ControlHarness) -> None:
    said = control.alarms.journal_errors
    disk = HungDisk(control.disk, whole=False)
    asking = asyncio.ensure_future(doubted(control, freeze))
    await until(disk.reached.is_set)
    since_ns = clock.now_ns()
    control.journal.check_disk(since_ns + int((APPEND_TIMEOUT_S - 1) * 1e9))
    assert said == []
    control.journal.check_disk(since_ns + int(APPEND_TIMEOUT_S * 1e9))
    assert [golden("store.no_answer") in str(why) for why in said] == [True]
    await asking
    disk.free.set()
    await until(lambda: not control.journal.in_doubt and not control.journal._writer.busy_since_ns())
    control.journal.check_disk(clock.now_ns())
    assert (len(said), said[-1]) == (2, None)


async def test_a_fact_that_waits_is_an_alarm(control: ControlHarness) -> None:
    said = control.alarms.journal_errors
    disk = HungDisk(control.disk, whole=False)
    control.service_controller.handle(VerdictReached(TRIGGER, False), control.now_ns)
    assert control.journal.waiting
    control.journal.check_disk(clock.now_ns() + int((APPEND_TIMEOUT_S - 1) * 1e9))
    assert said == []
    control.journal.check_disk(clock.now_ns() + int(APPEND_TIMEOUT_S * 1e9))
    assert len(said) == 1
    disk.free.set()
    await control.until_idle()
    control.journal.check_disk(clock.now_ns())
    assert said[-1] is None


async def test_a_slow_disk_that_works_is_none(control: ControlHarness) -> None:
    said = control.alarms.journal_errors
    for _ in range(3):
        disk = HungDisk(control.disk, whole=True)
        forgotten = Record.of(entry_types.INPUTS_FORGOTTEN, "ann", {"reason": "x"})
        executor = control.service_controller.executor
        asking = asyncio.ensure_future(executor.append_and_apply(forgotten, timeout_s=5.0))
        await until(disk.reached.is_set)
        control.journal.check_disk(clock.now_ns() + 3_000_000_000)
        disk.free.set()
        await asking
        control.journal.check_disk(clock.now_ns())
    assert (said, control.journal.in_doubt) == ([], [])
