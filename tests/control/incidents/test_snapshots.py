from __future__ import annotations

import dataclasses

from router.control.incidents.snapshots import beginning_ns, trail_of
from router.rollout.outcome import Outcome
from router.rollout.stats.window import SlotHistory
from router.rollout.units import SECOND_NS
from tests.control.control_harness import ControlHarness
from tests.control.incidents.played_incident import INCIDENT, Played
from tests.rollout.simulator import seconds

PLACE = (0, 1)
"""Slot and incarnation of v1."""


def test_a_second_look_keeps_what_the_first_one_saw_finer(played: Played) -> None:
    snapshot = played.snapshot()
    later, alone = snapshot.samples(), dataclasses.replace(snapshot, known=None).samples()
    assert later["left"]["fault_ns"] == seconds(70.5)
    assert alone["left"]["fault_ns"] == seconds(71), "after two minutes only whole seconds are kept"
    ends = [point[0] for point in later["left"]["points"]]
    assert ends == sorted(set(ends))
    assert (ends[0], ends[-1]) == (seconds(1), seconds(190))
    assert sum(point[2] for point in later["left"]["points"]) == 7005


def test_a_look_at_nothing_takes_nothing_away(played: Played) -> None:
    snapshot = played.snapshot()
    assert dataclasses.replace(snapshot, trails=((), ())).samples()["left"] == snapshot.known["left"]
    blind = dataclasses.replace(snapshot, trails=((), ()), known=None).samples()
    assert (blind["left"], blind["back"], blind["endpoints"]) == (
        None,
        None,
        ["http://fraud-v8:1", "http://fraud-v8:2"],
    )


def test_trouble_of_unknown_beginning_begins_with_the_promotion_or_a_quarter_of_an_hour_before(played: Played) -> None:
    manual = Played(before_s=5, fail_s=2, after_s=6, trigger=None).timelines.timelines[INCIDENT]
    assert beginning_ns(manual) == seconds(1.0)
    assert manual.promoted is not None
    earlier = dataclasses.replace(manual, promoted=dataclasses.replace(manual.promoted, boot=2))
    assert beginning_ns(earlier) == manual.opening.monotonic_ns - 900 * SECOND_NS
    assert beginning_ns(played.timelines.timelines[INCIDENT]) == seconds(60.1)


def test_what_was_put_together_anew_stays_marked(played: Played) -> None:
    again = dataclasses.replace(played.snapshot(), reconstructed=True).samples()
    assert dataclasses.replace(played.snapshot(), known=again).samples()["reconstructed"] is True


def test_what_the_judge_has_not_seen_is_read_from_the_ring(control: ControlHarness) -> None:
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 3))
    seen = trail_of(control.service_controller, PLACE, None)
    control.service_controller.judge._histories[0] = SlotHistory()
    assert list(trail_of(control.service_controller, PLACE, None)) == []
    from_memory = trail_of(control.service_controller, PLACE, control.segment)
    assert [entry.at_ns for entry in from_memory] == [entry.at_ns for entry in seen]
    assert from_memory[-1].sample == seen[-1].sample


async def test_the_samples_of_a_drained_version_are_found_until_its_slot_is_filled_anew(
    control: ControlHarness,
) -> None:
    control.tick(3)
    held = control.service_controller.executor.held
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    assert ("v1" in held.table.held, held.last_place("v1")) == (False, PLACE)
    assert len(trail_of(control.service_controller, PLACE, control.segment)) > 0
    assert list(trail_of(control.service_controller, (0, 2), control.segment)) == []
    assert list(trail_of(control.service_controller, None, control.segment)) == []
