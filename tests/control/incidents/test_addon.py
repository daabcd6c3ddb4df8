"""The add-on over real shared memory and a real journal: rollbacks become incidents, also if control dies or the disk fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.incidents.addon import CONFIRM_WAIT_S, HUNG_S, IncidentsAddon, open_files
from router.control.incidents.context import IncidentContext
from router.errors import Refusal
from router.rollout.history.service_report import Totals
from router.rollout.outcome import Outcome
from router.settings.sections.service import Objective
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.incidents.test_context import Rows, failure
from tests.texts import golden
from tests.waiting import until

ONE = "svc-1-2"
NEW = {"what": "a test", "kind": "preventive", "owner": None, "due": None}


def opened(control: ControlHarness, entries: list[Any] | None = None, **more: Any) -> IncidentsAddon:
    files = open_files(control.folder, control.settings, control.control_loop.alarms)
    addon = IncidentsAddon(control.control_loop, control.settings, files, entries or [], **more)
    control.control_loop.add_addons(addon)
    return addon


@pytest.fixture
async def addon(control: ControlHarness) -> AsyncIterator[IncidentsAddon]:
    made = opened(control)
    yield made
    await made.close()


def live(control: ControlHarness, for_s: float, each: Callable[[], None] = lambda: None) -> None:
    """Let time pass on the judge's clock, offices included."""
    control.pass_time(for_s, each)


def answering(control: ControlHarness, slot: int) -> Callable[[], None]:
    return lambda: control.workers.serve(slot, Outcome.OK, 10)


def failing(control: ControlHarness) -> Callable[[], None]:
    """v1 fails while it is active; then v2 answers."""
    return lambda: control.workers.serve(
        0 if control.states()["v1"] == "active" else 1,
        Outcome.SERVER_ERROR if control.states()["v1"] == "active" else Outcome.OK,
        5,
    )


async def settled(control: ControlHarness) -> None:
    await control.until_idle()
    live(control, 1.1)
    await control.until_idle()


