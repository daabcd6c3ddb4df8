from __future__ import annotations

from typing import Any

import pytest

from router.control.views import status, work
from router.rollout.outcome import Outcome
from router.rollout.stats.work_counts import WorkCounts
from router.rollout.work import OTHER_INFERENCE, WorkEnd
from router.shm import layout as at
from router.shm.work_table import ClaimCell
from tests.control.control_harness import ControlHarness
from tests.texts import golden

SECOND = 1_000_000_000
NOW = 1_000 * SECOND
LOST = frozenset({7})


@pytest.mark.parametrize(
    ("counts", "promoted_s", "nothing_useful", "since_s"),
    [
        ([WorkCounts(asked=5, waiting=5)], 30, True, 30),
        ([WorkCounts(asked=5, waiting=5)], 5, False, 5),  # just promoted
        ([WorkCounts(asked=5, lost_requests=LOST)], 30, True, 30),
        ([WorkCounts(asked=5, waiting=5, last_useful_ns=NOW - 9 * SECOND)], 30, False, 9),
        ([WorkCounts(asked=5, waiting=5, last_useful_ns=NOW - 11 * SECOND)], 30, True, 11),
        ([WorkCounts(asked=5, waiting=5), WorkCounts(asked=1, last_useful_ns=NOW - SECOND)], 30, False, 1),
        ([WorkCounts(asked=5)], 30, False, 30),  # idle: nothing was lost, nothing waits
        ([WorkCounts(asked=5, waiting=1, in_progress=1)], 30, False, 30),  # a long answer is being written
    ],
)
def test_nothing_is_useful(counts: list[WorkCounts], promoted_s: int, nothing_useful: bool, since_s: float) -> None:
    found = work.progress_of(counts, NOW - promoted_s * SECOND, 10.0, NOW)
    assert (found["nothing_useful"], found["since_s"]) == (nothing_useful, since_s)


def put(control: ControlHarness, bucket: int, **words: int) -> None:
    row = control.segment.layout.worker_slot(0, 0, 0) + at.L_WORK + bucket * at.WORK_WORDS
    for name, value in words.items():
        control.segment.words[row + getattr(at, f"B_{name.upper()}")] = value


async def test_the_work_of_a_version_by_bucket(control: ControlHarness) -> None:
    ClaimCell(control.segment, 0, 0).propose("GET /v1/models")
    control.tick(11)
    ClaimCell(control.segment, 0, 0).propose("POST /v1/completions")
    control.tick(11)
    put(control, 0, asked=2)
    put(
        control,
        1,
        asked=9,
        waiting=1,
        oldest_wait_ns=control.now_ns - 3 * SECOND,
        last_useful_ns=control.now_ns - SECOND,
    )
    ends = control.segment.layout.worker_slot(0, 0, 0) + at.L_WORK + at.WORK_WORDS + at.B_ENDS
    control.segment.words[ends + WorkEnd.USEFUL], control.segment.words[ends + WorkEnd.GONE_EARLY] = 6, 2
    found = work.of_version(control.service_controller, 0, control.now_ns)
    assert [(one["bucket"], one["inference"], one["asked"]) for one in found] == [
        ("POST /v1/completions", True, 9),
        ("GET /v1/models", False, 2),
    ]
    document: dict[str, Any] = dict(found[0])
    assert (document["useful"], document["without_use"], document["waiting"]) == (6, {"gone_early": 2}, 1)
    assert (document["oldest_wait_s"], document["last_useful_s"], document["limit_s"]) == (3.0, 1.0, None)
    assert [one["asked"] for one in control.queries.service_status("svc")["targets"][0]["work"]] == [9, 2]


async def test_a_version_that_only_answers_gets_is_not_said_to_work(control: ControlHarness) -> None:
    """E1: every POST hangs, GET /v1/models answers at once."""
    control.probe("v2", times=3)
    ClaimCell(control.segment, 0, 0).propose("GET /v1/models")
    control.tick(200, lambda: control.workers.serve(0, Outcome.OK, 5))
    assert status.explain(control.service_controller, control.now_ns)["summary"] == golden("status.well")
    assert status.explain(control.service_controller, control.now_ns)["progress"] is None
    put(control, OTHER_INFERENCE, asked=24, waiting=24)
    control.tick()
    document = status.explain(control.service_controller, control.now_ns)
    assert 19.5 < document["progress"]["since_s"] < 20.5
    assert document["summary"] == golden("status.nothing_useful", since=document["progress"]["since_s"])


@pytest.mark.parametrize(("seconds", "useless"), [(9, False), (11, True)])
async def test_one_request_that_waits_is_named_after_ten_seconds(
    control: ControlHarness, seconds: int, useless: bool
) -> None:
    """The headline names a wait of fewer than three requests not at all."""
    control.probe("v2", times=3)
    ClaimCell(control.segment, 0, 0).propose("GET /v1/models")
    control.tick(seconds * 10, lambda: control.workers.serve(0, Outcome.OK, 5))
    put(control, OTHER_INFERENCE, asked=1, waiting=1)
    control.tick()
    summary = status.explain(control.service_controller, control.now_ns)["summary"]
    assert ("no useful answer" in summary) is useless


async def test_a_window_counts_the_ends_without_use(control: ControlHarness) -> None:
    ClaimCell(control.segment, 0, 0).propose("POST /v1/completions")
    control.tick(11)
    put(control, 0, asked=3)
    control.tick(11)
    ends = control.segment.layout.worker_slot(0, 0, 0) + at.L_WORK + at.B_ENDS
    control.segment.words[ends + WorkEnd.USEFUL] = 6
    control.segment.words[ends + WorkEnd.GONE_EARLY], control.segment.words[ends + WorkEnd.FAULT] = 2, 1
    control.tick(11)
    document = status.window(control.service_controller, 0, 10.0, control.now_ns)
    assert document is not None
    assert (document["useful"], document["without_use"], document["given_up"]) == (6, 3, 2)
