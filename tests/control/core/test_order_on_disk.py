"""What is applied while a change waits for the disk comes after it in the journal: both orders must mean the same."""

from __future__ import annotations

import asyncio

import pytest

from router.control.store.records.effective import effective_of
from router.errors import Refusal
from router.rollout.facts.record import Record
from router.rollout.machine.replay import rebuild
from router.rollout.model.events import FreezeAsked, RollbackAsked
from tests.control.control_harness import ControlHarness
from tests.control.hung_disk import HungDisk
from tests.waiting import until

URL = ["http://127.0.0.1:3"]


async def folded(control: ControlHarness) -> dict[str, str]:
    """Return the states that the journal leads to."""
    await control.until_idle()
    registry = rebuild("svc", effective_of("svc", await control.journal.entries(0, 1_000)))
    return {version: target.state.value for version, target in sorted(registry.targets.items())}


async def test_a_version_that_becomes_ready_while_its_successor_waits_for_the_disk(control: ControlHarness) -> None:
    """Its `verified` comes after the `deployed` that replaces it: verified of a draining version is illegal."""
    verbs = control.operations
    await verbs.deploy(service="svc", version="v3", endpoints=URL, actor="ann")
    control.probe("v3", times=4)
    disk = HungDisk(control.disk, whole=False)
    replacing = asyncio.ensure_future(
        verbs.deploy(service="svc", version="v4", endpoints=URL, actor="ann", replace=True)
    )
    await until(disk.reached.is_set)
    control.probe("v3")
    assert control.states()["v3"] == "ready"
    disk.free.set()
    with pytest.raises(Refusal) as caught:
        await replacing
    assert caught.value.code == "lost_race"
    assert control.states()["v3"] == "ready"
    assert await folded(control) == control.states()
    answer = await verbs.deploy(service="svc", version="v4", endpoints=URL, actor="ann", replace=True)
    assert answer["changed"]
    assert await folded(control) == control.states()


async def test_what_changes_nothing_of_the_change_does_not_refuse_it(control: ControlHarness) -> None:
    """The healthy twin: a version that becomes ready beside a freeze."""
    verbs = control.operations
    await verbs.deploy(service="svc", version="v3", endpoints=URL, actor="ann")
    control.probe("v3", times=4)
    disk = HungDisk(control.disk, whole=False)
    freezing = asyncio.ensure_future(verbs.freeze(service="svc", actor="ann"))
    await until(disk.reached.is_set)
    control.probe("v3")
    disk.free.set()
    assert (await freezing)["changed"]
    assert control.states()["v3"] == "ready"
    assert await folded(control) == control.states()


async def test_a_drill_that_begins_while_the_roles_are_swapped_is_refused(control: ControlHarness) -> None:
    """A rollback comes before it in memory and after it in the journal, which would have no drill then."""
    plan = {"drill": "svc-drill-1", "mode": "real", "from": "v1", "to": "v2", "hold_s": 1.0, "timeout_s": 9.0}
    executor = control.service_controller.executor
    disk = HungDisk(control.disk, whole=False)
    beginning = asyncio.ensure_future(executor.append_and_apply(Record.of("drill_started", "ann", plan)))
    await until(disk.reached.is_set)
    control.service_controller.handle(RollbackAsked("bad", "ann"), control.now_ns)
    disk.free.set()
    with pytest.raises(Refusal) as caught:
        await beginning
    assert (caught.value.code, executor.registry.drill) == ("lost_race", None)
    assert await folded(control) == control.states()


async def test_a_drill_that_begins_beside_a_freeze_is_not_refused(control: ControlHarness) -> None:
    plan = {"drill": "svc-drill-1", "mode": "real", "from": "v1", "to": "v2", "hold_s": 1.0, "timeout_s": 9.0}
    executor = control.service_controller.executor
    disk = HungDisk(control.disk, whole=False)
    beginning = asyncio.ensure_future(executor.append_and_apply(Record.of("drill_started", "ann", plan)))
    await until(disk.reached.is_set)
    control.service_controller.handle(FreezeAsked("ann", "hold"), control.now_ns)
    disk.free.set()
    await beginning
    assert (executor.registry.drill or {})["drill"] == "svc-drill-1"
