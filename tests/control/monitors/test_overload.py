"""The alarms of overload: up while limits on all clients act, over after ten quiet seconds."""

from __future__ import annotations

import pytest

from router.control.monitors.alarms import Alarms
from router.control.monitors.overload import OverloadMonitor
from router.rollout.units import SECOND_NS
from router.runtime import clock
from router.shm import layout as at
from router.shm import segment
from router.shm.holdings import HoldingsRecord
from router.shm.segment import Segment
from router.shm.worker_stats import WorkerStats
from tests.texts import golden


def test_it_is_up_while_limits_act_and_over_after_ten_quiet_seconds() -> None:
    memory = segment.create(2, 1)
    alarms, words, layout = Alarms(), memory.words, memory.layout
    monitor = OverloadMonitor(WorkerStats(memory), alarms)
    words[layout.worker(0) + at.W_LIMITED + at.LIMITED_REQUESTS] = 7  # of a past that nobody of us has seen
    monitor.check(0)
    assert alarms.listing() == []
    for worker in (0, 1):
        words[layout.worker(worker) + at.W_LIMITED + at.LIMITED_REQUESTS] += 90
    words[layout.worker(1) + at.W_LIMITED + at.LIMITED_DESCRIPTORS] += 1
    monitor.check(SECOND_NS // 2)
    assert alarms.listing() == [], "once a second is enough"
    monitor.check(SECOND_NS)
    (alarm,) = alarms.listing()
    assert (alarm["code"], alarm["detail"]) == (
        "overloaded",
        golden("overload.worker"),
    )
    for second in range(2, 11):
        monitor.check(second * SECOND_NS)
    assert len(alarms.listing()) == 1
    monitor.check(11 * SECOND_NS)
    assert alarms.listing() == []


def test_limits_on_one_client_raise_no_alarm() -> None:
    memory = segment.create(1, 1)
    alarms = Alarms()
    monitor = OverloadMonitor(WorkerStats(memory), alarms)
    monitor.check(0)
    for limit in (at.LIMITED_PER_CLIENT, at.LIMITED_HEADER_TIMEOUT, at.LIMITED_BODY_RATE, at.LIMITED_WRITE_RATE):
        memory.words[memory.layout.worker(0) + at.W_LIMITED + limit] += 1
    monitor.check(SECOND_NS)
    assert alarms.listing() == []


def document(full: bool = True, **clients: int) -> dict[str, object]:
    """Return what a worker tells of streams that these clients hold."""
    zeroes = dict.fromkeys(("tunnels", "streams", "waiting", "sending"), 0)
    by_client = [{"client": name, **zeroes, "streams": number} for name, number in clients.items()]
    target = {"service": "fraud", "version": "v8", **zeroes, "streams": sum(clients.values()), "clients": by_client}
    return {"full": full, "targets": [target]}


def test_saturated_lists_places_over_all_workers() -> None:
    memory = segment.create(2, 1)
    alarms = Alarms()
    monitor = OverloadMonitor(WorkerStats(memory), alarms)
    now_ns = clock.now_ns()
    monitor.check(now_ns)
    assert alarms.listing() == []
    HoldingsRecord(memory, 0).write(document(a=3, b=1))
    HoldingsRecord(memory, 1).write(document(b=5))
    memory.words[memory.layout.worker(1) + at.W_LIMITED + at.LIMITED_IN_FLIGHT] += 7
    monitor.check(now_ns + SECOND_NS)
    (alarm,) = alarms.listing()
    assert (alarm["code"], alarm["detail"]) == (
        "saturated",
        golden("overload.version"),
    )


def test_saturated_ends_without_refusals_and_with_a_free_place() -> None:
    memory = segment.create(1, 1)
    alarms, record = Alarms(), HoldingsRecord(memory, 0)
    monitor = OverloadMonitor(WorkerStats(memory), alarms)
    start_ns = clock.now_ns()
    monitor.check(start_ns)
    memory.words[memory.layout.worker(0) + at.W_LIMITED + at.LIMITED_TUNNELS] += 1
    record.write(document(a=8))
    for second in range(1, 31):
        monitor.check(start_ns + second * SECOND_NS)
        rewrite(record, document(a=8), start_ns + second * SECOND_NS, memory)
        assert [alarm["code"] for alarm in alarms.listing()] == ["saturated"], "nobody asks, and nothing is free"
    assert "no request was refused" in alarms.listing()[0]["detail"]
    rewrite(record, document(full=False, a=7), start_ns + 30 * SECOND_NS, memory)
    monitor.check(start_ns + 31 * SECOND_NS)
    assert alarms.listing() == []


def rewrite(record: HoldingsRecord, document: dict[str, object], at_ns: int, memory: Segment) -> None:
    """Write as if it were `at_ns`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now_ns", lambda: at_ns)
        record.write(document)


def test_a_worker_that_died_or_hangs_keeps_no_alarm_up() -> None:
    memory = segment.create(1, 1)
    alarms = Alarms()
    monitor = OverloadMonitor(WorkerStats(memory), alarms)
    start_ns = clock.now_ns()
    monitor.check(start_ns)
    memory.words[memory.layout.worker(0) + at.W_LIMITED + at.LIMITED_IN_FLIGHT] += 1
    HoldingsRecord(memory, 0).write(document(a=8))
    for second in range(1, 13):
        monitor.check(start_ns + second * SECOND_NS)
    assert alarms.listing() == []
