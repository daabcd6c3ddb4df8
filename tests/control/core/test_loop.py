from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from router.control.core.executor import Preconditions
from router.control.store.journal_rows import FILE
from router.errors import OperatorError
from router.rollout.model.events import Override
from router.rollout.model.route import Flag, Route
from router.rollout.outcome import Outcome
from tests.control.control_harness import DEAD, ControlHarness, FakeWorkers, new_segment, settings
from tests.texts import golden


def first(control: ControlHarness, plus: int = 0) -> int:
    return (1 << 24) + 1 + plus


async def types(control: ControlHarness) -> list[str]:
    return [entry["type"] for entry in (await control.queries.journal(0, 1000))["entries"]]


async def test_a_switch_answers_when_every_worker_has_confirmed(control: ControlHarness) -> None:
    answer = await control.operations.switch(service="svc", to="v2", reason="try", actor="ann")
    assert answer["swap_us"] >= 0
    assert 0 <= answer["confirmed_ms"] < 1000
    assert {**answer, "swap_us": 0, "confirmed_ms": 0} == {
        "service": "svc",
        "generation": first(control, 1),
        "active": "v2",
        "standby": "v1",
        "candidate": None,
        "changed": True,
        "confirmed": True,
        "workers_unconfirmed": [],
        "swap_us": 0,
        "confirmed_ms": 0,
        "journalled": True,
        "incident": None,
        "awaits": None,
        "dry_run": False,
        "message": "v2 is active",
    }
    assert control.service_controller.executor.cell.read() == Route(first(control, 1), active=1, standby=0)
    again = await control.operations.switch(service="svc", to="v2", reason="try", actor="ann")
    assert (again["changed"], again["generation"], again["confirmed"]) == (False, first(control, 1), True)
    assert await types(control) == ["boot", "seeded", "seeded", "switched", "confirmed"]
    assert control.control_loop.switch_stats.services["svc"].by_reason["switch"] == 1


async def test_the_answer_names_the_worker_that_did_not_confirm(tmp_path: Path) -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    configured = settings(tmp_path)
    configured = configured.model_copy(
        update={"timeouts": configured.timeouts.model_copy(update={"confirm_timeout_s": 0.05})}
    )
    control = await ControlHarness(configured, segment, workers, tmp_path).begin()
    workers.deaf.add(1)
    answer = await control.operations.switch(service="svc", to="v2", actor="ann")
    assert (answer["confirmed"], answer["workers_unconfirmed"]) == (False, [1])
    assert [alarm["code"] for alarm in control.queries.status()["alarms"]] == ["workers_unconfirmed"]
    workers.live(1, DEAD)
    answer = await control.operations.switch(service="svc", to="v1", actor="ann")
    assert (answer["confirmed"], answer["workers_unconfirmed"]) == (True, [])
    assert control.queries.status()["alarms"] == []
    await control.end()
    workers.close()
    segment.close()


async def test_a_late_acknowledgement_ends_the_wait(control: ControlHarness) -> None:
    control.workers.deaf.add(1)
    waiting = asyncio.ensure_future(control.operations.switch(service="svc", to="v2", actor="ann"))
    while control.service_controller.executor.cell.read() != Route(first(control, 1), active=1, standby=0):
        await asyncio.sleep(0.002)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    control.workers.deaf.clear()
    control.workers.acknowledge(1)
    assert (await waiting)["confirmed"] is True


@pytest.mark.parametrize(
    ("preconditions", "status", "code"),
    [(Preconditions(generation=5), 412, "generation_stale"), (Preconditions(from_version="v2"), 409, "from_mismatch")],
)
async def test_what_the_asker_believes_is_compared(
    control: ControlHarness, preconditions: Preconditions, status: int, code: str
) -> None:
    with pytest.raises(OperatorError) as caught:
        await control.operations.switch(service="svc", to="v2", actor="ann", preconditions=preconditions)
    assert (caught.value.status, caught.value.code, caught.value.facts["generation"]) == (status, code, first(control))
    true = Preconditions(generation=first(control), from_version="v1")
    assert (await control.operations.switch(service="svc", to="v2", actor="ann", preconditions=true))["changed"]


