from __future__ import annotations

from router.control.incidents.snapshots import trail_of
from router.rollout.outcome import Outcome
from router.rollout.stats.window import SlotHistory
from tests.control.control_harness import ControlHarness


def test_what_the_judge_has_not_seen_is_read_from_the_ring(life: ControlHarness) -> None:
    life.tick(30, lambda: life.workers.serve(0, Outcome.OK, 3))
    place = (0, life.service_controller.registry.targets["v1"].incarnation)
    seen = trail_of(life.service_controller, place, None)
    life.service_controller.judge._histories[0] = SlotHistory()
    assert list(trail_of(life.service_controller, place, None)) == []
    kept = trail_of(life.service_controller, place, life.segment)
    assert [entry.at_ns for entry in kept] == [entry.at_ns for entry in seen]
    assert kept[-1].sample == seen[-1].sample


def test_another_tenant_is_not_taken_for_this_one(life: ControlHarness) -> None:
    life.tick(3)
    incarnation = life.service_controller.registry.targets["v1"].incarnation
    assert list(trail_of(life.service_controller, (0, incarnation + 1), life.segment)) == []
    assert list(trail_of(life.service_controller, None, life.segment)) == []
