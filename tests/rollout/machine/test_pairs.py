from __future__ import annotations

import pytest

from router.rollout.machine.pairs import vetoed


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(None, False, id="nothing was rescued"),
        pytest.param((1.0, 1.0, 1), False, id="one pair is too few"),
        pytest.param((1.0, 1.0, 2), True, id="two of two, and everything fails here"),
        pytest.param((0.3, 0.3, 3), False, id="one of three"),
        pytest.param((0.5, 0.3, 6), True, id="half of them, three in ten here"),
        pytest.param((0.3, 0.3, 20), True, id="as often as here"),
        pytest.param((0.0, 0.3, 20), False, id="none of twenty"),
        pytest.param((0.05, 0.1, 40), False, id="the standby is well in 95 %"),
        pytest.param((0.02, 1.0, 100), False, id="everything fails here alone"),
    ],
)
def test_pairs_veto_by_a_likelihood_ratio_of_twenty(pairs: tuple[float, float, int] | None, expected: bool) -> None:
    assert vetoed(pairs) is expected
