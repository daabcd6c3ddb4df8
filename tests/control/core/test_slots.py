"""Slots: given back only when nothing can be claimed on them any more, and what happens when none is free."""

from __future__ import annotations

import asyncio

import pytest

from router.errors import OperatorError
from router.rollout.outcome import Outcome
from tests.control.control_harness import DEAD, ControlHarness


def first(life: ControlHarness, plus: int = 0) -> int:
    return (1 << 24) + 1 + plus


async def types(life: ControlHarness) -> list[str]:
    return [entry["type"] for entry in (await life.queries.journal(0, 1000))["entries"]]


async def test_a_slot_is_given_back_only_when_nothing_can_be_claimed_on_it(life: ControlHarness) -> None:
    await life.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    life.probe("v3", times=5)
    life.workers.claim(1)
    life.workers.deaf.add(1)
    asking = asyncio.ensure_future(life.operations.promote(service="svc", version="v3", actor="ann"))
    while life.states()["v3"] != "active":
        await asyncio.sleep(0.002)
    life.tick()
    assert life.states()["v2"] == "draining"
    life.workers.deaf.clear()
    life.workers.acknowledge(1)
    await asking
    life.tick()
    assert life.states()["v2"] == "draining", "one attempt is in flight"
    life.workers.end(1, Outcome.OK)
    life.tick()
    assert life.states()["v2"] == "retired"


async def test_a_stopped_worker_keeps_the_slot_and_a_dead_one_does_not(life: ControlHarness) -> None:
    life.workers.deaf.add(1)
    await life.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    asking = asyncio.ensure_future(life.operations.retire(service="svc", version="v3", actor="ann"))
    while life.states()["v3"] != "draining":
        await asyncio.sleep(0.002)
    life.tick()
    assert life.states()["v3"] == "draining"
    life.workers.live(1, DEAD)
    life.workers.acknowledge(0)
    await asking
    life.tick()
    assert life.states()["v3"] == "retired"


async def test_seven_versions_and_one_more(life: ControlHarness) -> None:
    for number in range(3, 8):
        await life.operations.deploy(
            service="svc", version=f"v{number}", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
        )
        life.workers.claim(number - 1)
    with pytest.raises(OperatorError) as caught:
        await life.operations.deploy(
            service="svc", version="v8", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
        )
    error = caught.value
    assert (error.status, error.code) == (409, "slots_busy")
    assert "v3 (draining, 1 in flight," in error.detail
    assert "retire VERSION --cut" in error.detail
    await life.operations.retire(service="svc", version="v3", actor="ann", cut=True)
    assert life.service_controller.executor.slots.cut_generation(2) == first(life, 6)
    life.workers.end(2, Outcome.CUT)
    life.tick()
    told = await life.operations.deploy(
        service="svc", version="v8", endpoints=["http://127.0.0.1:3"], actor="ann", replace=True
    )
    assert told["state"] == "verifying"
    assert life.service_controller.registry.targets["v8"].slot == 2
    assert life.service_controller.executor.counters.scalars(2)[0] == 0, "the new tenant counts from zero"
