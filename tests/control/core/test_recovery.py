from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.control.core.recovery import foldable_entries
from router.control.store.journal_rows import FILE, export, row
from router.control.store.records.effective import effective_of
from router.errors import StartError
from router.rollout.facts.entry import Entry
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import ReleaseAsked, Ticked, VerdictReached
from router.rollout.model.route import Flag, Route, first_generation
from router.rollout.outcome import Outcome
from router.runtime import clock
from router.runtime.exit_codes import exit_code
from router.shm import layout as at
from router.shm.segment import Segment
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.store.test_records import schema_of
from tests.stored.state import FOLDER
from tests.texts import golden


class Machine:
    """A computer: its disk stays, its memory goes with `restart`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.segment: Segment
        self.workers: FakeWorkers
        self.fresh_memory(first=True)

    def fresh_memory(self, first: bool = False) -> None:
        if not first:
            self.workers.close()
            self.segment.close()
        self.segment = new_segment()
        self.workers = FakeWorkers(self.segment)

    async def start(
        self, journal_from: str | None = None, assume: str | None = None, **service: object
    ) -> ControlHarness:
        answer = settings(self.folder, **service)
        return await ControlHarness(answer, self.segment, self.workers, self.folder).begin(journal_from, assume)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.workers.close()
    made.segment.close()


async def test_a_cold_start_goes_on_with_the_last_journalled_route_in_a_new_boot(machine: Machine) -> None:
    control = await machine.start()
    await control.operations.switch(service="svc", to="v2", actor="ann")
    await control.end()
    machine.fresh_memory()
    control = await machine.start()
    assert control.service_controller.executor.cell.read() == Route(first_generation(2) + 1, active=1, standby=0)
    assert control.control_loop.differences == [
        golden("settings.differ", role="active", settings="v1", journal="v2"),
        golden("settings.differ", role="standby", settings="v2", journal="v1"),
    ]
    assert [
        content.version for slot in (0, 1) if (content := control.service_controller.executor.held.slots.read(slot))
    ] == [
        "v1",
        "v2",
    ]
    await control.end()


async def test_a_journal_keeps_its_format_until_the_old_router_is_taken_over(machine: Machine) -> None:
    for path in (FOLDER / "commit_9cf72a2").glob("journal.*"):
        shutil.copy(path, machine.folder)
    service = {"active": {"version": "v1", "endpoints": ["http://127.0.0.1:1"]}}
    machine.segment.words[at.H_TAKING_OVER] = 1
    control = await machine.start(**service)
    await control.until_idle()
    assert (await control.journal.entries(newest=True, limit=1))[0].boot == control.segment.words[at.H_BOOT]
    assert schema_of(machine.folder) == 1
    machine.segment.words[at.H_TAKING_OVER] = 0
    await control.operations.freeze(service="svc", actor="ann")
    assert schema_of(machine.folder) == 2
    await control.end()


async def test_the_boot_counter_is_journalled_before_anything_else(machine: Machine) -> None:
    control = await machine.start()
    entries = (await control.queries.journal(0, 10))["entries"]
    assert [(entry["type"], entry["data"].get("boot")) for entry in entries[:1]] == [("boot", 1)]
    await control.end()


async def test_a_warm_start_finds_the_word_and_changes_nothing(machine: Machine) -> None:
    control = await machine.start()
    await control.operations.switch(service="svc", to="v2", actor="ann")
    live, word = control.service_controller.registry.as_dict(), control.service_controller.executor.cell.word()
    await control.end()
    control = await machine.start()
    assert (control.service_controller.registry.as_dict(), control.service_controller.executor.cell.word()) == (
        live,
        word,
    )
    await control.end()


async def test_a_warm_start_remembers_what_the_judge_has_seen(machine: Machine) -> None:
    control = await machine.start()
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 2))
    await control.end()
    control = await machine.start()
    window = control.service_controller.judge.window(0, 2.0, control.now_ns + 1)
    assert window is not None
    assert window.requests > 0
    await control.end()


async def test_a_journalled_change_that_was_never_stored_is_undone_by_a_warm_start(machine: Machine) -> None:
    control = await machine.start()
    before = control.service_controller.registry.as_dict()
    generation = control.service_controller.registry.generation
    data = {"generation": generation + 1, "base": generation, "from": "v1", "to": "v2", "reason": "x"}
    data["states"] = {"v2": "active", "v1": "standby"}
    await control.journal.append(Entry.of("switched", "svc", "ann", data, 1.0, 1, 1))
    await control.end()
    control = await machine.start()
    assert control.service_controller.registry.as_dict() == before
    assert control.service_controller.executor.cell.read() == Route(generation, active=0, standby=1)
    answer = await control.operations.switch(service="svc", to="v2", actor="ann")
    assert answer["generation"] > generation + 1, "a generation was issued twice"
    live = control.service_controller.registry.as_dict()
    await control.end()
    control = await machine.start()
    assert control.service_controller.registry.as_dict() == live
    await control.end()


async def test_what_a_warm_start_has_undone_stays_undone_in_a_cold_one(machine: Machine) -> None:
    control = await machine.start()
    generation = control.service_controller.registry.generation
    data = {"generation": generation + 1, "base": generation, "from": "v1", "to": "v2", "reason": "x"}
    data["states"] = {"v2": "active", "v1": "standby"}
    await control.journal.append(Entry.of("switched", "svc", "ann", data, 1.0, 1, 1))
    await control.end()
    control = await machine.start()
    answer = await control.operations.switch(service="svc", to="v1", actor="ann")
    assert answer["changed"] is False  # so it was said that v1 is active …
    await control.end()
    machine.fresh_memory()
    control = await machine.start()
    assert control.states() == {"v1": "active", "v2": "standby"}  # … and it still is when all processes were killed
    await control.end()


async def test_a_stored_rollback_that_was_never_journalled_is_recovered_by_a_warm_start(machine: Machine) -> None:
    control = await machine.start()
    route = Route(control.service_controller.registry.generation + 1, active=1, flags=Flag.REDISPATCH)
    control.service_controller.executor.cell.publish(route, 0)
    await control.end()
    control = await machine.start()
    assert control.service_controller.executor.cell.read() == route
    assert control.states() == {"v1": "draining", "v2": "active"}
    assert list(control.service_controller.registry.quarantines) == ["v1"]
    (incident,) = control.service_controller.registry.incidents
    assert (incident["id"], incident["from"], incident["to"], incident["manual"]) == ("svc-1-2", "v1", "v2", False)
    assert (incident["trigger"], incident["started_at"]) == (None, None), "nobody knows why any more"
    await control.until_idle()
    entries = (await control.queries.journal(0, 100))["entries"]
    assert [entry["type"] for entry in entries if entry["type"] == "recovered"] == ["recovered"]
    live = control.service_controller.registry.as_dict()
    await control.end()
    control = await machine.start()
    assert control.service_controller.registry.as_dict() == live
    await control.end()


def forgetful(control: ControlHarness) -> None:
    """Have the journal lose what is submitted: control dies before the disk has it."""
    control.journal.submit = lambda entry, on_done=None: True  # type: ignore[method-assign,assignment,misc]


@pytest.mark.parametrize("away", [False, True], ids=["quarantined", "unreachable"])
async def test_why_a_stored_rollback_was_made_outlives_a_control_that_could_not_journal_it(
    machine: Machine, away: bool
) -> None:
    control = await machine.start()
    control.probe("v2", times=3)
    forgetful(control)
    trigger = {"kind": "hard_failure", "reason": "10 of 10 failed", "evidence_since_ns": control.now_ns}
    control.service_controller.handle(
        VerdictReached(trigger, unreachable=away, evidence={"requests": 10}), control.now_ns + 5_000_000_000
    )
    before = control.service_controller.registry.as_dict()
    await control.control_loop.tasks.close()
    await control.end()
    control = await machine.start()
    after = control.service_controller.registry.as_dict()
    await control.until_idle()
    entries = (await control.queries.journal(0, 100))["entries"]
    assert [entry["type"] for entry in entries][-2:] == ["rolled_back", "confirmed"]
    assert {**after, "last_switch": None, "incidents": []} == {**before, "last_switch": None, "incidents": []}
    (incident,) = control.service_controller.registry.incidents
    assert (incident["trigger"], incident["evidence_since_s_before"], incident["requests"]) == (trigger, 5.0, 10)
    assert incident["swap_us"] is not None
    assert incident["confirmed_ms"] is not None, "the workers keep when they followed"
    assert ("v1" in control.service_controller.registry.quarantines) is not away
    live = control.service_controller.registry.as_dict()
    await control.end()
    control = await machine.start()
    assert control.service_controller.registry.as_dict() == live
    await control.end()


@pytest.mark.parametrize(
    ("said", "instead"),
    [(b'"v2":"active"', b'"v9":"active"'), (b'"v2":"active","v1":"draining"', b'"v2":"standby","v1":"active"')],
    ids=["it cannot be", "it leads elsewhere"],
)
async def test_a_pending_entry_of_another_route_is_ignored(machine: Machine, said: bytes, instead: bytes) -> None:
    control = await machine.start()
    control.probe("v2", times=3)
    forgetful(control)
    control.service_controller.handle(
        VerdictReached({"kind": "hard_failure", "reason": "x"}, unreachable=False), control.now_ns
    )
    generation, payload = control.service_controller.executor.pending_entry.read() or (0, b"")
    assert said in payload
    control.service_controller.executor.pending_entry.write(generation, payload.replace(said, instead))
    await control.control_loop.tasks.close()
    await control.end()
    control = await machine.start()
    assert control.states() == {"v1": "draining", "v2": "active"}
    assert control.service_controller.registry.incidents[0]["reason"].startswith(
        "it was rolled back, and control died before"
    )
    await control.end()


async def test_a_known_label_with_other_endpoints_is_refused(machine: Machine) -> None:
    await (await machine.start()).end()
    machine.fresh_memory()
    with pytest.raises(StartError) as caught:
        await machine.start(standby={"version": "v2", "endpoints": ["http://127.0.0.1:99"]})
    assert (caught.value.code, exit_code(caught.value)) == ("endpoints_differ", 7)
    for named in ("v2", "http://127.0.0.1:2", "http://127.0.0.1:99", "--fresh"):
        assert named in caught.value.detail


async def test_a_service_without_seeds_has_no_active_version(machine: Machine) -> None:
    control = await machine.start(active=None, standby=None)
    assert control.service_controller.executor.cell.read() == Route(first_generation(1) + 1)
    assert control.queries.service_status("svc")["state"] == "no_active"
    await control.operations.deploy(service="svc", version="v1", endpoints=["http://127.0.0.1:1"], actor="ann")
    control.probe("v1", times=5)
    answer = await control.operations.promote(service="svc", version="v1", actor="ann")
    assert (answer["active"], answer["standby"]) == ("v1", None)
    await control.end()


def corrupt(machine: Machine) -> None:
    (machine.folder / FILE).write_bytes(b"no database" * 1000)


async def test_a_corrupt_journal_goes_on_from_its_copy_with_what_the_operator_assumes(machine: Machine) -> None:
    control = await machine.start()
    await control.operations.switch(service="svc", to="v2", actor="ann")
    entries = await control.journal.entries()
    await control.end()
    corrupt(machine)
    machine.fresh_memory()
    with pytest.raises(StartError, match="corrupt"):
        await machine.start()
    copy = machine.folder / "copy.jsonl"
    export([row(entry.seq, entry) for entry in entries], copy)
    control = await machine.start(str(copy), "v1")
    assert control.states() == {"v1": "active", "v2": "draining"}
    assert control.service_controller.executor.cell.read() == Route(first_generation(2) + 1, active=0)
    live = control.service_controller.registry.as_dict()
    await control.end()
    control = await machine.start()
    assert control.service_controller.registry.as_dict() == live
    await control.end()


async def test_entries_that_make_no_sense_without_lost_ones_are_left_out(machine: Machine) -> None:
    control = await machine.start()
    await control.operations.switch(service="svc", to="v2", actor="ann")
    entries = await control.journal.entries()
    await control.end()
    corrupt(machine)
    machine.fresh_memory()
    copy = machine.folder / "copy.jsonl"
    export([row(entry.seq, entry) for entry in entries if entry.fact.to_data().get("states") != {"v1": "active"}], copy)
    control = await machine.start(str(copy), "v2")
    assert control.states() == {"v2": "active"}
    await control.end()


async def test_without_any_history_the_assumption_chooses_between_the_seeds(machine: Machine) -> None:
    corrupt(machine)
    copy = machine.folder / "copy.jsonl"
    export([], copy)
    control = await machine.start(str(copy), "svc=v2")
    assert control.states() == {"v1": "standby", "v2": "active"}
    await control.end()


async def test_an_assumption_about_an_unknown_version(machine: Machine) -> None:
    copy = machine.folder / "copy.jsonl"
    export([], copy)
    with pytest.raises(StartError) as caught:
        await machine.start(str(copy), "v9")
    assert (caught.value.code, exit_code(caught.value)) == ("version_unknown", 2)


async def test_a_quarantine_that_was_lifted_for_a_while_comes_back_in_a_later_boot(machine: Machine) -> None:
    control = await machine.start()
    await control.operations.quarantine(service="svc", version="v2", reason="bias", actor="ann")
    await control.operations.change("svc", ReleaseAsked("v2", "ann", "look", 0.2))
    await control.until_idle()
    assert control.service_controller.registry.quarantines == {}
    await control.end()
    machine.fresh_memory()
    control = await machine.start()
    lift = control.service_controller.registry.temporary_releases["v2"]
    assert lift.until_ns <= clock.now_ns() + 200_000_000, "counted from the first one's wall clock"
    control.service_controller.handle(Ticked(), lift.until_ns)
    await control.until_idle()
    assert control.service_controller.registry.quarantines["v2"]["reason"] == "bias"
    assert [entry["type"] for entry in (await control.queries.journal(0, 100))["entries"]][-1] == "quarantine_returned"
    await control.end()


async def test_a_control_that_died_within_a_slot_leaves_its_version_in_service(tmp_path: Path) -> None:
    """kill -9 while the contents of the active version's slot were written again: table and registry know who holds it."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    first = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    before = first.service_controller.executor.held.slots.read(0)
    await first.end()
    segment.words[segment.layout.slot(0, 0) + at.S_CRC] = 0
    second = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    held = second.service_controller.executor.held
    assert (second.states(), held.table.slot_of("v1")) == ({"v1": "active", "v2": "standby"}, 0)
    assert held.slots.read(0) == before, "it is written whole"
    second.tick()
    assert second.states() == {"v1": "active", "v2": "standby"}
    await second.end()
    workers.close()
    segment.close()


