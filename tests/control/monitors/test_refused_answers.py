"""The causes of refused answers, from the counters of workers to verdict, status and journal."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from router.control.monitors.refused_answers import RefusedAnswersMonitor, cause_text
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm.worker_stats import WorkerStats
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings

REPEATED = "response_transfer_encoding_repeated"


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlHarness]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    control = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    yield control
    await control.end()
    workers.close()
    segment.close()


def refuse(workers: FakeWorkers, slot: int, cause: str, count: int = 1, worker: int = 0) -> None:
    row = workers.segment.layout.worker_slot(worker, 0, slot)
    workers.segment.words[row + at.L_REFUSED_ANSWERS + at.REFUSED_ANSWERS.index(cause)] += count


def test_each_cause_of_the_last_minute_over_all_workers() -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    monitor = RefusedAnswersMonitor(WorkerStats(segment), 0)
    assert monitor.recent() == {}
    refuse(workers, 0, REPEATED, 5)  # before it was watched
    monitor.observe(0, 1, 0)
    assert monitor.recent() == {}
    for worker in (0, 1):
        refuse(workers, 0, REPEATED, 2, worker)
    refuse(workers, 0, "response_chunk_malformed")
    assert monitor.recent() == {REPEATED: 4, "response_chunk_malformed": 1}
    for second in range(1, 70):
        monitor.observe(0, 1, second * SECOND_NS)
    assert monitor.recent() == {}, "a minute ago"
    refuse(workers, 0, REPEATED)
    monitor.observe(0, 2, 70 * SECOND_NS)
    assert monitor.recent() == {}, "of the version before"
    for fd in (*workers.wakes, workers.acks):
        os.close(fd)
    segment.close()


def test_causes_in_words() -> None:
    assert cause_text({}) == ""
    assert cause_text({REPEATED: 1}) == f"1 answer refused: {REPEATED}"
    assert cause_text({REPEATED: 27}) == f"27 answers refused: {REPEATED}"
    assert cause_text({"a": 1, REPEATED: 26}) == f"27 answers refused: {REPEATED} (26), a (1)"


async def test_verdict_status_and_journal_name_the_cause(control: ControlHarness) -> None:
    def failing() -> None:
        if control.states()["v1"] == "active":
            control.workers.serve(0, Outcome.TRUNCATED, 3)
            refuse(control.workers, 0, REPEATED, 3)

    control.probe("v2", times=30)
    control.tick(20, lambda: control.workers.serve(0, Outcome.OK, 3))
    control.tick(20, failing)
    [target] = [t for t in control.queries.status()["services"]["svc"]["targets"] if t["version"] == "v1"]
    assert target["totals"]["refused_answers"].keys() == {REPEATED}
    control.tick(100, failing)
    await control.until_idle()
    entries = (await control.queries.journal(0, 1000))["entries"]
    [rolled_back] = [entry for entry in entries if entry["type"] == "rolled_back"]
    assert f"answers refused: {REPEATED}" in rolled_back["data"]["trigger"]["reason"], rolled_back


async def test_other_faults_name_no_cause(control: ControlHarness) -> None:
    refuse(control.workers, 0, REPEATED, 9)
    control.tick(20, lambda: control.workers.serve(0, Outcome.OK, 3))
    control.tick(20, lambda: control.workers.serve(0, Outcome.SERVER_ERROR, 3))
    reasons = [result.reason for result in control.service_controller.verdict.results]
    assert not [reason for reason in reasons if "refused:" in reason]
