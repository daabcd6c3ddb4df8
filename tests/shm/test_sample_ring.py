from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.rollout.judge.judge import Judge
from router.rollout.judge.rules import Rules
from router.rollout.stats.breadth import Distinct, Epoch
from router.rollout.stats.histogram import BUCKETS
from router.rollout.stats.sample import Sample
from router.rollout.stats.work_counts import WorkCounts
from router.shm import layout as at
from router.shm import segment as segments
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment

EMPTY: dict[str, list[Sample]] = {"tick": [], "second": [], "decade": []}
TIMES = ("first_byte", "duration", "abandoned", "first_useful")
WORK = {3: WorkCounts(asked=4, lost_requests=frozenset({7})), 15: WorkCounts(asked=1)}
FULL: dict[str, Any] = {
    **{name: tuple(range(number, number + BUCKETS)) for number, name in enumerate(TIMES)},
    "work": WORK,
    "epochs": (Epoch(100, faults=3, fault_requests=Distinct.of([1, 2])),),
}


def sample(number: int, incarnation: int = 1, **more: object) -> Sample:
    bare = Sample(1_000 + number, incarnation, 2, 1, number, number, 0, tuple(range(13)))
    return replace(bare, **more)  # type: ignore[arg-type]


def test_an_unwritten_ring_is_empty(segment: Segment) -> None:
    assert SampleRing(segment).load(0, 0) == EMPTY


def test_a_ring_can_begin_anew(segment: Segment) -> None:
    ring = SampleRing(segment)
    for service, slot in ((0, 0), (1, 6)):
        for tier in EMPTY:
            ring.write(service, slot, tier, sample(1, **FULL))
    ring.clear((0, 1))
    assert [ring.load(service, slot) for service, slot in ((0, 0), (1, 6))] == [EMPTY, EMPTY]


def test_what_was_written_is_loaded_by_a_successor(segment: Segment) -> None:
    ring = SampleRing(segment)
    ring.write(1, 6, "tick", sample(1))
    ring.write(1, 6, "tick", sample(2))
    ring.write(1, 6, "second", sample(2, **FULL))
    ring.write(1, 6, "decade", sample(2, **FULL))
    other = segments.attach(segment.fd)
    assert SampleRing(other).load(1, 6) == {
        "tick": [sample(1), sample(2)],
        "second": [sample(2, **FULL)],
        "decade": [sample(2, **FULL)],
    }
    assert SampleRing(other).load(1, 5) == SampleRing(other).load(0, 6) == EMPTY
    other.close()


def test_ticks_are_kept_without_histograms(segment: Segment) -> None:
    ring = SampleRing(segment)
    ring.write(0, 0, "tick", sample(1, **FULL))
    assert ring.load(0, 0)["tick"] == [sample(1)]


@pytest.mark.parametrize(("tier", "kept"), [(name, kept) for name, _, kept in at.TIERS])
def test_the_oldest_go_and_neighbours_are_not_touched(segment: Segment, tier: str, kept: int) -> None:
    ring = SampleRing(segment)
    ring.write(0, 2, "decade", sample(5))
    ring.write(0, 4, "tick", sample(6))
    for number in range(kept * 2 + 3):
        ring.write(0, 3, tier, sample(number))
    loaded = ring.load(0, 3)[tier]
    assert loaded == [sample(number) for number in range(kept + 3 + (tier == "tick"), kept * 2 + 3)]
    assert ring.load(0, 2)["decade"] == [sample(5)]
    assert ring.load(0, 4)["tick"] == [sample(6)]


def test_a_row_whose_writer_died_is_not_counted(segment: Segment) -> None:
    """The count is increased after the row: half a row, of a ring that is full, must not be seen."""
    ring = SampleRing(segment)
    kept = at.TIERS[0][2]
    for number in range(kept):
        ring.write(0, 0, "tick", sample(number))
    first_row = segment.layout.ring(0, 0) + at.RING_HEADER_WORDS
    segment.words[first_row] = sample(kept).at_ns  # the next write began here, over the oldest row
    assert SampleRing(segment).load(0, 0)["tick"] == [sample(number) for number in range(1, kept)]


def test_of_two_incarnations_only_the_newer_is_loaded(segment: Segment) -> None:
    ring = SampleRing(segment)
    ring.write(0, 0, "second", sample(1, incarnation=4))
    ring.write(0, 0, "tick", sample(2, incarnation=5))
    assert ring.load(0, 0) == {**EMPTY, "tick": [sample(2, incarnation=5)]}


def test_a_coarse_sample_remembers_the_stalls_since_the_one_before(segment: Segment) -> None:
    ring = SampleRing(segment)
    for number in range(1, 31):
        ring.write(0, 0, "tick", sample(number, stalled=number == 13))
        if number % 10 == 0:
            ring.write(0, 0, "second", sample(number))
    assert [one.stalled for one in ring.load(0, 0)["second"]] == [False, True, False]


def test_an_unknown_tier_is_a_bug(segment: Segment) -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        SampleRing(segment).write(0, 0, "minute", sample(1))


def test_a_restarted_judge_finds_its_past_in_the_wall(segment: Segment) -> None:
    judge, ring = Judge(Rules(), 120.0), SampleRing(segment)
    nothing = (0,) * BUCKETS
    for number in range(1, 601):
        histograms: dict[str, Any] = {**dict.fromkeys(TIMES, nothing), "work": WORK} if number % 10 == 1 else {}
        one = replace(sample(0, **histograms), at_ns=number * 100_000_000, begun=number * 4)
        for tier in judge.observe(2, one):
            ring.write(0, 2, tier, one)
    successor = Judge(Rules(), 120.0)
    for tier, samples in SampleRing(segment).load(0, 2).items():
        successor.restore(2, tier, samples)
    now_ns = 600 * 100_000_000
    for asked_s in (2.0, 10.0, 50.0):
        assert successor.window(2, asked_s, now_ns) == judge.window(2, asked_s, now_ns)
    assert [entry.sample.work for entry in successor.entries(2)[-10:]] == [
        entry.sample.work for entry in judge.entries(2)[-10:]
    ]
