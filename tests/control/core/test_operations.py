"""The operator's verbs: answers, preconditions, races, refusals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from router.control.core.executor import Preconditions
from router.errors import Refusal
from router.rollout.model.events import Override
from router.rollout.model.route import Flag, Route
from router.shm import layout as at
from tests.control.control_harness import (
    DEAD,
    ControlHarness,
    FakeWorkers,
    first_generation,
    journaled_types,
    new_segment,
    settings,
)
from tests.texts import golden
from tests.waiting import until


async def test_a_switch_answers_when_every_worker_has_confirmed(control: ControlHarness) -> None:
    answer = await control.operations.switch(service="svc", to="v2", reason="try", actor="ann")
    assert answer["swap_us"] >= 0
    assert 0 <= answer["confirmed_ms"] < 1000
    assert {**answer, "swap_us": 0, "confirmed_ms": 0} == {
        "service": "svc",
        "generation": first_generation(1),
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
    assert control.service_controller.executor.cell.read() == Route(first_generation(1), active=1, standby=0)
    again = await control.operations.switch(service="svc", to="v2", reason="try", actor="ann")
    assert (again["changed"], again["generation"], again["confirmed"]) == (False, first_generation(1), True)
    assert await journaled_types(control) == ["boot", "seeded", "seeded", "switched", "confirmed"]
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


def acknowledged(control: ControlHarness, worker: int) -> int:
    """Return the generation that a worker has acknowledged."""
    return control.segment.words[control.segment.layout.worker_service(worker, 0) + at.LS_ACKNOWLEDGED]


async def test_a_late_acknowledgement_ends_the_wait(control: ControlHarness) -> None:
    control.workers.deaf.add(1)
    waiting = asyncio.ensure_future(control.operations.switch(service="svc", to="v2", actor="ann"))
    await until(
        lambda: control.service_controller.executor.cell.read() == Route(first_generation(1), active=1, standby=0)
    )
    await until(lambda: acknowledged(control, 0) == first_generation(1))
    assert acknowledged(control, 1) < first_generation(1)
    assert not waiting.done()
    control.workers.deaf.clear()
    control.workers.acknowledge(1)
    assert (await waiting)["confirmed"] is True


@pytest.mark.parametrize(
    ("preconditions", "code"),
    [(Preconditions(generation=5), "generation_stale"), (Preconditions(from_version="v2"), "from_mismatch")],
)
async def test_preconditions_are_compared(control: ControlHarness, preconditions: Preconditions, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        await control.operations.switch(service="svc", to="v2", actor="ann", preconditions=preconditions)
    assert (caught.value.code, caught.value.facts["generation"]) == (
        code,
        first_generation(),
    )
    true = Preconditions(generation=first_generation(), from_version="v1")
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
    assert isinstance(two, Refusal)
    assert (two.code, two.facts.pop("waited_s")) == ("lost_race", pytest.approx(0, abs=5))
    assert two.facts == {"generation": first_generation(2), "active": "v2", "overtaken_by": "switched"}
    assert control.states() == {"v1": "standby", "v2": "active", "v3": "ready"}
    assert not {"promoted", "abandoned"} & set(await journaled_types(control))


async def test_of_two_equal_changes_at_once_one_changes_something(control: ControlHarness) -> None:
    one, two = await asyncio.gather(
        control.operations.switch(service="svc", to="v2", actor="ann"),
        control.operations.switch(service="svc", to="v2", actor="ann"),
    )
    assert [one["changed"], two["changed"]] == [True, False]
    assert (await journaled_types(control)).count("switched") == 1


async def test_a_dry_run_changes_nothing(control: ControlHarness) -> None:
    before = control.service_controller.registry.as_dict()
    answer = await control.operations.switch(service="svc", to="v2", actor="ann", dry_run=True)
    assert (answer["changed"], answer["dry_run"], answer["message"]) == (True, True, golden("switch.dry_run"))
    assert answer["generation"] == first_generation()
    with pytest.raises(Refusal):
        await control.operations.switch(service="svc", to="v9", actor="ann", dry_run=True)
    assert control.service_controller.registry.as_dict() == before
    assert await journaled_types(control) == ["boot", "seeded", "seeded"]


async def test_a_rollback_by_a_person(control: ControlHarness) -> None:
    answer = await control.operations.rollback(service="svc", reason="bad", actor="ann")
    assert (answer["incident"], answer["active"], answer["standby"]) == ("svc-1-2", "v2", None)
    assert control.service_controller.executor.cell.read() == Route(
        first_generation(1), active=1, flags=Flag.REDISPATCH
    )
    (incident,) = control.service_controller.registry.incidents
    assert (incident["manual"], incident["actor"], incident["swap_us"]) == (True, "ann", answer["swap_us"])
    control.tick()
    assert control.states() == {"v1": "retired", "v2": "active"}
    with pytest.raises(Refusal) as caught:
        await control.operations.promote(service="svc", version="v1", actor="ann")
    assert caught.value.code == "version_quarantined"


async def test_moved_endpoints_are_probed_before_they_are_used(control: ControlHarness) -> None:
    with pytest.raises(Refusal) as caught:
        await control.operations.set_endpoints(
            service="svc", version="v2", endpoints=["http://127.0.0.1:1"], actor="ann"
        )
    assert caught.value.code == "version_not_ready"
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answer = await control.operations.set_endpoints(service="svc", version="v2", endpoints=[url], actor="ann")
    assert (answer["changed"], answer["confirmed"]) == (True, True)
    content = control.service_controller.executor.held.slots.read(1)
    assert content is not None
    assert content.endpoints == (url,)
    server.close()
    await server.wait_closed()


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("deploy", {"version": "v3", "endpoints": ["ftp://x"]}, "endpoint_invalid"),
    ("deploy", {"version": "", "endpoints": ["http://x"]}, "version_invalid"),
    ("deploy", {"version": "v2", "endpoints": ["http://x"]}, "endpoints_differ"),
    (
        "deploy",
        {"version": "v3", "endpoints": ["http://x"], "headers_file": "/nowhere/key"},
        "headers_file_unusable",
    ),
    ("deploy", {"version": "v2", "endpoints": ["http://127.0.0.1:2"], "host": "other"}, "rewrite_differs"),
    ("promote", {"version": "v9"}, "version_unknown"),
    ("retire", {"version": "v1"}, "version_in_use"),
    ("quarantine", {"version": "v1"}, "version_in_use"),
    ("release", {"version": "v9"}, "version_unknown"),
    ("set_endpoints", {"version": "v9", "endpoints": ["http://x"]}, "version_unknown"),
]


@pytest.mark.parametrize(("verb", "asked", "code"), REFUSED)
async def test_refused_and_nothing_changed(
    control: ControlHarness, verb: str, asked: dict[str, Any], code: str
) -> None:
    before = control.service_controller.registry.as_dict()
    with pytest.raises(Refusal) as caught:
        await getattr(control.operations, verb)(service="svc", actor="ann", **asked)
    assert caught.value.code == code
    assert control.service_controller.registry.as_dict() == before


@pytest.mark.parametrize("verb", ["freeze", "unfreeze", "rollback"])
async def test_an_unknown_service(control: ControlHarness, verb: str) -> None:
    with pytest.raises(Refusal) as caught:
        await getattr(control.operations, verb)(service="nope", actor="ann")
    assert caught.value.code == "service_unknown"
    assert "svc" in caught.value.detail


async def test_an_override_is_journalled_with_its_actor(control: ControlHarness) -> None:
    control.probe("v2", ok=False)
    override = Override("bob", "the probe is wrong")
    await control.operations.switch(service="svc", to="v2", actor="ann", override=override)
    entries = (await control.queries.journal(0, 100))["entries"]
    switched = next(entry for entry in entries if entry["type"] == "switched")
    assert switched["data"]["override"] == {"actor": "bob", "reason": "the probe is wrong"}
