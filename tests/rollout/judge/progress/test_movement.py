from __future__ import annotations

import pytest

from router.rollout.judge.progress.movement import moves


@pytest.mark.parametrize(
    ("movement", "mean", "idle_s", "expected"),
    [
        pytest.param(1, None, 0, True, id="anything moves, and nothing is known"),
        pytest.param(0, None, 0, False, id="nothing moves"),
        pytest.param(5, 20.0, 0, True, id="a quarter of the normal"),
        pytest.param(4, 20.0, 0, False, id="less than a quarter"),
        pytest.param(0, 0.1, 0, False, id="nothing, and little is normal"),
        pytest.param(6_000, 6_000.0, 10, False, id="answers of the past"),
    ],
)
def test_a_bucket_moves(movement: float, mean: float | None, idle_s: float, expected: bool) -> None:
    assert moves(movement, mean, idle_s, limit_s=10.0) is expected
