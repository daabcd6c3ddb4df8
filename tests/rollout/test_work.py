import pytest

from router.rollout.work import TIME_BOUNDS_US, TIME_CELLS, time_cell, time_quantile


def test_cells_are_in_order_and_reach_a_quarter_of_an_hour() -> None:
    assert list(TIME_BOUNDS_US) == sorted(set(TIME_BOUNDS_US))
    assert len(TIME_BOUNDS_US) == TIME_CELLS - 1
    assert 800e6 < TIME_BOUNDS_US[-1] < 900e6


@pytest.mark.parametrize(("micros", "cell"), [(0, 0), (999, 0), (1_000, 1), (99_999, 4), (100_000, 5), (10**12, 31)])
def test_a_duration_falls_into_its_cell(micros: int, cell: int) -> None:
    assert time_cell(micros) == cell


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0, 18.0, 70.0, 400.0])
def test_a_quantile_of_equal_times_is_within_a_cell_of_them(seconds: float) -> None:
    cells = [0] * TIME_CELLS
    cells[time_cell(round(seconds * 1e6))] = 100
    found = time_quantile(tuple(cells), 0.99)
    assert found is not None
    assert seconds / 1.42 < found < seconds * 1.42


def test_without_counts_there_is_no_quantile() -> None:
    assert time_quantile((0,) * TIME_CELLS, 0.5) is None


def test_the_last_cell_counts_as_its_lower_bound() -> None:
    cells = (0,) * (TIME_CELLS - 1) + (5,)
    assert time_quantile(cells, 0.99) == TIME_BOUNDS_US[-1] / 1e6
