from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.rollout.model.route import SLOTS
from router.rollout.outcome import OUTCOMES, Outcome
from router.rollout.stats.histogram import BUCKETS
from router.shm import layout as at
from router.shm import segment as segments
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerState, WorkerStats
from tests.example_counts import examples


def put(segment: Segment, worker: int, service: int, slot: int, **words: int) -> None:
    row = segment.layout.worker_slot(worker, service, slot)
    for name, value in words.items():
        segment.words[row + getattr(at, f"L_{name.upper()}")] = value


def test_a_worker_describes_itself(segment: Segment) -> None:
    row = segment.layout.worker(1)
    for number, offset in enumerate(
        (at.W_PID, at.W_HEARTBEAT_NS, at.W_LAG_US, at.W_LAG_SUM_US, at.W_STARTS, at.W_CONNECTIONS)
    ):
        segment.words[row + offset] = number + 1
    segment.words[row + at.W_CONNECTIONS_TOTAL] = 7
    segment.words[row + at.W_DRAINING] = 1
    assert WorkerStats(segment).worker(1) == WorkerState(1, 1, 2, 3, 4, 5, 6, 7, True)
    assert WorkerStats(segment).worker(0) == WorkerState(0, 0, 0, 0, 0, 0, 0, 0, False)
    assert WorkerStats(segment).workers == 2
    segment.words[at.H_DRAINING] = 1
    assert WorkerStats(segment).worker(0).draining, "the router is stopping: no worker is ready any more"


def test_acknowledged_is_by_worker_and_service(segment: Segment) -> None:
    segment.words[segment.layout.worker_service(1, 0) + at.LS_ACKNOWLEDGED] = 5
    worker_stats = WorkerStats(segment)
    assert [[worker_stats.acknowledged(worker, service) for service in (0, 1)] for worker in (0, 1)] == [[0, 0], [5, 0]]


def test_counters_add_up_and_gauges_merge(segment: Segment) -> None:
    put(segment, 0, 1, 3, claimed=10, begun=8, waiting=2, oldest_waiting_ns=500, last_begun_ns=7, gap_max_us=9)
    put(segment, 1, 1, 3, claimed=5, begun=5, waiting=1, oldest_waiting_ns=400, last_begun_ns=9, gap_max_us=2)
    found = WorkerStats(segment).slot_scalars(1, 3)
    expected = [0] * at.L_USED
    expected[at.L_CLAIMED], expected[at.L_BEGUN], expected[at.L_WAITING] = 15, 13, 3
    expected[at.L_OLDEST_WAITING_NS], expected[at.L_LAST_BEGUN_NS], expected[at.L_GAP_MAX_US] = 400, 9, 9
    assert found == expected
    assert WorkerStats(segment).slot_scalars(1, 2) == [0] * at.L_USED


def test_a_worker_without_waits_does_not_make_the_oldest_wait_zero(segment: Segment) -> None:
    put(segment, 1, 0, 0, oldest_waiting_ns=400)
    assert WorkerStats(segment).slot_scalars(0, 0)[at.L_OLDEST_WAITING_NS] == 400


def test_histograms_add_up(segment: Segment) -> None:
    for worker in (0, 1):
        row = segment.layout.worker_slot(worker, 0, 2)
        segment.words[row + at.L_DURATION + 5] = worker + 1
    expected = [0] * BUCKETS
    expected[5] = 3
    assert WorkerStats(segment).slot_histogram(0, 2, at.L_DURATION) == expected
    assert WorkerStats(segment).slot_histogram(0, 2, at.L_FIRST_BYTE) == [0] * BUCKETS


def test_one_worker_alone() -> None:
    segment = segments.create(1, 1)
    segment.words[segment.layout.worker_slot(0, 0, 0) + at.L_ABANDONED + 239] = 4
    assert WorkerStats(segment).slot_histogram(0, 0, at.L_ABANDONED) == [0] * 239 + [4]
    segment.close()


COUNTS = st.lists(st.integers(0, 20), min_size=len(OUTCOMES), max_size=len(OUTCOMES))


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    attempts=st.lists(st.tuples(st.integers(0, 9), COUNTS), min_size=SLOTS, max_size=SLOTS),
    exchanges=st.lists(COUNTS, min_size=SLOTS, max_size=SLOTS),
    unclaimed=COUNTS,
    open_exchanges=st.integers(0, 9),
    unmatched=st.tuples(st.integers(0, 9), COUNTS),
)
def test_closing_a_dead_worker_conserves(
    attempts: list[tuple[int, list[int]]],
    exchanges: list[list[int]],
    unclaimed: list[int],
    open_exchanges: int,
    unmatched: tuple[int, list[int]],
) -> None:
    """Everything that a dead worker had in flight ends as `cut`; nothing else changes, nor does the other worker's block."""
    segment = segments.create(2, 1)
    words, layout, worker_stats = segment.words, segment.layout, WorkerStats(segment)
    put(segment, 1, 0, 0, claimed=3, waiting=3)
    for slot, (in_flight, ends) in enumerate(attempts):
        row = layout.worker_slot(0, 0, slot)
        put(segment, 0, 0, slot, claimed=in_flight + sum(ends), waiting=in_flight, waiting_long=1, oldest_waiting_ns=9)
        for outcome, number in enumerate(ends):
            words[row + at.L_OUTCOMES + outcome] = number
        role = slot % at.ROLE_COUNT * at.OUTCOME_COUNT
        for outcome, number in enumerate(exchanges[slot]):
            words[row + at.L_EXCHANGES + role + outcome] = number
    service_row = layout.worker_service(0, 0)
    words[service_row + at.LS_ACCEPTED] = open_exchanges + sum(unclaimed) + sum(map(sum, exchanges))
    for outcome, number in enumerate(unclaimed):
        words[service_row + at.LS_ENDED + outcome] = number
    header = layout.worker(0)
    words[header + at.W_ACCEPTED] = unmatched[0] + sum(unmatched[1])
    words[header + at.W_CONNECTIONS] = 4
    for outcome, number in enumerate(unmatched[1]):
        words[header + at.W_ENDED + outcome] = number

    accepted, ends_before = worker_stats.exchanges(0)
    assert accepted - sum(ends_before) == open_exchanges
    assert [worker_stats.slot_in_flight(0, slot, 0) for slot in range(SLOTS)] == [number for number, _ in attempts]
    assert worker_stats.slot_in_flight(0, 0) == attempts[0][0] + 3

    assert worker_stats.close_dead_worker(0, range(segment.layout.services)) == open_exchanges + unmatched[0]

    assert [worker_stats.slot_in_flight(0, slot, 0) for slot in range(SLOTS)] == [0] * SLOTS
    assert worker_stats.slot_in_flight(0, 0) == 3
    ends_before[Outcome.CUT] += open_exchanges
    assert worker_stats.exchanges(0) == (accepted, ends_before)
    total, ends = worker_stats.unmatched()
    assert total == sum(ends)
    gauges = [worker_stats.slot_scalars(0, slot)[at.L_WAITING : at.L_OLDEST_WAITING_NS + 1] for slot in range(SLOTS)]
    assert gauges == [[3, 0, 0]] + [[0, 0, 0]] * (SLOTS - 1)
    assert worker_stats.worker(0).connections == 0
    assert worker_stats.close_dead_worker(0, range(segment.layout.services)) == 0
    segment.close()
