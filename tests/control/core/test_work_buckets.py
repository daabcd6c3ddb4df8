from __future__ import annotations

from collections.abc import Iterator

import pytest

from router.control.core.work_buckets import CHEAP_MAX, OTHERS, WorkBuckets
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import NAMED_BUCKETS, OTHER_INFERENCE
from router.rollout.work_paths import InferenceRules
from router.shm import segment as segments
from router.shm.segment import Segment
from router.shm.work_table import ClaimCell, WorkTable


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = segments.create(workers=2, services=2)
    yield made
    made.close()


def made(segment: Segment, *known: str, rules: InferenceRules | None = None) -> WorkBuckets:
    return WorkBuckets(segment, 1, rules or InferenceRules(), known)


def named(buckets: WorkBuckets) -> dict[str, bool]:
    return {one.name: one.inference for number, one in buckets.buckets.items() if number < NAMED_BUCKETS}


def test_a_proposal_gets_a_number_that_workers_read(segment: Segment) -> None:
    buckets = made(segment)
    ClaimCell(segment, 0, 1).propose("POST /v1/completions")
    ClaimCell(segment, 1, 1).propose("GET /v1/models")
    buckets.update({}, {})
    assert named(buckets) == {"POST /v1/completions": True, "GET /v1/models": False}
    read = WorkTable(segment, 1).read()
    assert read is not None
    assert {number: entry.name for number, entry in read.items() if number < NAMED_BUCKETS} == {
        0: "POST /v1/completions",
        1: "GET /v1/models",
    }
    assert WorkTable(segment, 0).read() == {}


def test_an_unchanged_table_is_not_written_again(segment: Segment) -> None:
    buckets = made(segment)
    ClaimCell(segment, 0, 1).propose("POST /a")
    buckets.update({}, {})
    sequence = WorkTable(segment, 1).sequence
    buckets.update({}, {})
    ClaimCell(segment, 1, 1).propose("POST /a")
    buckets.update({}, {})
    assert WorkTable(segment, 1).sequence == sequence


def test_a_restarted_control_keeps_numbers(segment: Segment) -> None:
    first = made(segment)
    for name in ("POST /b", "POST /a"):
        ClaimCell(segment, 0, 1).propose(name)
        first.update({}, {})
    successor = made(segment, "POST /a", "POST /c")
    assert [successor.buckets[number].name for number in range(3)] == ["POST /b", "POST /a", "POST /c"]


def test_known_times_are_written_for_workers(segment: Segment) -> None:
    buckets = made(segment, "POST /a")
    buckets.update({}, {0: (10.0, 0.5), OTHER_INFERENCE: (50.0, None)})
    assert WorkTable(segment, 1).times(0) == (10_000_000, 500_000)
    assert WorkTable(segment, 1).times(OTHER_INFERENCE) == (50_000_000, 0)
    buckets.update({}, {})
    assert WorkTable(segment, 1).times(0) == (0, 0)


def test_cheap_paths_leave_room_for_inference(segment: Segment) -> None:
    buckets = made(segment, *(f"GET /page{number}" for number in range(40)), *(f"POST /p{n}" for n in range(40)))
    found = named(buckets)
    assert len(found) == NAMED_BUCKETS
    assert sum(not inference for inference in found.values()) == CHEAP_MAX


@pytest.mark.parametrize("name", ["", "nonsense", *(bucket.name for bucket in OTHERS.values())])
def test_what_is_no_name_is_none(segment: Segment, name: str) -> None:
    assert named(made(segment, name)) == {}


def test_gets_are_inference_only_where_there_is_nothing_else(segment: Segment) -> None:
    buckets = made(segment, "GET /score", "GET /health")
    buckets.update({}, {})
    assert named(buckets) == {"GET /score": True, "GET /health": False}
    buckets.update({OTHER_INFERENCE: WorkCounts(asked=1)}, {})
    assert not any(named(buckets).values()), "a POST that hangs shows that GETs are not all"
    buckets.update({}, {})
    ClaimCell(segment, 0, 1).propose("POST /score")
    buckets.update({}, {})
    assert named(buckets) == {"GET /score": False, "GET /health": False, "POST /score": True}


def test_settings_decide_what_is_inference(segment: Segment) -> None:
    buckets = made(segment, "POST /score", "GET /search")
    buckets.reconfigure(InferenceRules(paths=["/search"], not_paths=["/score"]))
    assert named(buckets) == {"POST /score": False, "GET /search": True}
    read = WorkTable(segment, 1).read()
    assert read is not None
    assert [read[number].inference for number in (0, 1)] == [False, True]
