"""A bucket gives a burst, then its rate."""

from __future__ import annotations

from router.control.token_bucket import TokenBucket


def test_a_burst_then_the_rate() -> None:
    bucket = TokenBucket(burst=3, per_s=0.5, now_s=100.0)
    assert [bucket.take(1, 100.0) for _ in range(4)] == [0, 0, 0, 2.0]
    assert bucket.take(1, 101.0) == 1.0, "a refusal takes nothing"
    assert [bucket.take(1, 102.0) for _ in range(2)] == [0, 2.0]


def test_it_holds_no_more_than_a_burst() -> None:
    bucket = TokenBucket(burst=3, per_s=0.5, now_s=0.0)
    assert [bucket.take(1, 1e6) for _ in range(4)] == [0, 0, 0, 2.0]


def test_other_limits_count_from_then_on() -> None:
    bucket = TokenBucket(burst=3, per_s=0.5, now_s=0.0)
    bucket.resize(1, 0.25)
    assert [bucket.take(1, 0.0) for _ in range(2)] == [0, 4.0]


def test_several_are_taken_at_once_or_none() -> None:
    bucket = TokenBucket(burst=3, per_s=0.5, now_s=0.0)
    assert bucket.take(2, 0.0) == 0
    assert bucket.take(2, 0.0) == 2.0
    assert bucket.take(1, 0.0) == 0
