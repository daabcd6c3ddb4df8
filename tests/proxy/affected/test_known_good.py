"""Which useful requests are remembered."""

from __future__ import annotations

from router.proxy.affected.known_good import EVERY_S, KEPT, KnownGood


def test_one_a_second_and_bucket_is_due() -> None:
    known = KnownGood()
    known.keep(0, 1, 10.0)
    assert known.due_s[0] == 10.0 + EVERY_S
    assert known.due_s[1] == 0.0


def test_the_newest_of_each_bucket_are_kept() -> None:
    known = KnownGood()
    known.keep(3, 1000, 0.0)
    for number in range(1, KEPT + 2):
        known.keep(0, number, float(number))
    assert not known.has(1)
    assert all(known.has(number) for number in range(2, KEPT + 2))
    assert known.has(1000), "another bucket displaces nothing"


def test_a_request_that_comes_again_displaces_no_other() -> None:
    known = KnownGood()
    known.keep(0, 1, 0.0)
    for second in range(KEPT + 5):
        known.keep(0, 2, float(second))
    assert known.has(1)
