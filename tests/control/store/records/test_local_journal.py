"""The journal of a single router: what is written and applied, in which order, and what never exists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.store.batch import JournalUnavailable
from router.control.store.journal_file import BACKLOG_MAX, JournalFile
from router.control.store.journal_opening import opened
from router.control.store.records.journal import Journal, JournalRecord
from router.control.store.records.local_journal import LocalJournal
from router.control.store.records.request_key import RequestKey
from router.errors import InternalError, Refusal
from router.errors.codes import RefusalCode
from router.rollout.facts.entry import Entry
from router.runtime.failpoint import FailPoint
from tests.control.hung_disk import Disk, HungDisk
from tests.waiting import until

KEY = RequestKey("k" * 64, "r" * 64)
ROUTE = {"generation": 9, "states": {"v2": "active"}, "from": "v1", "to": "v2", "reason": "x"}


def entry(kind: str = "frozen", **data: Any) -> Entry:
    return Entry.of(kind, "svc", "ann", data or {"reason": "x"}, 1000.25, 77, 1)


def proposed(*entries: Entry) -> JournalRecord:
    return JournalRecord(entries or (entry(),), 5)


class Steps(FailPoint):
    """The fail points of the disk, and what the follower does, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: list[str] = []

    def hit(self, name: str) -> None:
        if name.startswith("journal."):
            self.passed.append(name)


@dataclass
class PlayedNote:
    """Stands for the pending entry in shared memory."""

    steps: Steps
    entry: dict[str, Any] | None = None

    def write(self, generation: int, content: bytes) -> None:
        self.steps.passed.append(f"note {generation}")
        self.entry = orjson.loads(content)


class Service:
    """A follower that records what it is told; `illegal`: its fold refuses everything."""

    generation = 8

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.pending_entry: Any = PlayedNote(steps)
        self.illegal = False
        self.applied: list[JournalRecord] = []

    def refuse_illegal(self, entries: Sequence[Entry]) -> None:
        if self.illegal:
            raise InternalError("roles_inconsistent", "two active versions")

    def apply(self, record: JournalRecord, before_effects: Callable[[], None] = lambda: None) -> int | None:
        self.refuse_illegal(record.entries)
        self.applied.append(record)
        self.steps.passed.append("fold")
        before_effects()
        self.steps.passed.append("effects")
        return 4711


class Log:
    """A journal over a disk that can hang."""

    def __init__(self, folder: Path) -> None:
        database, _ = opened(folder, 0.0)
        self.disk = Disk(database)
        self.steps = Steps()
        self.file = JournalFile(self.disk, 0, self.steps)  # type: ignore[arg-type]  # it has the same methods
        self.journal: Journal = LocalJournal(self.file)
        self.service = Service(self.steps)

    async def types(self) -> list[str]:
        return [found.type for found in await self.file.entries()]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    made = Log(tmp_path)
    yield made
    await made.file.close()


async def test_a_change_is_on_the_disk_before_it_is_applied(log: Log) -> None:
    asked: list[int] = []
    applied = await log.journal.append(
        log.service, proposed(entry("switched", **ROUTE), entry()), key=KEY, refuse_overtaken=lambda: asked.append(1)
    )
    assert log.steps.passed == ["journal.before", "journal.handed", "journal.after", "fold", "effects"]
    assert (applied.stored_ns, applied.kept, asked) == (4711, True, [1])
    assert [found.seq for found in applied.entries] == [1, 2]
    (record,) = log.service.applied
    assert (record.entries, record.decided_ns, record.publish) == (applied.entries, 5, True)
    assert await log.file.entries() == list(applied.entries), "what is applied is what the disk has"
    assert log.journal.position == 1