async def rolled_back(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    live(control, 5, answering(control, 0))
    live(control, 4, failing(control))
    await settled(control)


async def filed(control: ControlHarness, addon: IncidentsAddon) -> dict[str, Any]:
    for _ in range(2):  # what is frozen in the first is written in the second
        await settled(control)
    await until(lambda: not addon.files.waiting)
    return dict(orjson.loads((control.folder / "incidents" / f"{ONE}.json").read_bytes()))


async def test_a_verdict_opens_an_incident_that_grows_until_it_is_whole(control: ControlHarness) -> None:
    whole: list[str] = []
    addon = opened(control, on_complete=lambda opening: whole.append(opening.fact.to_data()["incident"]))
    await rolled_back(control)
    made = await addon.document(ONE)
    assert whole == []
    assert (made["record"]["complete"], made["from"], made["to"], made["manual"]) == (False, "v1", "v2", False)
    assert made["windows"]["left"]["periods"]["before"]["requests"] > 300
    assert made["windows"]["left"]["periods"]["during"]["fault_rate"] > 0.9
    assert made["impact"]["errors"] == {"server_error": made["impact"]["requests"]}
    live(control, 125, answering(control, 1))
    made = await filed(control, addon)
    assert (made["record"]["complete"], made["record"]["notes"]) == (True, [])
    assert whole == [ONE], "once"
    assert made["windows"]["back"]["periods"]["after"]["seconds"] > 110
    assert made["times"]["recovered"] is not None
    assert sorted(path.name for path in (control.folder / "incidents").iterdir()) == [
        f"{ONE}{suffix}" for suffix in (".html", ".json", ".md", ".svg")
    ]
    kinds = {line["kind"] for line in made["timeline"]}
    assert kinds >= {"seeded", "started", "rolled_back", "swapped", "confirmed", "recovered", "drained"}
    assert addon.status("svc") == {"incidents_open": [ONE]}
    await addon.close()


async def test_what_was_captured_and_the_budget_are_kept_with_it(control: ControlHarness) -> None:
    """A later look finds less: workers have overwritten some. The history's disk may take its time."""
    captured = [[failure(2, "v1"), failure(1, "v1")], [failure(2, "v1")]]

    async def failures(*_: Any) -> list[dict[str, Any]]:
        return captured.pop(0) if captured else []

    slow = asyncio.Event()

    class Slow(Rows):
        async def read(self, _: Any) -> Any:
            await slow.wait()
            return await super().read(_)

    service_controller = control.control_loop.services["svc"]
    service_controller.service = service_controller.service.model_copy(
        update={"objective": Objective(availability=0.99)}
    )
    context = IncidentContext(failures, Slow(Totals(accepted=2_592_000, seconds=2_592_000.0)))  # type: ignore[arg-type]
    addon = opened(control, context=context)
    control.probe("v2", times=3)
    live(control, 5, answering(control, 0))
    live(control, 4, failing(control))
    live(control, 7, answering(control, 1))

    async def has_failures() -> bool:
        return bool((await addon.document(ONE))["failures"]["items"])

    await until(has_failures)
    made = await addon.document(ONE)
    assert ([one["request_id"] for one in made["failures"]["items"]], made["impact"]["budget"]) == (["r1", "r2"], None)
    slow.set()
    await settled(control)
    made = await filed(control, addon)
    assert made["impact"]["budget"]["basis"] == "99 % of 2\u202f592\u202f000 requests in 30 days"
    assert [one["request_id"] for one in made["failures"]["items"]] == ["r1", "r2"]
    await addon.close()


async def test_a_person_who_goes_back_opens_one_too_and_a_switch_does_not(
    control: ControlHarness, addon: IncidentsAddon
) -> None:
    await control.operations.switch(service="svc", to="v2", actor="ann")
    await settled(control)
    assert await addon.listing() == {"incidents": []}
    answer = await control.operations.rollback(service="svc", actor="ann", reason="wrong scores")
    await settled(control)
    (short,) = (await addon.listing())["incidents"]
    assert (short["id"], short["manual"], short["status"], short["owner"]) == (answer["incident"], True, "open", None)
    made = await addon.document(answer["incident"])
    assert made["summary"].startswith("ann rolled back service svc from v2 to v1: wrong scores.")


async def test_the_next_switch_ends_what_is_watched(control: ControlHarness, addon: IncidentsAddon) -> None:
    await rolled_back(control)
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.probe("v3", times=5)
    await control.operations.promote(service="svc", version="v3", actor="ann")
    made = await filed(control, addon)
    assert made["record"]["complete"] is True
    assert made["timeline"][-1]["kind"] == "promoted"


async def test_what_people_add_is_journalled_and_told(control: ControlHarness, addon: IncidentsAddon) -> None:
    await rolled_back(control)
    edit = {"edit": "e1", "set": {"owner": "ann", "root_cause": "null"}, "add_actions": [NEW]}
    made = await addon.edit(ONE, edit, "ann", 0)
    assert (made["revision"], made["review"]["owner"], made["review"]["actions"][0]["id"]) == (1, "ann", "a1")
    with pytest.raises(Refusal) as caught:
        await addon.edit(ONE, {"edit": "e2", "set": {"owner": "bob"}}, "bob", 0)
    assert (caught.value.code, caught.value.facts) == ("revision_stale", {"revision": 1})
    with pytest.raises(Refusal) as caught:
        await addon.edit("svc-1-9", {"edit": "e3"}, "bob", None)
    assert caught.value.code == "incident_unknown"
    await addon.edit(ONE, {"edit": "e4", "set": {"status": "reviewed"}}, "bob", None)
    await addon.edit(ONE, {"edit": "e5", "set": {"status": "closed"}}, "bob", None)
    made = await filed(control, addon)
    assert (made["review"]["status"], made["revision"]) == ("closed", 3)
    entries = (await control.queries.journal(0, 1000))["entries"]
    assert [(entry["actor"], entry["data"]["revision"]) for entry in entries if entry["type"] == "incident_edited"] == [
        ("ann", 1),
        ("bob", 2),
        ("bob", 3),
    ]
    assert addon.status("svc") == {"incidents_open": []}
    assert [sample.value for family in addon.metrics() for sample in family.samples] == [0.0]


async def test_of_two_edits_of_one_revision_one_wins(control: ControlHarness, addon: IncidentsAddon) -> None:
    await rolled_back(control)
    both = [addon.edit(ONE, {"edit": name, "set": {"owner": name}}, name, 0) for name in ("ann", "bob")]
    one, two = await asyncio.gather(*both, return_exceptions=True)
    assert isinstance(one, dict)
    assert isinstance(two, Refusal)
    assert (one["review"]["owner"], two.code) == ("ann", "revision_stale")


async def again(
    before: ControlHarness, *, segment: bool = True, lost: str = ""
) -> tuple[ControlHarness, IncidentsAddon]:
    """Start another control, over the same segment or a new one. The journal has no entries of the type `lost` at its start."""
    await before.end()
    memory = before.segment if segment else new_segment()
    workers = before.workers if segment else FakeWorkers(memory)
    control = await ControlHarness(before.settings, memory, workers, before.folder).begin()
    control.now_ns = before.now_ns
    found = await control.journal.entries(0, 1000)
    return control, opened(control, [entry for entry in found if entry.type != lost])


@pytest.mark.parametrize("files", [False, True], ids=["killed before any file was written", "files were written"])
async def test_a_successor_completes_the_record_from_journal_and_shared_memory(tmp_path: Path, files: bool) -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    first = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    addon = opened(first)
    await rolled_back(first)
    seen = await addon.document(ONE)
    if files:
        await filed(first, addon)
    second, addon = await again(first)
    await settled(second)
    made = await addon.document(ONE)
    assert (made["record"]["reconstructed"], made["record"]["complete"]) == (True, False)
    assert made["impact"]["errors"] == seen["impact"]["errors"]
    assert made["windows"]["left"]["periods"]["during"] == seen["windows"]["left"]["periods"]["during"]
    assert [line["text"] for line in made["timeline"]] == [line["text"] for line in seen["timeline"]]
    live(second, 125, answering(second, 1))
    made = await filed(second, addon)
    assert made["record"]["complete"] is True
    assert made["windows"]["back"]["periods"]["after"]["seconds"] > 100
    await second.end()
    await addon.close()
    workers.close()
    segment.close()


@pytest.mark.parametrize("comes", [True, False], ids=["it comes", "it never comes"])
async def test_a_record_is_not_complete_before_a_successor_has_confirmed(tmp_path: Path, comes: bool) -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    first = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    await rolled_back(first)
    live(first, 125, answering(first, 1))
    second, addon = await again(first, lost="confirmed")
    addon._since_ns = second.now_ns
    await settled(second)
    live(second, 2.2)
    await second.until_idle()
    made = await addon.document(ONE)
    assert (made["record"]["complete"], "confirmed" in _kinds(made)) == (False, False)
    if comes:
        (confirmation,) = [one for one in await second.journal.entries(0, 1000) if one.type == "confirmed"]
        second.control_loop.entry_applied(confirmation)
    else:
        live(second, CONFIRM_WAIT_S)
    await settled(second)
    made = await addon.document(ONE)
    assert (made["record"]["complete"], "confirmed" in _kinds(made), "worker" in _kinds(made)) == (True, comes, comes)
    await second.end()
    await addon.close()
    workers.close()
    segment.close()


def _kinds(made: dict[str, Any]) -> set[str]:
    return {line["kind"] for line in made["timeline"]}


@pytest.mark.parametrize("from_file", [True, False], ids=["the file is there", "the file is lost"])
async def test_after_a_cold_start_the_samples_are_those_of_the_file_or_unknown(tmp_path: Path, from_file: bool) -> None:
    segment = new_segment()
    first = await ControlHarness(settings(tmp_path), segment, FakeWorkers(segment), tmp_path).begin()
    addon = opened(first)
    await rolled_back(first)
    await filed(first, addon)
    await addon.close()
    seen = orjson.loads((tmp_path / "incidents" / f"{ONE}.json").read_bytes())
    if not from_file:
        for path in (tmp_path / "incidents").iterdir():
            path.unlink()
    first.workers.close()
    second, addon = await again(first, segment=False)
    async with asyncio.timeout(5):
        while not (tmp_path / "incidents" / f"{ONE}.json").exists():
            await settled(second)
    made = await addon.document(ONE)
    assert made["windows"] == (seen["windows"] if from_file else None)
    assert made["impact"]["errors"] == seen["impact"]["errors"]
    assert made["trigger"] == seen["trigger"]
    (note,) = made["record"]["notes"]
    assert note.startswith("The router was restarted meanwhile" if from_file else "The samples of that time are lost")
    await second.end()
    await addon.close()
    second.workers.close()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"record": {"format": 99}, "frozen": {}}', b'{"record": {"format": 1}}']
)
async def test_a_file_that_cannot_be_used_is_as_none(
    control: ControlHarness, addon: IncidentsAddon, raw: bytes
) -> None:
    await rolled_back(control)
    await filed(control, addon)
    (control.folder / "incidents" / f"{ONE}.json").write_bytes(raw)
    addon._snapshots.clear()
    assert (await addon.document(ONE))["windows"] is None


