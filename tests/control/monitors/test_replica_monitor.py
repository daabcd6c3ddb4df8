"""Faults of ejected addresses are set aside, results of probes reach the workers, and the alarm names the address."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.monitors.alarms import Alarms
from router.control.monitors.replica_monitor import ReplicaMonitor
from router.rollout.model.target import State, Target
from router.rollout.placement.slot_table import HeldSlot, SlotHolder
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm import segment
from router.shm.address_rows import AddressRow, AddressRows, address_key
from router.shm.address_table import AddressTable

URLS = tuple(f"http://10.0.0.{number}:80" for number in range(4))
NOW = 1_000 * SECOND_NS


class Bench:
    """One service with one version; the test plays the worker and the probes."""

    def __init__(self, urls: tuple[str, ...] = URLS, memory: Any = None) -> None:
        self.memory = memory or segment.create(1, 1)
        self.rows = AddressRows(self.memory, 0, 0, 0)
        self.keys = [address_key(1, url) for url in urls]
        self.offsets = self.rows.claim(self.keys)
        self.failed_probes: dict[str, int] = {}
        self.holder = SlotHolder(Target("v1", urls, State.ACTIVE, 0, 0.0), HeldSlot(0, 1))
        self.start()

    def start(self) -> None:
        self.alarms = Alarms()
        self.monitor = ReplicaMonitor(
            self.memory, 0, "s", self.alarms, self, lambda _, name: self.failed_probes.get(name, -1)
        )

    def known(self, host: str) -> list[str]:
        return [host]

    def fail(self, number: int, times: int) -> None:
        self.rows.write(self.offsets[self.keys[number]], AddressRow(attempts=times, faults=times))

    def eject(self, number: int, until_ns: int) -> None:
        self.rows.eject(self.offsets[self.keys[number]], until_ns, 1)

    def set_aside(self, now_ns: int = NOW) -> int:
        return self.monitor.set_aside(self.holder, now_ns)


def test_faults_of_an_ejected_address_are_set_aside_and_those_of_others_are_not() -> None:
    bench = Bench()
    bench.fail(2, 5)
    bench.fail(1, 3)
    assert bench.set_aside() == 0
    bench.eject(2, NOW + 5 * SECOND_NS)
    assert bench.set_aside() == 5
    bench.fail(2, 1)
    assert bench.set_aside() == 6


def test_faults_after_an_ejection_count_until_the_next_one() -> None:
    bench = Bench()
    bench.fail(2, 5)
    bench.eject(2, NOW + SECOND_NS)
    bench.set_aside()
    bench.fail(2, 2)
    assert bench.set_aside(NOW + 2 * SECOND_NS) == 5
    bench.eject(2, NOW + 9 * SECOND_NS)
    assert bench.set_aside(NOW + 3 * SECOND_NS) == 7


def test_old_faults_are_the_versions() -> None:
    bench = Bench()
    bench.fail(2, 50)
    for second in range(62):
        bench.set_aside(NOW + second * SECOND_NS)
    bench.fail(2, 5)
    bench.eject(2, NOW + 90 * SECOND_NS)
    assert bench.set_aside(NOW + 62 * SECOND_NS) == 5


@pytest.mark.parametrize(("bad", "aside"), [((0,), 5), ((0, 1), 10), ((0, 1, 2), 0)])
def test_nothing_is_set_aside_if_more_are_bad_than_can_be_kept_out(bad: tuple[int, ...], aside: int) -> None:
    bench = Bench()
    for number in bad:
        bench.fail(number, 5)
        bench.eject(number, NOW + SECOND_NS)
    assert bench.set_aside() == aside


def test_a_control_that_starts_again_goes_on_with_the_counts() -> None:
    bench = Bench()
    bench.fail(2, 5)
    bench.eject(2, NOW + 60 * SECOND_NS)
    bench.set_aside()
    bench.start()
    bench.fail(2, 1)
    assert bench.set_aside() == 6


def test_two_failed_probes_make_an_address_red_for_the_workers_and_one_does_not() -> None:
    bench = Bench()
    bench.failed_probes = {URLS[0]: 0, URLS[1]: 1, URLS[2]: 2}
    bench.set_aside()
    assert AddressTable(bench.memory, 0, 0).red() == {bench.keys[2]}
    entries = AddressTable(bench.memory, 0, 0).read()
    assert entries is not None
    assert [entries[key].health for key in bench.keys] == [at.HEALTH_GOOD, at.HEALTH_GOOD, at.HEALTH_RED, 0]


def test_the_alarm_names_the_address_and_ends_with_the_ejection() -> None:
    bench = Bench()
    bench.eject(2, NOW + 5 * SECOND_NS)
    bench.set_aside()
    bench.monitor.check([bench.holder])
    (alarm,) = bench.alarms.listing()
    assert (alarm["code"], alarm["detail"]) == ("endpoint_ejected", f"v1: {URLS[2]} for 5 s more")
    bench.set_aside(NOW + 6 * SECOND_NS)
    bench.monitor.check([bench.holder])
    assert bench.alarms.listing() == []


def test_a_version_with_one_address_is_not_looked_at() -> None:
    bench = Bench(URLS[:1])
    bench.fail(0, 5)
    bench.eject(0, NOW + SECOND_NS)
    assert bench.set_aside() == 0
    assert bench.monitor.states(0) == ()


def test_the_traffic_of_the_last_minute_is_known_by_address() -> None:
    bench = Bench()
    for second in range(130):
        bench.rows.write(bench.offsets[bench.keys[1]], AddressRow(attempts=10, faults=1))
        bench.set_aside(NOW + second * SECOND_NS)
    state = bench.monitor.states(0)[1]
    assert (state.recent_attempts, state.recent_faults) == (600, 60)
    assert state.recent_s == 60.0
    assert bench.monitor.states(0)[0].recent_attempts == 0
