"""Services that come, go and come back while control runs, with all add-ons."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from router.control.core.executor import Change
from router.control.history.report_addon import ReportAddon
from router.control.views import metrics
from router.control.wiring import AddonDeps, add_addons
from router.errors import Refusal, StartError
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Command, Record
from router.rollout.machine.registry import Registry
from router.rollout.machine.replay import rebuild
from router.rollout.model.commands import CheckStandby
from router.rollout.outcome import Outcome
from router.rollout.placement.effects import route_of
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.settings_memory import Place
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment
from tests.waiting import until

PLACES = {"svc": Place(0), "new": Place(2, 1)}


def settings(folder: Path, *services: str, port: int = 3, **more: Any) -> Settings:
    told = {
        name: {
            "active": {"version": "v1", "endpoints": [f"http://127.0.0.1:{1 if name == 'svc' else port}"]},
            "standby": {"version": "v2", "endpoints": ["http://127.0.0.1:2"]},
            "path_prefix": f"/{name}",
            "probe": "none",
        }
        for name in services
    }
    return Settings.model_validate({"workers": 2, "state_dir": folder, "services": told, **more})


class Changing(ControlHarness):
    """A control with all add-ons, whose services change."""

    version = 1

    async def change(self, *services: str, leaving: tuple[str, ...] = (), **more: Any) -> None:
        self.version += 1
        known = {name: place for name, place in PLACES.items() if name in services}
        await self.core.service_set.change(settings(self.folder, *services, **more), known, self.version, leaving)

    def free(self, service: str) -> None:
        """Clear a place, as the supervisor does."""
        self.segment.clear_place(PLACES[service].number)

    async def close(self) -> None:
        await self.until_idle()
        for addon in self.control_loop.addons:
            await addon.close()
        await self.end()

    async def journal_of(self, service: str) -> list[str]:
        await until(lambda: not self.journal.waiting)
        return [entry["type"] for entry in (await self.queries.journal(0, 1000, service))["entries"]]


async def begun(folder: Path, segment: Segment, workers: FakeWorkers) -> Changing:
    made = Changing(settings(folder, "svc"), segment, workers, folder)
    await made.begin(places=PLACES)
    add_addons(AddonDeps(made.core, made.settings, folder))
    return made


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Changing]:
    segment = new_segment(4)
    workers = FakeWorkers(segment)
    made = await begun(tmp_path, segment, workers)
    yield made
    assert not [alarm for alarm in made.alarms.listing() if alarm["code"] == "router_fault"]
    await made.close()
    workers.close()
    segment.close()


def names_in(metrics_text: bytes) -> set[str]:
    return {name for name in ("svc", "new") if b'service="%b"' % name.encode() in metrics_text}


async def test_a_service_that_is_added_is_judged_and_the_others_stay_as_they_are(control: Changing) -> None:
    control.pass_time(2, lambda: control.workers.serve(0, Outcome.OK))
    before = control.service_controller
    judged = before.judge.newest(0)
    await control.change("new", "svc")
    added = control.control_loop.services["new"]
    assert control.control_loop.services["svc"] is before
    assert before.judge.newest(0) == judged, "its windows go on"
    route = RouteCell(control.segment, 2).read()
    assert route is not None
    assert (route.active, route.standby, route.generation) == (0, 1, added.registry.generation)
    assert RouteCell(control.segment, 1).read() is None
    assert (added.registry.active.version, added.executor.index) == ("v1", 2)  # type: ignore[union-attr]
    assert await control.journal_of("new") == ["service_added", "seeded", "seeded"]
    assert (await control.journal_of("svc"))[-1] == "settings_changed"
    control.pass_time(3)
    status = control.queries.status()
    assert set(status["services"]) == {"svc", "new"}
    assert names_in(metrics.render(control.queries)) == {"svc", "new"}
    assert control.queries.service_status("new")["headline"]["state"]
    assert control.queries.explain("new")["service"] == "new"
    assert control.queries.added() == {"new"}
    await control.operations.switch(service="new", to="v2", actor="ann")
    assert added.registry.active.version == "v2"  # type: ignore[union-attr]
    await control.until_idle()
    control.pass_time(2)  # the cases of both are read now
    await control.until_idle()
    with_all = [held for held in kept_by_service(control) if {"svc", "new"} <= held.keys()]
    assert len(with_all) >= 10, "each add-on has it"
    assert len(with_all) == len([held for held in kept_by_service(control) if "svc" in held])


def kept_by_service(control: Changing) -> list[dict[str, Any]]:
    """Return the tables of all add-ons that have a service as key."""
    tables = [table for addon in control.control_loop.addons for table in vars(addon).values()]
    return [table for table in tables if isinstance(table, dict) and {"svc", "new"} & table.keys()]


async def test_the_add_ons_get_the_first_entries_of_a_service_also_if_ticks_come_before_it(
    control: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the first entries of a service while ticks go on, and add-ons know it only after that."""
    service_set = control.core.service_set
    publish = service_set.publish

    async def slow(*told: Any) -> Any:
        executor = await publish(*told)
        control.pass_time(0.5)
        return executor

    monkeypatch.setattr(service_set, "publish", slow)
    await control.change("new", "svc")
    control.pass_time(2)
    await control.operations.switch(service="new", to="v2", actor="ann")
    control.pass_time(2)
    reports = next(addon for addon in control.control_loop.addons if isinstance(addon, ReportAddon))
    summary = reports.summary("new")
    assert (summary.deployments, len(summary.back_and_forth)) == ((), 1), "v2 came by the settings, as standby"


