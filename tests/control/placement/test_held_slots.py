"""Slots: given back only when nothing can be claimed on them any more, and what happens when none is free."""

from __future__ import annotations

import asyncio

import pytest

from router.errors import Refusal
from router.rollout.outcome import Outcome
from tests.control.control_harness import DEAD, ControlHarness
from tests.waiting import until


async def test_a_slot_is_given_back_only_when_nothing_can_be_claimed_on_it(control: ControlHarness) -> None:
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.probe("v3", times=5)
    control.workers.claim(1)
    control.workers.deaf.add(1)
    asking = asyncio.ensure_future(control.operations.promote(service="svc", version="v3", actor="ann"))
    await until(lambda: control.states()["v3"] == "active")
    control.tick()
    assert control.states()["v2"] == "draining"
    control.workers.deaf.clear()
    control.workers.acknowledge(1)
    await asking
    control.tick()
    assert control.states()["v2"] == "draining", "one attempt is in flight"
    control.workers.end(1, Outcome.OK)
    control.tick()
    assert control.states()["v2"] == "retired"


async def test_a_stopped_worker_keeps_the_slot_and_a_dead_one_does_not(control: ControlHarness) -> None:
    control.workers.deaf.add(1)
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    asking = asyncio.ensure_future(control.operations.retire(service="svc", version="v3", actor="ann"))
    await until(lambda: control.states()["v3"] == "draining")
    control.tick()
    assert control.states()["v3"] == "draining"
    control.workers.live(1, DEAD)
    control.workers.acknowledge(0)
    await asking
    control.tick()
    assert control.states()["v3"] == "retired"


async def test_seven_versions_and_one_more(control: ControlHarness) -> None:
    for number in range(3, 8):
        await control.operations.deploy(
            service="svc", version=f"v{number}", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
        )
        control.workers.claim(number - 1)
    with pytest.raises(Refusal) as caught:
        await control.operations.deploy(
            service="svc", version="v8", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
        )
    error = caught.value
    assert error.code == "slots_busy"
    assert "v3 (draining, 1 in flight," in error.detail
    assert "retire one of them" in error.detail
    await control.operations.retire(service="svc", version="v3", actor="ann", cut=True)
    assert (
        control.service_controller.executor.held.slots.cut_generation(2)
        == control.service_controller.registry.generation
    )
    control.workers.end(2, Outcome.CUT)
    control.tick()
    answer = await control.operations.deploy(
        service="svc", version="v8", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
    )
    assert answer["state"] == "verifying"
    assert control.service_controller.executor.held.table.slot_of("v8") == 2
    assert control.service_controller.executor.counters.scalars(2)[0] == 0, "the new tenant counts from zero"
