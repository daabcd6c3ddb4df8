import json
from dataclasses import replace

import pytest

from router.rollout.judge.baseline import Baseline, estimate, lateness
from router.rollout.stats.histogram import BUCKETS, index


def times(**counts: int) -> tuple[int, ...]:
    """Counts by milliseconds: `ms5=3` is three of 5 ms."""
    found = [0] * BUCKETS
    for name, number in counts.items():
        found[index(int(name.removeprefix("ms")) * 1000)] += number
    return tuple(found)


def test_an_estimate_has_exact_bounds() -> None:
    found = estimate(1_000, 10, 0.95)
    assert (found.requests, found.faults, found.rate) == (1_000, 10, 0.01)
    # Clopper and Pearson: beta.ppf(0.05, 10, 991) and beta.ppf(0.95, 11, 990) of scipy
    assert found.lower == pytest.approx(0.005435140144706774)
    assert found.upper == pytest.approx(0.016903175120562504)


def test_without_a_fault_the_rate_is_zero_and_its_upper_bound_is_not() -> None:
    found = estimate(500, 0, 0.95)
    assert (found.rate, found.lower) == (0.0, 0.0)
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 500))


def test_it_survives_the_journal() -> None:
    found = estimate(300, 2.5, 0.95, (times(ms5=3, ms90=1), times(ms500=4), times(ms7000=2)))
    assert Baseline.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize(
    ("limit_ms", "expected"), [(1, (10.0, 10.0)), (50, (4.0, 10.0)), (500, (2.0, 10.0)), (5_000, (0.0, 8.0))]
)
def test_lateness(limit_ms: float, expected: tuple[float, float]) -> None:
    """Six answers of 5 ms, two of 100 ms, two waits given up after 1 s."""
    assert lateness(times(ms5=6, ms100=2), times(ms1000=2), limit_ms * 1000) == expected


def test_the_late_share_of_a_baseline() -> None:
    found = estimate(10, 0, 0.95, (times(ms5=9, ms100=1), times(ms5=5, ms100=5), times()))
    assert found.late_share(50_000) == 0.1
    assert found.late_share(50_000, "last_byte") == 0.5
    assert found.late_share(50_000, "useful") is None, "an older journal has no such times"
    assert replace(found, first_useful=times(ms5=3, ms100=1)).late_share(50_000, "useful") == 0.25
    assert estimate(10, 0, 0.95).late_share(50_000) is None