async def test_a_warm_start_without_the_headers_file_keeps_the_fields(tmp_path: Path) -> None:
    key, state = tmp_path / "key", tmp_path / "state"
    key.write_text("Authorization: Bearer x\n")
    key.chmod(0o600)
    state.mkdir()
    active = {"version": "v1", "endpoints": ["http://127.0.0.1:1"], "headers_file": str(key)}
    segment = new_segment()
    workers = FakeWorkers(segment)
    first = await ControlHarness(settings(state, active=active), segment, workers, state).begin()
    before = first.service_controller.executor.held.slots.read(0)
    await first.end()
    key.unlink()
    second = await ControlHarness(settings(state, active=active), segment, workers, state).begin()
    after = second.service_controller.executor.held.slots.read(0)
    assert before is not None
    assert (before.fields, after) == ((("Authorization", "Bearer x"),), before)
    await second.end()
    workers.close()
    segment.close()


def test_a_copy_of_a_journal_keeps_what_follows_a_change_that_was_struck_out() -> None:
    """A deployment that was struck out is no candidate: the next one, and its promotion, are kept."""

    def entry(seq: int, kind: str, **data: Any) -> Entry:
        return Entry.of(kind, "svc", "ann", data, 1.0, 5, 1, seq)

    first = first_generation(1) + 1
    entries = [
        entry(1, "seeded", generation=first, states={"v1": "active"}, target={"version": "v1", "endpoints": ["http://a:1"]}),
        entry(2, "version_deployed", generation=first + 1, base=first, states={"v5": "verifying"},
              target={"version": "v5", "endpoints": ["http://b:1"]}),
        entry(3, "abandoned", abandons=2),
        entry(4, "version_deployed", generation=first + 2, base=first, states={"v6": "verifying"},
              target={"version": "v6", "endpoints": ["http://c:1"]}),
        entry(5, "version_verified", states={"v6": "ready"}, good_probes=5),
        entry(6, "promoted", generation=first + 3, base=first + 2, to="v6", reason="",
              states={"v6": "active", "v1": "standby"}, **{"from": "v1"}),
    ]  # fmt: skip
    kept = foldable_entries(entries)
    assert kept == entries
    registry = rebuild("svc", effective_of("svc", kept))
    assert registry.active is not None
    assert registry.active.version == "v6"
