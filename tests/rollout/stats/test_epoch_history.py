from __future__ import annotations

from router.rollout.stats.breadth import Distinct, Epoch
from router.rollout.stats.epoch_history import EPOCHS_KEPT, EpochHistory
from router.rollout.units import SECOND_NS


def epoch(number: int, *requests: int, known_good: int = 0) -> Epoch:
    found = Distinct.of(requests)
    return Epoch(number, faults=len(requests), fault_requests=found, fault_clients=found, known_good=known_good)


def test_the_union_of_the_epochs_of_a_period() -> None:
    history = EpochHistory()
    history.add([epoch(10, 1, 2), epoch(11, 2, 3)])
    history.add([epoch(11, 2, 3, 4), epoch(12, 5)])
    found = history.since(119 * SECOND_NS)
    assert (found.known, found.fault_requests.count) == (True, 4)
    assert history.since(0).fault_requests.count == 5
    assert not history.since(130 * SECOND_NS).known


def test_a_request_that_was_useful_before_weighs_five() -> None:
    history = EpochHistory()
    history.add([epoch(1, 7, known_good=1)])
    assert history.since(0).breadth == 5


def test_old_epochs_are_dropped() -> None:
    history = EpochHistory()
    for number in range(200):
        history.add([epoch(number, 256 * (number + 1) + number % 256)])
    assert history.since(0).fault_requests.sketch.bit_count() == EPOCHS_KEPT
    history.clear()
    assert not history.since(0).known


def test_the_epochs_in_which_one_client_alone_failed() -> None:
    def row(number: int, failing: list[int], useful: list[int]) -> Epoch:
        return Epoch(number, fault_clients=Distinct.of(failing), useful_clients=Distinct.of(useful))

    history = EpochHistory()
    history.add([row(1, [9], [1, 2]), row(2, [9], [1, 2]), row(3, [9, 8], [1, 2]), row(4, [9], [1, 2, 9])])
    history.add([row(5, [9], [1]), row(6, [], [1, 2])])
    assert history.of_one_client(20 * SECOND_NS, 2) == {2}
    assert history.of_one_client(0, 2) == {1, 2}
