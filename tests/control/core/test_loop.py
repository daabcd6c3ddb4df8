"""The control loop: verdicts, ticks, settings, and what the status shows after them."""

from __future__ import annotations

import asyncio
import os
import sqlite3

import pytest

from router.control.store.journal_rows import FILE
from router.errors import Refusal
from router.rollout.model.route import Flag, Route
from router.rollout.outcome import Outcome
from tests.control.control_harness import (
    ControlHarness,
    first_generation,
    journaled_types,
    settings,
)
from tests.texts import golden


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
    with pytest.raises(Refusal) as caught:
        await control.operations.switch(service="svc", to="v2", actor="ann")
    assert caught.value.code == "journal_unavailable"
    assert control.states() == {"v1": "active", "v2": "standby"}
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    assert control.service_controller.executor.cell.read() == Route(
        first_generation(2), active=1, flags=Flag.REDISPATCH
    )
    assert control.queries.service_status("svc")["last_switch"]["journalled"] is False
    other.execute("ROLLBACK")
    other.close()
    await control.until_idle()
    assert control.queries.service_status("svc")["last_switch"]["journalled"] is True
    assert (await journaled_types(control))[3:] == ["rolled_back", "confirmed"]


async def test_a_verdict_overtakes_a_change_that_waits_for_the_disk(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(3)
    other = sqlite3.connect(control.folder / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.ensure_future(control.operations.switch(service="svc", to="v2", reason="by hand", actor="ann"))
    await asyncio.sleep(0)  # it is handed to the writer, which waits for the lock
    control.tick(30, lambda: failing(control) if control.states()["v1"] == "active" else None)
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(Refusal) as caught:
        await waiting
    assert (caught.value.code, caught.value.facts["active"]) == ("lost_race", "v2")
    assert caught.value.facts["overtaken_by"] == "rolled_back"
    assert caught.value.facts["waited_s"] > 0
    await control.until_idle()
    assert control.service_controller.registry.quarantines.keys() == {"v1"}
    assert (await journaled_types(control))[3:5] == ["switched", "rolled_back"]
    assert "abandoned" in await journaled_types(control)
    live = control.service_controller.registry.as_dict()
    await control.end()
    successor = await ControlHarness(control.settings, control.segment, control.workers, control.folder).begin()
    assert successor.service_controller.registry.as_dict() == live
    await successor.end()


async def test_a_change_that_would_be_another_one_after_its_wait_is_refused(control: ControlHarness) -> None:
    """No route is published meanwhile, so only the comparison of both results shows it."""
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.workers.claim(2)
    await control.operations.retire(service="svc", version="v3", actor="ann")
    other = sqlite3.connect(control.folder / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waiting = asyncio.ensure_future(control.operations.retire(service="svc", version="v3", cut=True, actor="ann"))
    await asyncio.sleep(0)
    control.workers.end(2, Outcome.OK)
    control.tick()  # its last request has ended, so its slot is freed
    other.execute("ROLLBACK")
    other.close()
    with pytest.raises(Refusal) as caught:
        await waiting
    assert (caught.value.code, caught.value.facts["overtaken_by"]) == ("lost_race", None)
    await control.until_idle()
    assert "abandoned" in await journaled_types(control)


async def test_a_bad_standby_blocks_the_rollback_with_one_alarm(control: ControlHarness) -> None:
    control.probe("v2", ok=False, refused=True)
    control.tick(3)
    control.tick(50, lambda: failing(control))
    await control.until_idle()
    assert control.states() == {"v1": "active", "v2": "standby"}
    assert (await journaled_types(control)).count("no_better_target") == 1
    status = control.queries.service_status("svc")
    assert status["state"] == "no_better_target"
    assert [alarm["code"] for alarm in control.queries.status()["alarms"]].count("no_better_target") == 1
    assert "the rollback is blocked" in control.queries.explain("svc")["summary"]


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
    control.control_loop.reconfigure(changed, 2)
    assert control.control_loop.differences == [golden("settings.differ", role="standby", settings="v7", journal="v2")]
    await control.until_idle()
    assert (await journaled_types(control))[-1] == "settings_changed"


async def test_what_the_standby_did_while_it_was_active_is_no_rescue(control: ControlHarness) -> None:
    service_controller, serve = control.service_controller, control.workers.serve
    control.tick(30, lambda: (serve(0, Outcome.SERVER_ERROR, 3), serve(0, Outcome.OK, 2)))
    await control.operations.switch(service="svc", to="v2", actor="ann")
    service_controller.registry.active_since_ns = (
        control.now_ns
    )  # the judge's clock is ahead of the one that stamps facts
    control.tick(10, lambda: serve(1, Outcome.SERVER_ERROR, 2))
    assert service_controller.shares(control.now_ns) is None
    control.tick(10, lambda: (serve(1, Outcome.SERVER_ERROR, 2), control.workers.rescue(1)))
    assert service_controller.shares(control.now_ns) == (0.0, 1.0, 10)


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
