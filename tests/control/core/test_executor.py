"""The order of journal, store and apply, seen at each fail point: a crash there must lose nothing."""

from __future__ import annotations

import pytest

from router.control.core.executor import CommandExecutor, described
from router.errors import InternalError, Refusal
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.model.events import RollbackAsked, SwitchAsked, VerdictReached
from router.runtime import clock
from router.runtime.failpoint import FailPoint
from router.shm import layout as at
from tests.control.control_harness import ControlHarness
from tests.rollout.playbook import TRIGGER
from tests.texts import golden


class Trace(FailPoint):
    """Notes each place that is passed, with the generation that the wall and the registry hold at that moment."""

    def __init__(self, executor: CommandExecutor) -> None:
        super().__init__()
        self.executor = executor
        self.passed: list[tuple[str, int, int]] = []

    def hit(self, name: str) -> None:
        base = (1 << 24) + 1
        stored = (self.executor.cell.word() >> 20) - base
        self.passed.append((name, stored, self.executor.registry.generation - base))


def traced(control: ControlHarness) -> Trace:
    trace = Trace(control.service_controller.executor)
    control.fail_point.on_hit = trace.hit
    return trace


async def test_a_change_of_a_person_is_journalled_before_it_is_stored(control: ControlHarness) -> None:
    trace = traced(control)
    await control.service_controller.executor.change(SwitchAsked("v2", "ann", "x"))
    assert trace.passed == [
        ("journal.before", 0, 0),
        ("mark.before", 0, 0),  # that it is handed to the disk
        ("journal.handed", 0, 0),
        ("journal.after", 0, 0),
        ("mark.before", 0, 0),  # that the disk has it
        ("mark.after", 0, 0),
        ("store.before", 0, 1),
        ("store.after", 1, 1),
    ]


async def test_while_another_router_is_taken_over_no_change_is_made(control: ControlHarness) -> None:
    control.segment.words[at.H_TAKING_OVER] = 1
    with pytest.raises(Refusal) as caught:
        await control.service_controller.executor.change(SwitchAsked("v2", "ann", "x"))
    assert caught.value.code == "taking_over"
    control.segment.words[at.H_TAKING_OVER] = 0
    assert (await control.service_controller.executor.change(SwitchAsked("v2", "ann", "x"))).changed


async def test_a_rollback_of_a_verdict_is_stored_before_it_is_journalled(control: ControlHarness) -> None:
    trace = traced(control)
    control.probe("v2", times=3)
    control.service_controller.handle(VerdictReached(TRIGGER, False), control.now_ns)
    assert control.service_controller.executor.unjournalled == {(1 << 24) + 2}
    await control.until_idle()
    assert [place for place in trace.passed if place[0].startswith("store")] == [
        ("store.before", 0, 1),
        ("store.after", 1, 1),
    ]
    assert [name for name, _, _ in trace.passed][:2] == ["store.before", "store.after"]
    assert ("journal.before", 1, 1) in trace.passed
    assert control.service_controller.executor.unjournalled == set()


async def test_what_is_folded_now_is_what_a_restart_reads(control: ControlHarness) -> None:
    await control.service_controller.executor.change(RollbackAsked("bad", "ann"))
    entries = await control.journal.entries(limit=100)
    assert entries[-1].fact.to_data()["base"] == (1 << 24) + 1
    assert control.service_controller.registry.incidents[0]["detection_at"] == entries[-1].at


def test_an_entry_as_people_see_it() -> None:
    entry = Entry.of("boot", "", "control", {"boot": 1}, 0.25, 7, 1, 3)
    assert described(entry) == {
        "seq": 3,
        "at": "1970-01-01T00:00:00.250Z",
        "monotonic_ns": 7,
        "boot": 1,
        "service": None,
        "type": "boot",
        "actor": "control",
        "data": {"boot": 1},
        "text": golden("entry.boot"),
    }


def first_of_no_service(data: dict[str, object]) -> Record:
    return Record.of("switched", "ann", {"to": "v9", "from": "v1", "reason": "x", **data})


async def test_a_record_that_the_fold_refuses_is_neither_journalled_nor_applied(control: ControlHarness) -> None:
    """The machine never makes one; if it did, shared memory, registry and disk would stay as they are."""
    executor = control.service_controller.executor
    illegal = first_of_no_service({"generation": executor.registry.generation + 1, "states": {"v9": "active"}})
    before = executor.registry.as_dict(), executor.cell.word(), executor.held.table, control.journal.position
    with pytest.raises(InternalError):
        await executor.append_and_apply(illegal)
    with pytest.raises(InternalError):
        executor.perform([illegal], clock.now_ns())
    await control.until_idle()
    found = executor.registry.as_dict(), executor.cell.word(), executor.held.table, control.journal.position
    assert found == before
    assert executor.pending_entry.read() is None


async def test_the_generation_counts_up_by_the_step_of_the_journal(control: ControlHarness) -> None:
    executor = control.service_controller.executor
    executor.machine.count_by(256)
    before = executor.registry.generation
    await control.operations.switch(service="svc", to="v2", actor="ann")
    assert executor.registry.generation == before - before % 256 + 256
    word = executor.cell.read()
    assert word is not None
    assert word.generation == executor.registry.generation


async def test_effects_are_carried_out_in_their_order(control: ControlHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots are filled, the table is written, the route is published; only then is a version cut that has lost its role."""
    executor = control.service_controller.executor
    steps: list[str] = []

    def recorded(thing: object, name: str) -> None:
        real = getattr(thing, name)
        monkeypatch.setattr(thing, name, lambda *arguments: (steps.append(name), real(*arguments))[1])

    for name in ("write", "write_table", "cut"):
        recorded(executor.held.slots, name)
    recorded(executor.cell, "publish")
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    assert steps == ["write", "write_table", "publish"]
    steps.clear()
    await control.operations.retire(service="svc", version="v3", actor="ann", cut=True)
    assert steps == ["write_table", "publish", "cut"]
