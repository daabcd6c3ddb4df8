"""The order of a channel's notifications, and how one that is refused does not hold up the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.control.notify.delivery_queue import PAUSE_MAX_S, DeliveryQueue, pause_s
from tests.control.notify.test_messages import NOTIFICATION


class Channel:
    """A queue on a clock of its own. `poison` fails always, and everything while `down`; `tried` is the order."""

    def __init__(self, *names: str, poison: str = "", refused: bool = False) -> None:
        self.queue = DeliveryQueue()
        self.now_s = 0.0
        self.down = False
        self.poison, self.refused = poison, refused
        self.tried: list[str] = []
        self.delivered: list[str] = []
        for name in names:
            self.add(name)

    def add(self, name: str, topic: str = "rollback") -> None:
        """`a1` is the first one of service `a`."""
        self.queue.add(replace(NOTIFICATION, id=name, service=name[0], topic=topic))  # type: ignore[arg-type]

    def step(self, retry_after_s: float | None = None) -> None:
        """One attempt, at the next time at which there is one."""
        self.now_s += self.queue.wait_s(self.now_s) or 0.0
        waiting = self.queue.next(self.now_s)
        assert waiting is not None
        name = waiting.notification.id
        self.tried.append(name)
        if self.down or name == self.poison:
            self.queue.failed(waiting, self.now_s, 0.5, refused=self.refused, retry_after_s=retry_after_s)
        else:
            self.queue.delivered(waiting, self.now_s)
            self.delivered.append(name)

    def steps(self, count: int) -> Channel:
        for _ in range(count):
            self.step()
        return self


def test_order_without_failures() -> None:
    assert Channel("a1", "b1", "a2").steps(3).delivered == ["a1", "b1", "a2"]


def test_a_short_outage_keeps_the_order() -> None:
    channel = Channel("a1", "b1", "a2")
    channel.down = True
    channel.steps(2)
    channel.down = False
    assert channel.steps(3).delivered == ["a1", "b1", "a2"]
    assert channel.now_s == pytest.approx(3)


@pytest.mark.parametrize("failures", range(1, 15))
@pytest.mark.parametrize("names", [("a1", "a2", "a3"), ("a1", "b1", "a2")], ids=["one service", "two services"])
def test_the_end_of_an_outage_keeps_the_order(names: tuple[str, ...], failures: int) -> None:
    channel = Channel(*names)
    channel.down = True
    channel.steps(failures)
    while channel.queue.wait_s(channel.now_s) == 0.0:  # another one is tried in the same moment
        channel.step()
    channel.down = False
    assert channel.steps(3).delivered == list(names)


def test_a_long_outage_costs_one_attempt_a_pause_whatever_waits() -> None:
    channel = Channel(*(f"a{number}" for number in range(50)))
    channel.down = True
    channel.steps(40)
    assert channel.now_s > 20 * PAUSE_MAX_S
    assert channel.queue.failures == 40
    channel.down = False
    channel.step()
    began_s = channel.now_s
    channel.steps(49)
    assert (channel.now_s, len(channel.queue)) == (began_s, 0), "after an outage everything is due at once"


@pytest.mark.parametrize("names", [("a1", "b1", "c1"), ("a1", "a2", "a3")], ids=["services", "one service"])
def test_one_that_always_fails_does_not_hold_up_the_others(names: tuple[str, ...]) -> None:
    channel = Channel(*names, poison="a1").steps(6)
    assert set(channel.delivered) == set(names[1:])
    assert channel.now_s < 10
    assert channel.delivered == sorted(channel.delivered)
    assert len(channel.queue) == 1, "and it is tried on"


def test_one_that_is_refused_does_not_delay_the_next() -> None:
    channel = Channel("a1", "a2", "a3", poison="a1", refused=True).steps(3)
    assert (channel.tried, channel.now_s) == (["a1", "a2", "a3"], 0.0)
    assert channel.steps(2).tried[3:] == ["a1", "a1"]


def test_a_receiver_that_refuses_everything_is_not_asked_in_a_loop() -> None:
    channel = Channel(*(f"a{number}" for number in range(9)), refused=True)
    channel.down = True
    channel.steps(20)
    assert channel.now_s > 1000


def test_another_service_is_tried_first_when_the_first_one_may_be_the_cause() -> None:
    channel = Channel("a1", "a2", "b1", poison="a1").steps(4)
    assert channel.tried == ["a1", "a1", "a1", "b1"]


def test_retry_after_holds_for_the_channel() -> None:
    channel = Channel("a1", "b1")
    channel.down = True
    channel.step(retry_after_s=30)
    channel.down = False
    assert channel.queue.next(29.9) is None
    assert channel.queue.wait_s(10.0) == pytest.approx(20)
    assert channel.steps(2).delivered == ["a1", "b1"]
    assert channel.now_s == pytest.approx(30)


def test_a_short_retry_after_does_not_shorten_the_pause() -> None:
    channel = Channel("a1")
    channel.down = True
    for _ in range(6):
        channel.step(retry_after_s=0.0)
    assert channel.queue.wait_s(channel.now_s) == pytest.approx(32)


def test_what_is_dropped_first() -> None:
    channel = Channel()
    for name, topic in (("a1", "alarm"), ("a2", "rollback"), ("a3", "alarm"), ("a4", "incident")):
        channel.add(name, topic)
    sending = channel.queue.next(0.0)
    assert sending is not None
    dropped = [channel.queue.least_useful() for _ in range(4)]
    assert [found.id if found else None for found in dropped] == ["a3", "a2", "a4", None]
    assert sending.notification.id == "a1", "what is being sent is not dropped"


def test_pauses_grow_up_to_a_limit_and_are_not_all_the_same() -> None:
    assert [pause_s(attempt, 0.5) for attempt in (1, 2, 5, 9, 10, 90)] == [1, 2, 16, 256, PAUSE_MAX_S, PAUSE_MAX_S]
    assert (pause_s(1, 0.0), pause_s(1, 1.0)) == pytest.approx((0.8, 1.2))
    assert pause_s(2000, 0.5) == PAUSE_MAX_S