async def test_an_older_incident_keeps_its_samples_when_people_add_to_it(
    control: ControlHarness, addon: IncidentsAddon
) -> None:
    await rolled_back(control)
    live(control, 125)
    seen = await filed(control, addon)
    addon._snapshots.clear()
    await addon.edit(ONE, {"edit": "e1", "comment": "later"}, "ann", None)
    made = await filed(control, addon)
    assert (made["windows"], made["revision"]) == (seen["windows"], 1)
    assert made["frozen"] == seen["frozen"]


async def test_a_disk_that_takes_no_files_is_alarmed_and_holds_nothing_up(
    control: ControlHarness, addon: IncidentsAddon
) -> None:
    (control.folder / "incidents").write_text("in the way")
    await rolled_back(control)
    await until(lambda: control.control_loop.alarms.listing())
    (alarm,) = [one for one in control.control_loop.alarms.listing() if one["code"] != "standby_failing"]
    assert alarm["code"] == "incident_files_unwritable"
    assert control.states()["v2"] == "active"
    assert (await addon.document(ONE))["windows"] is not None


@pytest.mark.parametrize("at_last", [None, "No space left on device"], ids=["takes them", "refuses them"])
async def test_a_disk_that_hung_is_no_alarm_once_it_took_the_files(
    control: ControlHarness, at_last: str | None
) -> None:
    class Disk:
        error: str | None = None
        hung_s = 0.0

        def busy_s(self) -> float:
            return self.hung_s

        async def listing(self) -> dict[str, float]:
            return {}

    disk: Any = Disk()
    addon = IncidentsAddon(control.control_loop, control.settings, disk, [])

    def answer() -> list[str]:
        addon.on_second(control.now_ns)
        return [str(alarm["detail"]) for alarm in control.control_loop.alarms.listing()]

    disk.hung_s = HUNG_S
    assert answer() == []
    disk.hung_s = HUNG_S + 2
    (hangs,) = answer()
    assert golden("incident.disk_silent") in hangs
    disk.hung_s, disk.error = 0.0, at_last
    after = answer()
    assert [at_last in why for why in after if at_last] == ([True] if at_last else [])
    assert bool(after) is bool(at_last)


async def test_a_version_that_comes_in_again_tells_nothing_of_its_earlier_deployment(
    control: ControlHarness, addon: IncidentsAddon
) -> None:
    """v1 drains, is released and deployed again while its incident is open: its slot and its counters are new."""
    await rolled_back(control)
    opened = addon._open_incidents[ONE]
    assert opened.places == ((0, 1), (1, 1))
    held = control.service_controller.executor.held
    held.table = held.table.freed(["v1"]).placed("v1", 4)
    assert held.last_place("v1") == (4, 1)
    snapshot = addon._current_snapshot(opened.timeline, control.now_ns, opened.places, from_memory=True)
    assert snapshot.trails[0][-1].sample.incarnation == 1
    assert len(snapshot.trails[0]) > 50