async def test_of_two_changes_at_once_one_wins(control: ControlHarness) -> None:
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.probe("v3", times=5)
    one, two = await asyncio.gather(
        control.operations.switch(service="svc", to="v2", actor="ann"),
        control.operations.promote(service="svc", version="v3", actor="bob"),
        return_exceptions=True,
    )
    assert isinstance(one, dict)
    assert one["changed"] is True
    assert isinstance(two, OperatorError)
    assert (two.status, two.code, two.facts) == (409, "lost_race", {"generation": first(control, 2), "active": "v2"})
    assert control.states() == {"v1": "standby", "v2": "active", "v3": "ready"}
    assert not {"promoted", "abandoned"} & set(await types(control))


async def test_of_two_equal_changes_at_once_one_changes_something(control: ControlHarness) -> None:
    one, two = await asyncio.gather(
        control.operations.switch(service="svc", to="v2", actor="ann"),
        control.operations.switch(service="svc", to="v2", actor="ann"),
    )
    assert [one["changed"], two["changed"]] == [True, False]
    assert (await types(control)).count("switched") == 1


async def test_a_dry_run_says_what_would_be_and_changes_nothing(control: ControlHarness) -> None:
    before = control.service_controller.registry.as_dict()
    answer = await control.operations.switch(service="svc", to="v2", actor="ann", dry_run=True)
    assert (answer["changed"], answer["dry_run"], answer["message"]) == (True, True, golden("switch.dry_run"))
    assert answer["generation"] == first(control)
    with pytest.raises(OperatorError):
        await control.operations.switch(service="svc", to="v9", actor="ann", dry_run=True)
    assert control.service_controller.registry.as_dict() == before
    assert await types(control) == ["boot", "seeded", "seeded"]


async def test_a_rollback_by_a_person(control: ControlHarness) -> None:
    answer = await control.operations.rollback(service="svc", reason="bad", actor="ann")
    assert (answer["incident"], answer["active"], answer["standby"]) == ("svc-1-2", "v2", None)
    assert control.service_controller.executor.cell.read() == Route(first(control, 1), active=1, flags=Flag.REDISPATCH)
    (incident,) = control.service_controller.registry.incidents
    assert (incident["manual"], incident["actor"], incident["swap_us"]) == (True, "ann", answer["swap_us"])
    control.tick()
    assert control.states() == {"v1": "retired", "v2": "active"}
    with pytest.raises(OperatorError) as caught:
        await control.operations.promote(service="svc", version="v1", actor="ann")
    assert caught.value.code == "version_quarantined"


def failing(control: ControlHarness) -> None:
    control.workers.serve(0, Outcome.SERVER_ERROR, 5)


