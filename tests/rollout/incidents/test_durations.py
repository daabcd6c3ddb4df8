from __future__ import annotations

from collections.abc import Callable

import pytest

from router.rollout.incidents.durations import micros, millis, seconds


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (seconds, 0.041, "41 ms"), (seconds, 1.5, "1.5 s"), (micros, 85, "85 µs"), (micros, 9_999, "9999 µs"),
        (micros, 14_093, "14 ms"), (millis, 3.25, "3.25 ms"), (millis, 1_500, "1.5 s"), (millis, 0.04, "0.04 ms"),
    ],
)  # fmt: skip
def test_short_durations_for_people(write: Callable[[float], str], value: float, text: str) -> None:
    assert write(value) == text
