from __future__ import annotations

import math

import pytest
from scipy.stats import chi2

from router.rollout.stats.bounds import bounds


@pytest.mark.parametrize("count", [0, 1, 2, 5, 30, 100, 1000])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
def test_bounds_are_those_of_garwood(count: int, confidence: float) -> None:
    lower, upper = bounds(count, confidence)
    expected = chi2.ppf(1 - confidence, 2 * count) / 2 if count else 0.0
    assert lower == pytest.approx(expected, rel=1e-6)
    assert upper == pytest.approx(chi2.ppf(confidence, 2 * count + 2) / 2, rel=1e-6)


def test_of_nothing_seen_three_may_be_expected() -> None:
    assert bounds(0, 0.95) == (0.0, pytest.approx(-math.log(0.05)))
