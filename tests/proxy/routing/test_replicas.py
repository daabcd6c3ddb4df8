"""Ejection by the sum over workers: two workers on one segment."""

from __future__ import annotations

from dataclasses import dataclass, field

from router.proxy.routing.replicas import Replicas
from router.proxy.routing.standing import EJECTED, READY, Standing
from router.rollout.outcome import Outcome
from router.rollout.units import SECOND_NS
from router.shm import layout as at
from router.shm import segment
from router.shm.address_rows import address_key
from router.shm.address_table import AddressEntry, AddressTable
from router.shm.segment import Segment

NOW = 100


@dataclass(eq=False)
class Place:
    name: str
    in_flight: int = 0
    standing: Standing = field(default_factory=Standing)


class Worker:
    def __init__(self, memory: Segment, index: int = 0, addresses: int = 4) -> None:
        self.places = [Place(f"http://10.0.0.{number}:80") for number in range(addresses)]
        self.replicas = Replicas(memory, index, 0, 0, "v1", 1)
        self.replicas.assign(self.places)

    def fail(self, place: int, times: int, now_s: float = NOW) -> None:
        standing = self.places[place].standing
        for _ in range(times):
            standing.enter()
            standing.count_fault()
            standing.failed(Outcome.SERVER_ERROR, None, now_s)
            self.replicas.failed(standing, int(now_s * SECOND_NS))

    def sweep(self, now_s: float = NOW) -> None:
        self.replicas.sweep(int(now_s * SECOND_NS))

    def out(self, now_s: float = NOW) -> list[int]:
        return [n for n, place in enumerate(self.places) if place.standing.rank(now_s) == EJECTED]


def test_five_faults_in_a_row_eject_at_once() -> None:
    worker = Worker(segment.create(1, 1))
    worker.fail(2, 4)
    assert worker.out() == []
    worker.fail(2, 1)
    assert worker.out() == [2]
    assert worker.out(NOW + 5) == []


def test_the_faults_of_all_workers_are_added_and_all_workers_eject() -> None:
    memory = segment.create(2, 1)
    one, two = Worker(memory, 0), Worker(memory, 1)
    one.fail(2, 3)
    two.fail(2, 2)
    one.sweep()
    two.sweep()
    one.sweep()
    assert one.out() == two.out() == [2]


def test_a_good_answer_in_one_worker_ends_the_run_of_all() -> None:
    memory = segment.create(2, 1)
    one, two = Worker(memory, 0), Worker(memory, 1)
    one.fail(2, 4)
    one.sweep()
    two.places[2].standing.well(NOW + 1)
    two.sweep()
    one.sweep()
    one.fail(2, 4, NOW + 2)
    assert one.places[2].standing.in_a_row == 4
    assert one.out() == []


def test_a_worker_that_starts_again_keeps_an_address_out() -> None:
    memory = segment.create(1, 1)
    Worker(memory).fail(2, 5)
    again = Worker(memory)
    again.sweep()
    assert again.out() == [2]


def test_one_more_fault_after_an_ejection_ejects_for_longer() -> None:
    worker = Worker(segment.create(1, 1))
    worker.fail(2, 5)
    worker.fail(2, 1, NOW + 6)
    assert worker.out(NOW + 15.9) == [2]
    assert worker.out(NOW + 16.1) == []


def test_of_two_bad_ones_of_three_one_is_kept_out_and_the_other_is_not_spared() -> None:
    worker = Worker(segment.create(1, 1), addresses=3)
    worker.fail(0, 5)
    worker.fail(1, 6)
    worker.sweep()
    assert len(worker.out()) == 1
    (used,) = {0, 1} - set(worker.out())
    assert worker.places[used].standing.rank(NOW) == READY, "it gets its share, so that the version is judged by it"


def test_half_of_the_attempts_of_ten_seconds_eject() -> None:
    worker = Worker(segment.create(1, 1))
    for number in range(6):
        now_s = NOW + number
        worker.places[0].standing.enter()
        worker.places[0].standing.well(now_s)
        worker.fail(0, 1, now_s + 0.5)
        worker.sweep(now_s + 0.6)
    assert worker.out(NOW + 5.6) == [0]


def test_old_faults_are_not_of_the_last_ten_seconds() -> None:
    worker = Worker(segment.create(1, 1))
    worker.sweep()
    for second in range(40):
        worker.places[0].standing.enter()
        worker.places[0].standing.well(NOW + second)
        if second < 4:
            worker.fail(0, 1, NOW + second)
        worker.places[0].standing.well(NOW + second)
        worker.sweep(NOW + second)
    assert worker.out(NOW + 40) == []


def test_an_address_whose_probe_fails_is_ejected_unless_it_answers() -> None:
    memory = segment.create(1, 1)
    worker = Worker(memory)
    keys = [address_key(1, place.name) for place in worker.places]
    AddressTable(memory, 0, 0).write({keys[1]: AddressEntry(at.HEALTH_RED), keys[2]: AddressEntry(at.HEALTH_RED)})
    worker.places[2].standing.well(NOW)
    worker.sweep()
    assert worker.out() == [1]


def test_the_only_address_is_never_ejected() -> None:
    worker = Worker(segment.create(1, 1), addresses=1)
    worker.fail(0, 20)
    worker.sweep()
    assert worker.out() == []