async def test_a_verdict_goes_back_by_itself(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(3)
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    await control.until_idle()
    control.tick()
    assert control.states() == {"v1": "retired", "v2": "active"}
    (incident,) = control.service_controller.registry.incidents
    assert (incident["from"], incident["to"], incident["manual"], incident["actor"]) == ("v1", "v2", False, "verdict")
    assert (incident["trigger"]["kind"], incident["trigger"]["detail"]) == ("hard_failure", "errors")
    assert incident["errors"] == {"server_error": incident["requests"]}
    assert incident["confirmed_ms"] is not None
    assert control.control_loop.switch_stats.services["svc"].by_reason["hard_failure"] == 1
    last = control.queries.service_status("svc")["last_switch"]
    assert (last["cause"], last["journalled"]) == ("verdict", True)


async def test_a_journal_that_cannot_be_written_delays_no_rollback(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(3)
    other = sqlite3.connect(control.folder / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OperatorError) as caught:
        await control.operations.switch(service="svc", to="v2", actor="ann")
    assert (caught.value.status, caught.value.code) == (503, "journal_unavailable")
    assert control.states() == {"v1": "active", "v2": "standby"}
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    assert control.service_controller.executor.cell.read() == Route(first(control, 2), active=1, flags=Flag.REDISPATCH)
    assert control.queries.service_status("svc")["last_switch"]["journalled"] is False
    other.execute("ROLLBACK")
    other.close()
    await control.until_idle()
    assert control.queries.service_status("svc")["last_switch"]["journalled"] is True
    assert (await types(control))[3:] == ["rolled_back", "confirmed"]


async def test_a_verdict_overtakes_a_change_that_waits_for_the_disk(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(3)
    other = sqlite3.connect(control.folder / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.ensure_future(control.operations.switch(service="svc", to="v2", reason="by hand", actor="ann"))
    await asyncio.sleep(0.01)
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(OperatorError) as caught:
        await waiting
    assert (caught.value.code, caught.value.facts["active"]) == ("lost_race", "v2")
    await control.until_idle()
    assert control.service_controller.registry.quarantines.keys() == {"v1"}
    assert (await types(control))[3:5] == ["switched", "rolled_back"]
    assert "abandoned" in await types(control)
    live = control.service_controller.registry.as_dict()
    await control.end()
    successor = await ControlHarness(control.settings, control.segment, control.workers, control.folder).begin()
    assert successor.service_controller.registry.as_dict() == live
    await successor.end()


async def test_both_bad_holds_and_says_so_once(control: ControlHarness) -> None:
    control.probe("v2", ok=False, refused=True)
    control.tick(3)
    control.tick(50, lambda: failing(control))
    await control.until_idle()
    assert control.states() == {"v1": "active", "v2": "standby"}
    assert (await types(control)).count("no_better_target") == 1
    status = control.queries.service_status("svc")
    assert status["state"] == "no_better_target"
    assert [alarm["code"] for alarm in control.queries.status()["alarms"]].count("no_better_target") == 1
    assert "automation holds" in control.queries.explain("svc")["summary"]


async def test_freeze_and_unfreeze(control: ControlHarness) -> None:
    assert (await control.operations.freeze(service="svc", actor="ann", reason="night"))["changed"] is True
    frozen = control.queries.service_status("svc")["frozen"]
    assert (frozen["actor"], frozen["reason"]) == ("ann", "night")
    control.probe("v2", times=3)
    control.tick(30, lambda: failing(control))
    assert control.states() == {"v1": "active", "v2": "standby"}
    await control.operations.unfreeze(service="svc", actor="ann")
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    assert control.states()["v2"] == "active"


async def test_moved_endpoints_are_probed_before_they_are_used(control: ControlHarness) -> None:
    with pytest.raises(OperatorError) as caught:
        await control.operations.set_endpoints(
            service="svc", version="v2", endpoints=["http://127.0.0.1:1"], actor="ann"
        )
    assert (caught.value.status, caught.value.code) == (409, "version_not_ready")
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answer = await control.operations.set_endpoints(service="svc", version="v2", endpoints=[url], actor="ann")
    assert (answer["changed"], answer["confirmed"]) == (True, True)
    content = control.service_controller.executor.slots.read(1)
    assert content is not None
    assert content.endpoints == (url,)
    server.close()
    await server.wait_closed()


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("deploy", {"version": "v3", "endpoints": ["ftp://x"]}, 400, "endpoint_invalid"),
    ("deploy", {"version": "", "endpoints": ["http://x"]}, 400, "version_invalid"),
    ("deploy", {"version": "v2", "endpoints": ["http://x"]}, 409, "endpoints_differ"),
    ("promote", {"version": "v9"}, 404, "version_unknown"),
    ("retire", {"version": "v1"}, 409, "version_in_use"),
    ("quarantine", {"version": "v1"}, 409, "version_in_use"),
    ("release", {"version": "v9"}, 404, "version_unknown"),
    ("set_endpoints", {"version": "v9", "endpoints": ["http://x"]}, 404, "version_unknown"),
]


@pytest.mark.parametrize(("verb", "asked", "status", "code"), REFUSED)
async def test_refused_and_nothing_changed(
    control: ControlHarness, verb: str, asked: dict[str, Any], status: int, code: str
) -> None:
    before = control.service_controller.registry.as_dict()
    with pytest.raises(OperatorError) as caught:
        await getattr(control.operations, verb)(service="svc", actor="ann", **asked)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert control.service_controller.registry.as_dict() == before


@pytest.mark.parametrize("verb", ["freeze", "unfreeze", "rollback"])
async def test_an_unknown_service(control: ControlHarness, verb: str) -> None:
    with pytest.raises(OperatorError) as caught:
        await getattr(control.operations, verb)(service="nope", actor="ann")
    assert (caught.value.status, caught.value.code) == (404, "service_unknown")
    assert "svc" in caught.value.detail


async def test_subscribers_get_events(control: ControlHarness) -> None:
    queue = control.queries.subscribe()
    await control.operations.freeze(service="svc", actor="ann", reason="night")
    event = queue.get_nowait()
    assert event is not None
    assert (event["type"], event["service"], event["actor"], event["data"]) == (
        "frozen",
        "svc",
        "ann",
        {"reason": "night"},
    )
    control.queries.unsubscribe(queue)
    await control.operations.unfreeze(service="svc", actor="ann")
    assert queue.empty()


async def test_one_broken_service_is_alarmed_and_stops_no_tick(
    control: ControlHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(now_ns: int, stalled: bool) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(control.service_controller, "tick", broken)
    control.control_loop.tick(control.now_ns, 0.0)
    assert [(alarm["code"], alarm["detail"]) for alarm in control.queries.status()["alarms"]] == [
        ("router_fault", "RuntimeError: boom")
    ]


async def test_the_status_of_a_fresh_router(control: ControlHarness) -> None:
    control.workers.serve(0, Outcome.OK, 3)
    status = control.queries.status()
    assert status["boot"] == 1
    assert status["control"]["pid"] == os.getpid()
    assert [(worker["index"], worker["up"]) for worker in status["workers"]] == [(0, True), (1, True)]
    service = status["services"]["svc"]
    assert (service["state"], service["active"], service["standby"], service["way_back"]) == (
        "probation",
        "v1",
        "v2",
        True,
    )
    assert [(target["version"], target["role"], target["slot"]) for target in service["targets"]] == [
        ("v1", "active", 0),
        ("v2", "standby", 1),
    ]
    assert service["targets"][0]["totals"]["attempts"] == 3
    versions = (await control.queries.versions())["versions"]
    assert [(version["version"], version["state"], version["quarantine"]) for version in versions] == [
        ("v2", "standby", None),
        ("v1", "active", None),
    ]


async def test_other_settings_are_taken_over(control: ControlHarness) -> None:
    changed = settings(control.folder, standby={"version": "v7", "endpoints": ["http://127.0.0.1:7"]})
    control.control_loop.reconfigure(changed)
    assert control.control_loop.differences == [golden("settings.differ", role="standby", settings="v7", journal="v2")]
    await control.until_idle()
    assert (await types(control))[-1] == "settings_changed"


async def test_an_override_is_journalled_with_its_actor(control: ControlHarness) -> None:
    control.probe("v2", ok=False)
    override = Override("bob", "the probe is wrong")
    await control.operations.switch(service="svc", to="v2", actor="ann", override=override)
    entries = (await control.queries.journal(0, 100))["entries"]
    switched = next(entry for entry in entries if entry["type"] == "switched")
    assert switched["data"]["override"] == {"actor": "bob", "reason": "the probe is wrong"}


async def test_what_the_standby_did_while_it_was_active_is_no_rescue(control: ControlHarness) -> None:
    service_controller, serve = control.service_controller, control.workers.serve
    control.tick(30, lambda: (serve(0, Outcome.SERVER_ERROR, 3), serve(0, Outcome.OK, 2)))
    await control.operations.switch(service="svc", to="v2", actor="ann")
    service_controller.registry.active_since_ns = (
        control.now_ns
    )  # the judge's clock is ahead of the one that stamps facts
    control.tick(10, lambda: serve(1, Outcome.SERVER_ERROR, 2))
    assert service_controller.shares(control.now_ns) is None
    control.tick(10, lambda: (serve(1, Outcome.SERVER_ERROR, 2), serve(0, Outcome.OK, 1)))
    assert service_controller.shares(control.now_ns) == (0.0, 1.0, 10)
