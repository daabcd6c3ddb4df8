from __future__ import annotations

import pytest

from router.rollout.stats.spread import outside_burst, worst_burst
from router.rollout.units import SECOND_NS

POINTS = [(tenth * SECOND_NS // 10, 1) for tenth in range(40)]


@pytest.mark.parametrize(("burst_s", "outside"), [(0.0, 40), (1.0, 28), (2.0, 18), (4.0, 0)])
def test_what_lies_outside_the_worst_burst(burst_s: float, outside: int) -> None:
    assert outside_burst(POINTS, burst_s) == outside


def test_the_worst_burst_is_the_one_with_most_events() -> None:
    points = [*POINTS, (10 * SECOND_NS, 50), (11 * SECOND_NS, 30), (20 * SECOND_NS, 60)]
    assert worst_burst(points, 1.0) == ((40, 42), 80)
    assert worst_burst([], 1.0) == ((0, 0), 0)
