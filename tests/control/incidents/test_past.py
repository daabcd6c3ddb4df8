from __future__ import annotations

from router.control.incidents.past import trail_of
from router.rollout.outcome import Outcome
from router.rollout.window import History
from tests.control.crew_of_fakes import Life


def test_what_the_judge_has_not_seen_is_read_from_the_ring(life: Life) -> None:
    life.tick(30, lambda: life.workers.serve(0, Outcome.OK, 3))
    place = (0, life.bench.registry.targets["v1"].incarnation)
    seen = trail_of(life.bench, place, None)
    life.bench.judge._histories[0] = History()
    assert list(trail_of(life.bench, place, None)) == []
    kept = trail_of(life.bench, place, life.wall)
    assert [entry.at_ns for entry in kept] == [entry.at_ns for entry in seen]
    assert kept[-1].sample == seen[-1].sample


def test_another_tenant_is_not_taken_for_this_one(life: Life) -> None:
    life.tick(3)
    incarnation = life.bench.registry.targets["v1"].incarnation
    assert list(trail_of(life.bench, (0, incarnation + 1), life.wall)) == []
    assert list(trail_of(life.bench, None, life.wall)) == []
