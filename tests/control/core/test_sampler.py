from __future__ import annotations

import pytest

from router.control.core.sampler import RouterHealth, StallDetector, affected_counts, evidence
from router.control.core.workers import Workers
from router.rollout.judge.rules import Rules
from router.rollout.outcome import Outcome
from router.rollout.stats.breadth import Distinct
from router.rollout.stats.epoch_history import AffectedPeriod
from router.rollout.stats.histogram import index
from router.shm import layout as at
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats
from tests.control.control_harness import DEAD, ControlHarness, FakeWorkers, new_segment
from tests.texts import golden

SECOND = 1_000_000_000


async def test_a_sample_is_what_the_lanes_counted_since_the_slot_was_filled(control: ControlHarness) -> None:
    row = control.segment.layout.worker_slot(1, 0, 0) + at.L_FIRST_BYTE + index(1500)
    control.segment.words[row] += 7
    control.workers.serve(0, Outcome.OK, 5)
    control.workers.serve(0, Outcome.TIMED_OUT, 2)
    control.workers.claim(0, worker=1)
    control.tick()
    ring = SampleRing(control.segment).load(0, 0)
    (sample,) = ring["tick"]
    assert (sample.at_ns, sample.incarnation, sample.role) == (control.now_ns, 1, 1)
    assert (sample.claimed, sample.begun, sample.faults_unbegun) == (8, 5, 2)
    assert [sample.outcomes[outcome] for outcome in (Outcome.OK, Outcome.TIMED_OUT)] == [5, 2]
    (full,) = ring["second"]
    assert full.first_byte is not None
    assert full.first_byte[index(1500)] == 7
    assert SampleRing(control.segment).load(0, 1)["tick"][0].role == 2


async def test_histograms_come_once_a_second(control: ControlHarness) -> None:
    control.tick(21)
    ring = SampleRing(control.segment).load(0, 0)
    assert [len(ring[tier]) for tier in ("tick", "second", "decade")] == [21, 3, 1]
    assert all(sample.histograms is not None for sample in ring["second"])


async def test_work_and_epochs_come_once_a_second(control: ControlHarness) -> None:
    words, row = control.segment.words, control.segment.layout.worker_slot(1, 0, 0)
    words[row + at.L_WORK + at.B_ASKED] = 4
    words[row + at.L_PAIRS_WELL], words[row + at.L_FIRST_USEFUL + 3] = 2, 4
    words[row + at.L_EPOCHS + at.EP_NUMBER] = (control.now_ns + 100_000_000) // (10 * SECOND)
    words[row + at.L_EPOCHS + at.EP_INCARNATION] = 1
    control.tick()
    entry, _ = control.service_controller.judge.newest(0) or (None, None)
    assert entry is not None
    assert (entry.sample.pairs_well, sum(entry.sample.first_useful or ())) == (2, 4)
    assert {bucket: counts.asked for bucket, counts in (entry.sample.work or {}).items()} == {0: 4}
    assert len(entry.sample.epochs) == 1
    control.tick()
    entry, _ = control.service_controller.judge.newest(0) or (None, None)
    assert entry is not None
    assert (entry.sample.work, entry.sample.epochs) == (None, ())


async def test_histograms_of_a_slot_at_rest_are_not_read_again(control: ControlHarness) -> None:
    def first_byte() -> int:
        return SampleRing(control.segment).load(0, 0)["second"][-1].first_byte[3]  # type: ignore[index]

    cell = control.segment.layout.worker_slot(1, 0, 0) + at.L_FIRST_BYTE + 3
    control.tick()
    control.workers.claim(0)
    for count in (1, 2, 3, 4):
        control.segment.words[cell] = count
        control.tick(10)
        assert first_byte() == count, "an attempt is open: its times may come at any moment"
    control.workers.end(0, Outcome.OK)
    control.tick(10)
    control.segment.words[cell] = 5  # a worker counts an end before its time
    control.tick(10)
    assert first_byte() == 5
    control.segment.words[cell] = 6
    control.tick(10)
    assert first_byte() == 5


