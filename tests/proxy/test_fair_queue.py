"""One step a turn of the loop, however many connections are queued; greedy connections rest in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from router.proxy.fair_queue import GREEDY_STEPS_PER_REST, REST_S, FairQueue


class Loop:
    """An event loop that is turned by hand."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], Any]] = []
        self.later: list[tuple[float, Callable[[], Any]]] = []

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> None:
        self.later.append((seconds, callback))

    def turn(self) -> None:
        due, self.soon = self.soon, []
        for callback in due:
            callback()


class Waiter:
    """Takes `left` steps."""

    def __init__(self, queue: FairQueue, name: str, left: int, log: list[str], *, greedy: bool = False) -> None:
        self._queue = queue
        self._name = name
        self._left = left
        self._log = log
        self.greedy = greedy
        queue.enqueue(self)

    def take_turn(self) -> None:
        self._log.append(self._name)
        self._left -= 1
        if self._left:
            self._queue.enqueue(self)


def test_in_each_turn_the_one_that_waited_longest_takes_one_step() -> None:
    loop, log = Loop(), []
    queue = FairQueue(loop)  # type: ignore[arg-type]
    for name in "abc":
        Waiter(queue, name, 2, log)
    for taken in range(1, 7):
        assert len(loop.soon) == 1
        loop.turn()
        assert len(log) == taken
    assert "".join(log) == "abcabc"
    assert loop.soon == []


def test_the_greedy_come_last_and_rest_and_others_never_do() -> None:
    loop, log = Loop(), []
    queue = FairQueue(loop)  # type: ignore[arg-type]
    for number in range(2):
        Waiter(queue, "G", 3 * GREEDY_STEPS_PER_REST, log, greedy=bool(number < 2))
    Waiter(queue, "a", 3, log)
    while loop.soon:
        loop.turn()
    assert "".join(log) == "aaa" + "G" * GREEDY_STEPS_PER_REST
    ((seconds, rested),) = loop.later
    assert seconds == REST_S
    Waiter(queue, "b", 2, log)
    while loop.soon:
        loop.turn()
    assert log[-2:] == ["b", "b"]
    rested()
    while loop.soon:
        loop.turn()
    assert log.count("G") == 2 * GREEDY_STEPS_PER_REST
    assert len(loop.later) == 2


def test_without_anybody_nothing_is_due() -> None:
    loop, log = Loop(), []
    queue = FairQueue(loop)  # type: ignore[arg-type]
    Waiter(queue, "G", GREEDY_STEPS_PER_REST, log, greedy=True)
    while loop.soon:
        loop.turn()
    loop.later.pop()[1]()
    assert loop.soon == []
