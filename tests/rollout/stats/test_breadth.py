import random

import pytest

from router.rollout.stats.breadth import COUNT_MAX, Distinct


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_few_values_are_counted_exactly(number: int) -> None:
    values = [256 * index + 7 for index in range(number)]  # all of them share one bit of the sketch
    assert Distinct.of(values).count == number


@pytest.mark.parametrize("number", [20, 100, 300])
def test_many_values_are_estimated(number: int) -> None:
    generator = random.Random(number)
    values = [generator.getrandbits(64) for _ in range(number)]
    assert 0.85 * number < Distinct.of(values).count < 1.15 * number


def test_a_full_sketch_is_more_than_can_be_counted() -> None:
    assert Distinct.of(range(1, 10_000)).count == COUNT_MAX + 1


def test_a_union_counts_common_values_once() -> None:
    assert (Distinct.of([1, 2]) | Distinct.of([2, 3])).count == 3


def test_values_outside_another_set_are_counted() -> None:
    assert Distinct.of([1, 2, 3]).without(Distinct.of([2])) == 2
    assert Distinct.of([2]).without(Distinct.of([2])) == 0
