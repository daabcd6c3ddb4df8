import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.rollout.stats import histogram as h

MICROS = st.integers(0, h.MICROS_MAX)


@given(MICROS)
def test_a_duration_lies_in_its_bucket(micros: int) -> None:
    bucket = h.index(micros)
    assert h.lower_bound(bucket) <= micros < h.lower_bound(bucket + 1)


@pytest.mark.parametrize(
    ("micros", "bucket"),
    [(-1, 0), (0, 0), (7, 7), (8, 8), (15, 15), (16, 16), (17, 16), (18, 17), (1 << 40, h.BUCKETS - 1)],
)
def test_index(micros: int, bucket: int) -> None:
    assert h.index(micros) == bucket


def test_buckets_touch_and_are_at_most_an_eighth_wide() -> None:
    bounds = [h.lower_bound(bucket) for bucket in range(h.BUCKETS + 1)]
    assert bounds[-1] == h.MICROS_MAX + 1
    for low, high in itertools.pairwise(bounds):
        assert high > low
        assert low < 8 or (high - low) / low <= 0.125


@given(st.lists(MICROS, min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_quantile_is_within_a_bucket_of_the_exact_one(times: list[int], share: float) -> None:
    counts = [0] * h.BUCKETS
    for time in times:
        counts[h.index(time)] += 1
    exact = sorted(times)[max(0, -(-int(share * len(times) * 1e9) // 10**9) - 1)]
    found = h.quantile(counts, share)
    assert found is not None
    bucket = h.index(exact)
    neighbours = {h.index(time) for time in times}
    assert any(h.lower_bound(b) <= found <= h.lower_bound(b + 1) for b in {bucket} | neighbours)
    assert abs(found - exact) <= 0.125 * max(exact, found) + 1 or found in (h.lower_bound(b + 1) for b in neighbours)


def test_quantile_without_samples_is_none() -> None:
    assert h.quantile([0] * h.BUCKETS, 0.99) is None


@given(st.lists(MICROS, max_size=60), MICROS)
def test_above_differs_from_the_exact_number_by_the_bucket_of_the_limit(times: list[int], limit: int) -> None:
    counts = [0] * h.BUCKETS
    for time in times:
        counts[h.index(time)] += 1
    exact = sum(time >= limit for time in times)
    assert abs(h.above(counts, limit) - exact) <= counts[h.index(limit)]


def test_above_counts_the_limits_own_bucket_in_proportion() -> None:
    counts = [0] * h.BUCKETS
    counts[h.index(1024)] = 8  # 1024 to 1151 µs
    assert [h.above(counts, limit) for limit in (1024, 1056, 1088, 1152)] == [8, 6, 4, 0]


def test_merge_adds_bucket_by_bucket() -> None:
    assert h.merge([list(range(h.BUCKETS)), [3] * h.BUCKETS]) == list(range(3, h.BUCKETS + 3))