async def test_a_verdict_is_applied_at_once_and_noted_before_its_effects(log: Log) -> None:
    hung = HungDisk(log.disk, whole=False)
    numbers: list[int] = []
    applied = log.journal.urgent(log.service, proposed(entry("rolled_back", **ROUTE)), numbers.extend)
    assert log.steps.passed[:3] == ["fold", "note 9", "effects"]
    assert (applied.stored_ns, applied.kept, numbers) == (4711, True, [])
    assert log.service.pending_entry.entry == applied.entries[0].as_dict()
    hung.free.set()
    await until(lambda: numbers == [1])
    assert (await log.types(), log.journal.position) == (["rolled_back"], 1)


async def test_a_fact_without_a_route_needs_no_note(log: Log) -> None:
    log.journal.note(log.service, proposed(entry("settings_changed", version=2)))
    assert log.service.pending_entry.entry is None
    await until(lambda: log.file.waiting == 0)
    assert await log.types() == ["settings_changed"]


async def test_an_entry_of_a_route_says_on_which_generation_it_was_decided(log: Log) -> None:
    told = entry("switched", **ROUTE), entry(), entry("switched", **ROUTE, base=3)
    applied = await log.journal.append(log.service, proposed(*told))
    assert [found.fact.to_data().get("base") for found in applied.entries] == [8, None, 3]
    assert [found.fact.to_data().get("base") for found in await log.file.entries()] == [8, None, 3]


async def test_a_record_that_the_fold_refuses_never_exists(log: Log) -> None:
    log.service.illegal = True
    route = proposed(entry("switched", **ROUTE))
    with pytest.raises(InternalError):
        await log.journal.append(log.service, route)
    for write in (log.journal.urgent, log.journal.note):
        with pytest.raises(InternalError):
            write(log.service, route)
    assert (log.steps.passed, log.file.waiting, log.service.pending_entry.entry) == ([], 0, None)
    assert (await log.types(), log.journal.position) == ([], 0)


async def test_a_record_that_was_overtaken_is_struck_out(log: Log) -> None:
    def overtaken() -> None:
        raise Refusal(RefusalCode.LOST_RACE, "another change came first")

    with pytest.raises(Refusal) as caught:
        await log.journal.append(log.service, proposed(entry(), entry()), refuse_overtaken=overtaken)
    assert (caught.value.code, log.service.applied) == ("lost_race", [])
    assert await log.types() == ["frozen", "frozen", "abandoned", "abandoned"]
    assert log.journal.position == 2


async def test_without_an_answer_in_time_it_is_in_doubt_and_not_applied(log: Log) -> None:
    hung = HungDisk(log.disk, whole=False)
    with pytest.raises(JournalUnavailable) as caught:
        await log.journal.append(log.service, proposed(), timeout_s=0.1)
    assert (caught.value.in_doubt, log.service.applied) == (True, [])
    with pytest.raises(Refusal) as doubt:
        log.journal.refuse_in_doubt("svc")
    assert (doubt.value.code, doubt.value.facts) == ("change_in_doubt", {"seq": 1})
    log.journal.refuse_in_doubt("another service")
    hung.free.set()
    await until(lambda: not log.file.in_doubt)
    log.journal.refuse_in_doubt("svc")
    assert await log.types() == ["frozen", "abandoned"]
    assert log.service.applied == []


async def test_a_caller_that_is_cancelled_leaves_no_change(log: Log) -> None:
    hung = HungDisk(log.disk, whole=True)
    change = asyncio.ensure_future(log.journal.append(log.service, proposed()))
    await until(hung.reached.is_set)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    hung.free.set()
    await until(lambda: not log.file.in_doubt)
    assert await log.types() == ["frozen", "abandoned"]
    assert log.service.applied == []


async def test_a_full_queue_keeps_the_effect_and_says_so(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JournalFile, "waiting", BACKLOG_MAX)
    applied = log.journal.urgent(log.service, proposed())
    assert (applied.kept, applied.stored_ns) == (False, 4711)


async def test_a_single_router_waits_for_no_other_one(log: Log) -> None:
    assert (log.journal.beat_age_s, log.journal.generation_step, log.journal.position) == (0.0, 1, 0)
