"""The headline of a real service, from its registry, its judge and its counters."""

from __future__ import annotations

from typing import Any

from router.control.views import status
from router.control.views.headline import headline
from router.control.views.situation import situation
from router.rollout.outcome import Outcome
from router.shm import layout as at
from router.shm.work_table import ClaimCell
from tests.control.control_harness import ControlHarness
from tests.control.views.test_work import SECOND, put


def state(control: ControlHarness, incident: str | None = None) -> tuple[str, str]:
    found = headline(situation(control.service_controller, control.now_ns, incident))
    return found["level"], found["state"]


async def test_the_states_of_a_service_in_turn(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 5))
    assert state(control) == ("look", "probation")
    await control.operations.freeze(service="svc", reason="a test", actor="ann")
    assert state(control) == ("look", "frozen")
    await control.operations.unfreeze(service="svc", reason="", actor="ann")
    control.probe("v2", ok=False, times=5)
    assert state(control) == ("warn", "no_way_back")
    control.probe("v2", times=5)
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    assert state(control) == ("warn", "no_way_back")
    assert state(control, "svc-1-2") == ("warn", "rolled_back")


async def test_faults_that_do_not_act_yet_are_told(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 5))
    control.tick(12, lambda: control.workers.serve(0, Outcome.SERVER_ERROR, 6))
    assert state(control) == ("warn", "failing")


async def test_nothing_useful_is_told_before_a_trigger_acts(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    ClaimCell(control.segment, 0, 0).propose("POST /v1/completions")
    control.tick(11)
    put(control, 0, asked=9, last_useful_ns=control.now_ns)
    control.tick(11)
    put(control, 0, asked=33, waiting=24, oldest_wait_ns=control.now_ns)
    control.tick(15)
    assert state(control) == ("look", "probation")
    assert "no useful answer" not in status.explain(control.service_controller, control.now_ns)["summary"]
    control.tick(25)
    assert "no useful answer" in status.explain(control.service_controller, control.now_ns)["summary"]
    now = situation(control.service_controller, control.now_ns)
    assert (headline(now)["level"], now.asked_since, now.waiting) == ("act", 24, 24)
    assert 4.9 < now.quiet_s < 5.3
    row = control.segment.layout.worker_slot(0, 0, 0) + at.L_WORK
    control.segment.words[row + at.B_IN_PROGRESS] = 1  # a long answer is being written
    control.tick(11)
    assert state(control) == ("look", "probation")


async def test_the_time_since_the_last_useful_answer_is_in_the_status(control: ControlHarness) -> None:
    def figures() -> tuple[Any, Any]:
        target = control.queries.service_status("svc")["targets"][0]
        return target["last_useful_age_s"], target["asked_since_useful"]

    assert figures() == (None, None)
    ClaimCell(control.segment, 0, 0).propose("POST /v1/completions")
    control.tick(11)
    put(control, 0, asked=4)
    control.tick(11)
    assert figures() == (None, 4)
    put(control, 0, asked=9, last_useful_ns=control.now_ns + SECOND // 2)
    control.tick(11)
    put(control, 0, asked=15)
    control.tick(5)
    assert figures()[1] == 6


async def test_without_an_active_version(control: ControlHarness) -> None:
    control.service_controller.registry._targets, control.service_controller.registry._roles = {}, None
    assert state(control) == ("act", "no_active")


async def test_a_drill_tells_its_home_and_its_rest(control: ControlHarness) -> None:
    registry = control.service_controller.registry
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 5))
    control.probe("v2", times=5)
    registry.drill = {"drill": "svc-drill-1", "from": "v2", "to": "v1", "hold_s": 10.0, "away": True}
    registry.active_since_ns = control.now_ns - 4 * SECOND
    now = situation(control.service_controller, control.now_ns)
    assert (now.drill_home, round(now.drill_left_s), headline(now)["state"]) == ("v2", 6, "drill")
