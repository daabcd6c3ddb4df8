"""Deadlines: order, expiry at the exact moment, renewal."""

from __future__ import annotations

from router.proxy.deadlines import Deadlines, DeadlineSet
from tests.proxy.rig import OPTIONS


def test_waits_expire_in_order_at_their_time_and_once() -> None:
    expired: list[str] = []
    waits = Deadlines(10.0, expired.append)
    waits.start("a", 100.0)
    waits.start("b", 101.0)
    waits.sweep(109.9)
    assert expired == []
    waits.sweep(110.0)
    assert expired == ["a"]
    waits.sweep(120.0)
    assert expired == ["a", "b"]
    waits.sweep(200.0)
    assert expired == ["a", "b"]


def test_a_renewed_wait_stands_last_and_a_stopped_one_is_gone() -> None:
    expired: list[str] = []
    waits = Deadlines(10.0, expired.append)
    for name in "abc":
        waits.start(name, 100.0)
    waits.start("a", 105.0)
    assert waits.stop("b") == 100.0
    assert waits.stop("b") is None
    waits.sweep(114.9)
    assert expired == ["c"]
    assert waits.oldest() == 105.0


def test_the_oldest_and_how_many_wait_long() -> None:
    waits: Deadlines = Deadlines(10.0, lambda _: None)
    assert waits.oldest() is None
    for number in range(5):
        waits.start(str(number), 100.0 + number)
    assert waits.oldest() == 100.0
    assert [waits.longer_than(seconds, 104.0) for seconds in (0.0, 2.0, 4.0, 4.1)] == [5, 3, 1, 0]


def test_an_expiry_may_stop_another_wait() -> None:
    expired: list[str] = []
    waits: Deadlines

    def stop_the_other(name: str) -> None:
        expired.append(name)
        waits.stop("b")

    waits = Deadlines(1.0, stop_the_other)
    waits.start("a", 0.0)
    waits.start("b", 0.0)
    waits.sweep(5.0)
    assert expired == ["a"]


def test_a_set_sweeps_each_table_that_has_waits() -> None:
    expired: list[str] = []
    tables = DeadlineSet(OPTIONS)
    short, _, long = (tables.add(lambda _, s=seconds: s, expired.append) for seconds in (1.0, 2.0, 3.0))
    short.start("short", 0.0)
    long.start("long", 0.0)
    tables.sweep(2.9)
    assert expired == ["short"]
    tables.sweep(3.0)
    assert expired == ["short", "long"]
