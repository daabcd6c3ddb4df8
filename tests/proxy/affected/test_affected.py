"""What a worker writes about requests and clients, as control reads it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from router.proxy.affected import affected as module
from router.proxy.affected.affected import Affected
from router.proxy.affected.fingerprints import Fingerprints
from router.proxy.affected.known_good import KnownGood
from router.rollout.stats.breadth import Distinct
from router.shm import layout as at
from router.shm import segment


@dataclass
class Connection:
    client: str = "10.0.0.1"
    client_print: int = 0


@dataclass
class Head:
    method: bytes = b"POST"
    target: bytes = b"/v1/completions"
    length: int = 5


@dataclass
class Request:
    first_bytes: bytes = b"hello"
    downstream: Connection = field(default_factory=Connection)
    head: Head = field(default_factory=Head)
    request_print: int = 0
    body_complete: bool = True

    @property
    def last_bytes(self) -> bytes:
        return self.first_bytes


class Worker:
    """One slot row and its writer; `now_s` is the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.segment = segment.create(1, 1)
        self.words = self.segment.words
        self.row = self.segment.layout.worker_slot(0, 0, 0)
        self.known_good = KnownGood()
        self.now_s = 1000.0
        monkeypatch.setattr(module.clock, "now_s", lambda: self.now_s)
        monkeypatch.setattr(module.clock, "now_ns", lambda: int(self.now_s * 1e9))
        self.begin()

    def begin(self, incarnation: int = 1) -> None:
        """Be a new worker process, or the same one with another version in the slot."""
        self.affected = Affected(self, self.row, incarnation, self.known_good, Fingerprints(self.words))

    def useful(self, request: Request, bucket: int = 0) -> None:
        self.affected.useful(bucket, request.downstream.client_print, request, self.now_s)

    def epoch(self, word: int, at_s: float | None = None) -> int:
        number = int(at_s if at_s is not None else self.now_s) // at.EPOCH_S
        row = self.row + at.L_EPOCHS + number % at.EPOCHS * at.EPOCH_WORDS
        return self.words[row + word] if self.words[row + at.EP_NUMBER] == number else 0

    def distinct(self, word: int, at_s: float | None = None) -> Distinct:
        cells = [self.epoch(word + cell, at_s) for cell in range(at.DISTINCT_WORDS)]
        sketch = sum(bits << 64 * part for part, bits in enumerate(cells[4:]))
        return Distinct(frozenset(filter(None, cells[:4])), sketch)

    def bucket(self, word: int, bucket: int = 0) -> list[int]:
        start = self.row + at.L_WORK + bucket * at.WORK_WORDS + word
        return [value for value in self.words[start : start + at.LOST_MAX] if value]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    return Worker(monkeypatch)


def requests(count: int, clients: int = 1) -> list[Request]:
    return [Request(b"body %d" % n, Connection(f"10.0.0.{n % clients}")) for n in range(count)]