async def test_the_evidence_of_an_incident(control: ControlHarness) -> None:
    control.tick(3)
    begun_ns = control.now_ns
    control.tick(5, lambda: control.workers.serve(0, Outcome.SERVER_ERROR, 2))
    control.workers.serve(0, Outcome.CLIENT_GONE, 3)
    control.tick()
    impact = evidence(
        control.service_controller.judge, control.service_controller.active_slot, begun_ns, control.now_ns
    )
    assert impact == {"requests": 13, "errors": {"server_error": 10}, "rescued": 0, "seconds": 0.7, "affected": None}


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("errors", {"requests": 1, "clients": 1}),
        ("hang", {"requests": 3, "clients": 2}),
        ("no_progress", {"requests": 3, "clients": 2}),
    ],
)
def test_waits_count_as_failures_where_waits_are_the_evidence(detail: str, expected: dict[str, int]) -> None:
    period = AffectedPeriod(
        True,
        fault_requests=Distinct.of([1]),
        fault_clients=Distinct.of([7]),
        lost_requests=Distinct.of([1, 2, 3]),
        lost_clients=Distinct.of([7, 8]),
    )
    assert affected_counts(period, detail) == expected
    assert affected_counts(AffectedPeriod(), detail) is None


def stalls(segment: Segment, workers: FakeWorkers) -> StallDetector:
    worker_stats = WorkerStats(segment)
    return StallDetector(worker_stats, Workers(worker_stats, workers.wakes, workers.acks))


async def test_our_own_stalls_are_seen() -> None:
    segment = new_segment()
    workers = FakeWorkers(segment)
    for index_ in (0, 1):
        segment.words[segment.layout.worker(index_) + at.W_HEARTBEAT_NS] = 10 * SECOND
    detector = stalls(segment, workers)
    assert not detector.check(10 * SECOND, 0.0, 1.0)
    assert detector.check(10 * SECOND, 1.1, 1.0), "control itself was late"
    segment.words[segment.layout.worker(0) + at.W_LAG_SUM_US] += 1_200_000
    assert detector.check(10 * SECOND, 0.0, 1.0), "a worker was late"
    assert not detector.check(10 * SECOND, 0.0, 1.0), "and is no more"
    segment.words[segment.layout.worker(0) + at.W_HEARTBEAT_NS] = 12 * SECOND
    assert detector.check(12 * SECOND, 0.0, 1.0), "a worker is stopped"
    workers.live(1, DEAD)
    assert not detector.check(12 * SECOND, 0.0, 1.0), "a dead one counts nothing"
    segment.words[segment.layout.worker(1) + at.W_HEARTBEAT_NS] = 10 * SECOND
    assert not detector.check(12 * SECOND, 0.0, 1.0), "with whatever heartbeat"
    workers.close()
    segment.close()


@pytest.mark.parametrize(("faults", "of", "unwell"), [(4, 10, False), (5, 600, False), (5, 500, False), (6, 500, True)])
def test_our_own_faults_make_the_numbers_doubtful(faults: int, of: int, unwell: bool) -> None:
    segment = new_segment()
    health = RouterHealth(WorkerStats(segment), 0)
    row = segment.layout.worker_service(0, 0) + at.LS_ENDED
    segment.words[row + Outcome.ROUTER_FAULT] = 50
    assert health.unwell(0, Rules()) is None
    segment.words[row + Outcome.ROUTER_FAULT] += faults
    segment.words[row + Outcome.OK] += of - faults
    reason = health.unwell(SECOND, Rules())
    assert (reason is not None) is unwell
    assert reason is None or reason == golden("router.unwell", faults=faults, of=of)
    for second in range(2, 63):
        health.unwell(second * SECOND, Rules())
    assert health.unwell(63 * SECOND, Rules()) is None
    segment.close()