async def test_a_change_that_was_struck_out_does_not_come_back_with_the_service(control: Changing) -> None:
    await control.change("new", "svc")
    added = control.control_loop.services["new"]
    await control.operations.freeze(service="new", actor="ann")
    await control.until_idle()
    frozen = (await control.journal.entries(service="new"))[-1]
    await control.journal.strike_out([frozen])
    await control.change("svc", leaving=())
    control.free("new")
    await control.change("new", "svc")
    back = control.control_loop.services["new"]
    assert (frozen.type, back is not added, back.registry.frozen) == ("frozen", True, None)


async def test_what_the_journal_has_is_folded_beside_the_ticks(
    control: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded_in: list[threading.Thread] = []

    def noting(name: str, entries: list[Entry]) -> Registry:
        folded_in.append(threading.current_thread())
        return rebuild(name, entries)

    monkeypatch.setattr("router.control.core.service_set.rebuild", noting)
    await control.change("new", "svc")
    (thread,) = folded_in
    assert thread is not threading.main_thread()


async def test_the_metrics_of_a_service_are_those_of_its_place(control: Changing) -> None:
    await control.change("new", "svc")
    row = control.segment.layout.worker_service(0, PLACES["new"].number) + at.LS_ENDED
    control.segment.words[row + Outcome.REFUSED] = 77
    (line,) = [line for line in metrics.render(control.queries).splitlines() if line.endswith(b" 77.0")]
    assert b'service="new"' in line


async def test_a_service_that_is_removed_is_forgotten_and_nothing_writes_to_its_place(control: Changing) -> None:
    await control.change("new", "svc")
    control.pass_time(2)
    gone = control.control_loop.services["new"]
    control.control_loop.alarms.up("standby_failing", "a test", "new")
    unwatched: list[tuple[str, str]] = []
    control.control_loop.probes.unwatch = lambda service, version: unwatched.append((service, version))  # type: ignore[method-assign]
    await control.change("svc", "new", leaving=("new",))
    await control.change("svc")
    control.free("new")
    assert set(unwatched) == {("new", "v1"), ("new", "v2")}
    assert not [held for held in kept_by_service(control) if "new" in held]
    assert set(control.control_loop.services) == set(control.queries.status()["services"]) == {"svc"}
    assert not [alarm for alarm in control.alarms.listing() if alarm["service"] == "new"]
    late: list[Command] = [Record.of("confirmed", "control", {})]
    assert not gone.executor.perform(late, control.now_ns).changed
    assert RouteCell(control.segment, 2).read() is None
    with pytest.raises(Refusal, match="service_unknown"):
        await control.operations.switch(service="new", to="v2", actor="ann")
    control.pass_time(12)
    await control.until_idle()
    assert names_in(metrics.render(control.queries)) == {"svc"}
    for word, words in control.segment.layout.place_blocks(2):
        rows = control.segment.words[word : word + words].tolist()
        row = control.segment.layout.worker_service(0, 2), control.segment.layout.worker_service(1, 2)
        assert word in row or not any(rows)
    assert (await control.journal_of("new"))[-1] == "service_removed"


async def test_a_change_that_began_before_the_end_is_refused(control: Changing) -> None:
    await control.change("new", "svc")
    executor = control.control_loop.services["new"].executor
    await executor.close()
    with pytest.raises(Refusal) as caught:
        await control.operations.switch(service="new", to="v2", actor="ann")
    assert (caught.value.code, "new was removed" in caught.value.detail) == ("service_unknown", True)


async def test_a_service_that_comes_back_has_its_versions_and_quarantines(control: Changing) -> None:
    await control.change("new", "svc")
    control.control_loop.services["new"].watch(control.control_loop.probes)
    await control.operations.switch(service="new", to="v2", actor="ann")
    await control.operations.quarantine(service="new", version="v1", reason="scores")
    before = control.control_loop.services["new"].registry
    await control.change("svc")
    control.free("new")
    control.pass_time(2)
    await control.change("svc", "new")
    after = control.control_loop.services["new"].registry
    assert after is not before
    assert (after.active.version, set(after.quarantines)) == ("v2", {"v1"})  # type: ignore[union-attr]
    assert after.generation == before.generation
    assert after.active_since_ns > before.active_since_ns, "its windows begin anew"
    route, table = RouteCell(control.segment, 2).read(), control.control_loop.services["new"].executor.held.table
    assert route == route_of(after, table, after.generation)
    control.pass_time(12)
    await control.operations.release(service="new", version="v1")
    await control.until_idle()


async def test_a_candidate_that_was_being_verified_is_verified_anew(control: Changing) -> None:
    await control.change("new", "svc")
    await control.operations.deploy(service="new", version="v3", endpoints=["http://127.0.0.1:5"], actor="ann")
    before = control.control_loop.services["new"].registry.candidate
    await control.change("svc")
    control.free("new")
    await control.change("svc", "new")
    after = control.control_loop.services["new"].registry.candidate
    assert before is not None
    assert after is not None
    assert (after.version, after.state) == ("v3", before.state)
    assert after.since_ns > before.since_ns
    held = control.control_loop.services["new"].executor.held
    content = held.slots.read(held.table.held["v3"].slot)
    assert (content.version if content else None) == "v3"


async def test_a_rollback_that_waits_for_its_probe_ends_with_the_service(
    control: Changing, caplog: pytest.LogCaptureFixture
) -> None:
    await control.change("new", "svc")
    gone = control.control_loop.services["new"]
    control.control_loop.check("new")(CheckStandby("v2", gone.registry.generation, 1.0))
    control.control_loop.switched(
        gone, Change(Entry.of("rolled_back", "new", "verdict", {"generation": 1}, 0.0, 0, 1), 0, 1)
    )
    await control.change("svc")
    control.free("new")
    await control.until_idle()
    assert not [record for record in caplog.records if "crashed" in record.getMessage()]
    assert not [alarm for alarm in control.alarms.listing() if alarm["service"] == "new"]


async def test_a_service_that_is_leaving_is_counted_and_not_changed(control: Changing) -> None:
    await control.change("new", "svc")
    control.pass_time(1)
    leaving = control.control_loop.services["new"]
    verdict = leaving.verdict
    await control.change("svc", "new", leaving=("new",))
    row = control.segment.layout.worker_slot(0, 2, 0)
    control.segment.words[row + at.L_CLAIMED] += 1
    control.segment.words[row + at.L_OUTCOMES + Outcome.OK] += 1
    control.pass_time(1)
    assert leaving.verdict is verdict
    assert leaving.judge.newest(0)[0].sample.claimed == 1  # type: ignore[index]
    assert set(control.queries.settings()["settings"]["services"]) == {"svc"}
    (difference,) = control.queries.status()["settings"]["differences"]
    assert difference.startswith("services.new is removed")
    with pytest.raises(Refusal) as caught:
        await control.operations.switch(service="new", to="v2", actor="ann")
    assert (caught.value.code, "ends its last" in caught.value.detail) == ("service_unknown", True)
    await control.change("svc", "new")
    control.pass_time(1)
    assert leaving.verdict is not verdict
    assert control.control_loop.services["new"] is leaving


async def test_a_service_whose_versions_have_moved_is_refused_and_nothing_changes(control: Changing) -> None:
    await control.change("new", "svc")
    await control.change("svc")
    control.free("new")
    before = control.control_loop.settings
    with pytest.raises(StartError) as caught:
        await control.change("new", "svc", port=9)
    assert caught.value.code == "endpoints_differ"
    assert "service new: version v1" in caught.value.detail
    assert (control.control_loop.settings, set(control.control_loop.services)) == (before, {"svc"})
    assert RouteCell(control.segment, 2).read() is None
    assert (await control.journal_of("new"))[-1] == "service_removed"


@pytest.mark.parametrize(("port", "finished"), [(3, True), (9, False)])
async def test_an_addition_that_a_killed_control_has_begun_is_finished_or_refused(
    tmp_path: Path, port: int, finished: bool
) -> None:
    segment = new_segment(4)
    workers = FakeWorkers(segment)
    first = await begun(tmp_path, segment, workers)
    await first.change("new", "svc")
    generation = first.control_loop.services["new"].registry.generation
    await first.close()
    segment.clear_place(2)  # the journal has the service, and its route was not stored
    second = Changing(settings(tmp_path, "new", "svc", port=port), segment, workers, tmp_path)
    await second.begin(places=PLACES, document=7)
    assert ("new" in second.control_loop.services) is finished
    assert segment.words[at.H_CONTROL_REFUSED] == (0 if finished else 7)
    route = RouteCell(segment, 2).read()
    assert (route.generation if route is not None else None) == (generation if finished else None)
    assert set(second.queries.status()["services"]) == ({"svc", "new"} if finished else {"svc"})
    await second.until_idle()
    await second.end()
    workers.close()
    segment.close()