@pytest.mark.parametrize(("distinct", "clients"), [(1, 1), (3, 2), (4, 4), (60, 20)])
def test_an_epoch_has_the_distinct_requests_and_clients_of_its_faults(
    worker: Worker, distinct: int, clients: int
) -> None:
    for _ in range(3):
        for request in requests(distinct, clients):
            worker.affected.fault(0, request)
    assert worker.epoch(at.EP_FAULTS) == 3 * distinct
    assert worker.distinct(at.EP_FAULT_REQUESTS).count == pytest.approx(distinct, abs=distinct // 8)
    assert worker.distinct(at.EP_FAULT_CLIENTS).count == pytest.approx(clients, abs=clients // 8)


def test_the_sketch_is_that_of_the_judge(worker: Worker) -> None:
    all_requests = requests(50, 50)
    for request in all_requests:
        worker.affected.fault(0, request)
    prints = [worker.affected.request(request) for request in all_requests]
    assert worker.distinct(at.EP_FAULT_REQUESTS) == Distinct.of(prints)


def test_two_values_with_one_bit_are_two_while_there_are_few(worker: Worker) -> None:
    worker.affected.fault(0, Request())
    start = worker.affected._epoch + at.EP_LOST_REQUESTS
    for value in (256 + 7, 512 + 7, 256 + 7):
        worker.affected._add(start, value)
    assert worker.distinct(at.EP_LOST_REQUESTS).count == 2


def test_an_epoch_lasts_ten_seconds_and_two_are_kept(worker: Worker) -> None:
    worker.affected.fault(0, Request(b"one"))
    worker.now_s = 1009.9
    worker.affected.fault(0, Request(b"two"))
    worker.now_s = 1010.0
    worker.affected.fault(0, Request(b"three"))
    assert worker.epoch(at.EP_FAULTS, 1009.9) == 2
    assert worker.epoch(at.EP_FAULTS) == 1
    worker.now_s = 1020.0
    worker.affected.fault(0, Request(b"four"))
    assert worker.epoch(at.EP_FAULTS, 1009.9) == 0
    assert worker.epoch(at.EP_FAULTS, 1010.0) == 1
    assert worker.distinct(at.EP_FAULT_REQUESTS).count == 1


def test_a_client_that_is_served_where_others_fail_is_unaffected(worker: Worker) -> None:
    fails, served, elsewhere = requests(3, 3)
    worker.useful(served)
    assert worker.distinct(at.EP_UNAFFECTED_CLIENTS).count == 0, "nothing had failed"
    worker.affected.fault(0, fails)
    worker.useful(served)
    worker.useful(elsewhere, bucket=1)
    assert worker.distinct(at.EP_USEFUL_CLIENTS).count == 2
    assert worker.distinct(at.EP_UNAFFECTED_CLIENTS).count == 1, "the other bucket has no fault"
    worker.now_s += 2 * at.EPOCH_S
    worker.useful(served)
    assert worker.distinct(at.EP_UNAFFECTED_CLIENTS).count == 0, "the fault is too old"


def test_a_fault_in_the_epoch_before_still_counts_for_the_unaffected(worker: Worker) -> None:
    fails, served = requests(2, 2)
    worker.affected.fault(0, fails)
    worker.now_s += at.EPOCH_S
    worker.useful(served)
    assert worker.distinct(at.EP_UNAFFECTED_CLIENTS).count == 1


def test_a_request_that_was_useful_before_is_known_good(worker: Worker) -> None:
    worker.useful(Request(b"good"))
    for _ in range(3):
        worker.affected.fault(0, Request(b"good"))
    assert worker.epoch(at.EP_KNOWN_GOOD) == 1
    worker.affected.fault(0, Request(b"never seen"))
    assert worker.epoch(at.EP_KNOWN_GOOD) == 1


def test_what_is_lost_is_kept_until_the_next_useful_answer_of_the_bucket(worker: Worker) -> None:
    worker.useful(Request(b"good"))
    for request in (Request(b"good"), Request(b"other"), Request(b"other")):
        worker.affected.lost(0, request)
    worker.affected.lost(1, Request(b"elsewhere"))
    assert worker.epoch(at.EP_LOST) == 4
    assert len(worker.bucket(at.B_LOST_REQUESTS)) == 2
    assert len(worker.bucket(at.B_LOST_CLIENTS)) == 1
    assert worker.bucket(at.B_KNOWN_GOOD)[0] == 1
    worker.useful(Request(b"next"))
    assert not worker.bucket(at.B_LOST_REQUESTS)
    assert not worker.bucket(at.B_LOST_CLIENTS)
    assert worker.bucket(at.B_LOST_REQUESTS, 1)


def test_a_long_wait_is_noted_again_after_a_useful_answer_and_counted_never(worker: Worker) -> None:
    waits = Request(b"hangs")
    worker.affected.waits(0, waits)
    worker.useful(Request(b"good"))
    worker.affected.waits(0, waits)
    assert len(worker.bucket(at.B_LOST_REQUESTS)) == 1
    assert worker.distinct(at.EP_LOST_REQUESTS).count == 1
    assert worker.epoch(at.EP_LOST) == 0


def test_at_most_four_lost_requests_of_a_bucket_are_kept(worker: Worker) -> None:
    for request in requests(10, 10):
        worker.affected.lost(0, request)
    assert len(worker.bucket(at.B_LOST_REQUESTS)) == 4


def test_another_version_in_the_slot_starts_from_nothing_and_another_worker_goes_on(worker: Worker) -> None:
    worker.affected.lost(0, Request())
    worker.affected.fault(0, Request())
    worker.begin(incarnation=1)
    worker.affected.fault(0, Request())
    assert worker.epoch(at.EP_FAULTS) == 2
    worker.begin(incarnation=2)
    assert worker.epoch(at.EP_FAULTS) == 0
    assert not worker.bucket(at.B_LOST_REQUESTS)


def test_a_request_that_is_not_whole_is_hashed_anew_once_it_is(worker: Worker) -> None:
    request = Request(body_complete=False)
    early = worker.affected.request(request)
    request.body_complete = True
    assert worker.affected.request(request) != early
    assert request.request_print == worker.affected.request(request)


@pytest.mark.parametrize(
    ("served", "late_s", "others"),
    [([], 0, False), ([0], 0, False), ([1], 0, False), ([0, 1], 0, False), ([1, 2], 0, True), ([1, 2], 25, False)],
    ids=["no client", "itself", "one", "itself and one", "two", "two before"],
)
def test_others_are_served_if_two_of_them_had_useful_answers(
    worker: Worker, served: list[int], late_s: float, others: bool
) -> None:
    for number in served:
        worker.useful(Request(downstream=Connection(f"10.0.0.{number}")))
    worker.now_s += late_s
    assert worker.affected.serves_others(Request(downstream=Connection("10.0.0.0"))) == others
