from __future__ import annotations

import pytest

from router.control.incidents.axis import spread_axis, time_axis, value_axis


@pytest.mark.parametrize(
    ("since_s", "until_s", "texts"),
    [
        (-5, 30, ["−5 s", "0", "+5 s", "+10 s", "+15 s", "+20 s", "+25 s", "+30 s"]),
        (-130, 120, ["−2 min", "−90 s", "−60 s", "−30 s", "0", "+30 s", "+60 s", "+90 s", "+2 min"]),
        (-900, 120, ["−14 min", "−12 min", "−10 min", "−8 min", "−6 min", "−4 min", "−2 min", "0", "+2 min"]),
    ],
)
def test_times_are_round(since_s: float, until_s: float, texts: list[str]) -> None:
    assert [text for _, text in time_axis(since_s, until_s, 0, 100).ticks] == texts


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([], ["0", "0.25", "0.5", "0.75", "1"]),
        ([0.0], ["0", "0.25", "0.5", "0.75", "1"]),
        ([7.0], ["0", "2", "4", "6", "8"]),
        ([213.0], ["0", "100", "200", "300"]),
        ([45_000.0], ["0", "20k", "40k", "60k"]),
    ],
)
def test_values_are_round_and_begin_at_zero(values: list[float], texts: list[str]) -> None:
    assert [text for _, text in value_axis(values, 100, 0).ticks] == texts


def test_values_that_differ_much_stand_on_a_logarithmic_axis() -> None:
    axis = spread_axis([4.0, 30_000.0], 100.0, 0.0)
    assert [text for _, text in axis.ticks] == ["1", "10", "100", "1000", "10k", "100k"]
    assert [axis.place(value) for value in (0.0, 1.0, 1000.0, 1e9)] == [100.0, 100.0, pytest.approx(40.0), 0.0]
    assert not spread_axis([4.0, 40.0], 100.0, 0.0).logarithmic
    assert not spread_axis([], 100.0, 0.0).logarithmic


def test_what_is_outside_lies_at_the_edge() -> None:
    axis = time_axis(-10, 10, 0, 200)
    assert [axis.place(at_s) for at_s in (-20, -10, 0, 10, 20)] == [0, 0, 100, 200, 200]
