import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.rollout.stats import bounds as stats_bounds
from router.rollout.stats.bounds import bounds
from tests.example_counts import examples
from tests.rollout.stats.scipy_values import BETA, GARWOOD, TAIL


@pytest.mark.parametrize(("k", "n", "sure"), BETA)
def test_bounds_are_those_of_scipy(k: int, n: int, sure: float) -> None:
    lower, upper = BETA[k, n, sure]
    assert stats_bounds.lower_bound(k, n, sure) == pytest.approx(lower, rel=1e-7)
    assert stats_bounds.upper_bound(k, n, sure) == pytest.approx(upper, rel=1e-7)


@pytest.mark.parametrize(("k", "n", "p"), TAIL)
def test_tail_is_that_of_scipy(k: int, n: int, p: float) -> None:
    assert stats_bounds.at_least(k, n, p) == pytest.approx(TAIL[k, n, p], rel=1e-6, abs=1e-11)


@pytest.mark.nightly
def test_the_values_of_scipy_are_those_of_scipy() -> None:
    from scipy import stats

    for (k, n, sure), (lower, upper) in BETA.items():
        assert lower == pytest.approx(stats.beta.ppf(1 - sure, k, n - k + 1) if k else 0.0, rel=1e-9)
        assert upper == pytest.approx(stats.beta.ppf(sure, k + 1, n - k) if k < n else 1.0, rel=1e-9)
    for (k, n, p), tail in TAIL.items():
        assert tail == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-9)
    for (count, confidence), (lower, upper) in GARWOOD.items():
        assert lower == pytest.approx(stats.chi2.ppf(1 - confidence, 2 * count) / 2 if count else 0.0, rel=1e-9)
        assert upper == pytest.approx(stats.chi2.ppf(confidence, 2 * count + 2) / 2, rel=1e-9)


@settings(max_examples=examples(200))
@given(
    n=st.integers(1, 5_000),
    share=st.floats(0, 1),
    limit=st.floats(0.0001, 0.9),
    sure=st.sampled_from([0.9, 0.99, 0.999]),
)
def test_is_above_agrees_with_the_lower_bound(n: int, share: float, limit: float, sure: float) -> None:
    k = int(share * n)
    lower = stats_bounds.lower_bound(k, n, sure)
    if abs(lower - limit) > 1e-9:
        assert stats_bounds.is_above(k, n, limit, sure) == (lower > limit)


def test_exact_where_wilson_is_too_bold() -> None:
    """Wilson's lower bound of 5 of 50 is 2.8 %; the exact one is 1.5 %, and only from 6 on above 2 %."""
    assert next(k for k in range(51) if stats_bounds.is_above(k, 50, 0.02, 0.999)) == 6


@pytest.mark.parametrize(
    ("k", "n", "limit", "expected"),
    [(0, 0, 0.02, False), (0, 10, 0.0, False), (1, 10, 0.0, True), (10, 10, 0.5, True), (10, 10, 1.0, False)],
)
def test_is_above_at_the_edges(k: int, n: int, limit: float, expected: bool) -> None:
    assert stats_bounds.is_above(k, n, limit, 0.9) is expected


def test_fractions_lie_between_their_whole_neighbours() -> None:
    bounds = [stats_bounds.lower_bound(k, 100, 0.95) for k in (3, 3.5, 4)]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize(("count", "confidence"), GARWOOD)
def test_bounds_are_those_of_garwood(count: int, confidence: float) -> None:
    lower, upper = bounds(count, confidence)
    assert lower == pytest.approx(GARWOOD[count, confidence][0], rel=1e-6)
    assert upper == pytest.approx(GARWOOD[count, confidence][1], rel=1e-6)


def test_of_nothing_seen_three_may_be_expected() -> None:
    assert bounds(0, 0.95) == (0.0, pytest.approx(-math.log(0.05)))
