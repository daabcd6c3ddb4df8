from __future__ import annotations

import pytest

from router.control.crew import Crew
from router.control.sampler import Stalls, Wellness, evidence
from router.rollout.histogram import index
from router.rollout.outcome import Outcome
from router.rollout.rules import Rules
from router.shm import layout as at
from router.shm.lanes import Lanes
from router.shm.samples import SampleRing
from router.shm.wall import Wall
from tests.control.crew_of_fakes import DEAD, Life, FakeWorkers, new_wall

SECOND = 1_000_000_000


async def test_a_sample_is_what_the_lanes_counted_since_the_slot_was_filled(life: Life) -> None:
    row = life.wall.layout.lane_slot(1, 0, 0) + at.L_FIRST_BYTE + index(1500)
    life.wall.words[row] += 7
    life.workers.serve(0, Outcome.OK, 5)
    life.workers.serve(0, Outcome.TIMED_OUT, 2)
    life.workers.claim(0, worker=1)
    life.tick()
    ring = SampleRing(life.wall).load(0, 0)
    (sample,) = ring["tick"]
    assert (sample.at_ns, sample.incarnation, sample.role) == (life.now_ns, 1, 1)
    assert (sample.claimed, sample.begun, sample.faults_unbegun) == (8, 5, 2)
    assert [sample.outcomes[outcome] for outcome in (Outcome.OK, Outcome.TIMED_OUT)] == [5, 2]
    (full,) = ring["second"]
    assert full.first_byte is not None
    assert full.first_byte[index(1500)] == 7
    assert SampleRing(life.wall).load(0, 1)["tick"][0].role == 2


async def test_histograms_come_once_a_second(life: Life) -> None:
    life.tick(21)
    ring = SampleRing(life.wall).load(0, 0)
    assert [len(ring[tier]) for tier in ("tick", "second", "decade")] == [21, 3, 1]
    assert all(sample.histograms is not None for sample in ring["second"])


async def test_the_evidence_of_an_incident(life: Life) -> None:
    life.tick(3)
    begun_ns = life.now_ns
    life.tick(5, lambda: life.workers.serve(0, Outcome.SERVER_ERROR, 2))
    life.workers.serve(0, Outcome.CLIENT_GONE, 3)
    life.tick()
    told = evidence(life.bench.judge, life.bench.registry, begun_ns, life.now_ns)
    assert told == {"requests": 13, "errors": {"server_error": 10}, "rescued": 0, "seconds": 0.7}


def stalls(wall: Wall, workers: FakeWorkers) -> Stalls:
    lanes = Lanes(wall)
    return Stalls(lanes, Crew(lanes, workers.wakes, workers.acks))


async def test_our_own_stalls_are_seen() -> None:
    wall = new_wall()
    workers = FakeWorkers(wall)
    for index_ in (0, 1):
        wall.words[wall.layout.lane(index_) + at.W_HEARTBEAT_NS] = 10 * SECOND
    looking = stalls(wall, workers)
    assert not looking.look(10 * SECOND, 0.0, 1.0)
    assert looking.look(10 * SECOND, 1.1, 1.0), "control itself was late"
    wall.words[wall.layout.lane(0) + at.W_LAG_SUM_US] += 1_200_000
    assert looking.look(10 * SECOND, 0.0, 1.0), "a worker was late"
    assert not looking.look(10 * SECOND, 0.0, 1.0), "and is no more"
    wall.words[wall.layout.lane(0) + at.W_HEARTBEAT_NS] = 12 * SECOND
    assert looking.look(12 * SECOND, 0.0, 1.0), "a worker is stopped"
    workers.live(1, DEAD)
    assert not looking.look(12 * SECOND, 0.0, 1.0), "a dead one counts nothing"
    workers.close()
    wall.close()


@pytest.mark.parametrize(("faults", "of", "unwell"), [(4, 10, False), (5, 600, False), (5, 500, False), (6, 500, True)])
def test_our_own_faults_make_the_numbers_doubtful(faults: int, of: int, unwell: bool) -> None:
    wall = new_wall()
    wellness = Wellness(Lanes(wall), 0)
    row = wall.layout.lane_service(0, 0) + at.LS_ENDED
    wall.words[row + Outcome.ROUTER_FAULT] = 50
    assert wellness.unwell(0, Rules()) is None
    wall.words[row + Outcome.ROUTER_FAULT] += faults
    wall.words[row + Outcome.OK] += of - faults
    told = wellness.unwell(SECOND, Rules())
    assert (told is not None) is unwell
    assert told is None or told == f"the router itself failed {faults} of {of} exchanges in 60 s"
    for second in range(2, 63):
        wellness.unwell(second * SECOND, Rules())
    assert wellness.unwell(63 * SECOND, Rules()) is None
    wall.close()
