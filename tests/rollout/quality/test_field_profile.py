"""What a field is like, learned in two halves; and what is outside of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.rollout.quality.field_profile import (
    CATEGORIES_MAX,
    FieldLearner,
    FieldProfile,
    Kind,
    digest,
    profile_from_dict,
)


def learned(kind: Kind, first: list[list[Any]], second: list[list[Any]] | None = None) -> FieldProfile:
    lesson = FieldLearner(kind)
    for values in first:
        lesson.take(values)
    lesson.start_second_half()
    for values in second if second is not None else first:
        lesson.take(values)
    return lesson.profile()


@pytest.mark.parametrize(
    ("asked", "values", "kind", "low", "high", "categories"),
    [
        pytest.param("auto", [[1], [2.5], [-3]], "number", -3, 2.5, set(), id="numbers"),
        pytest.param("number", [[1, 7], [2]], "number", 1, 7, set(), id="several of one request"),
        pytest.param("auto", [["a"], ["b"], ["a"]], "category", None, None, {"a", "b"}, id="categories"),
        pytest.param("category", [[1], [2]], "category", None, None, {1, 2}, id="numbers as categories"),
        pytest.param(
            "auto", [[True], [False]], "category", None, None, {True, False}, id="truth values are no numbers"
        ),
        pytest.param("auto", [[1], ["a"]], "category", None, None, {1, "a"}, id="mixed"),
        pytest.param("number", [[1], ["a"]], "any", None, None, set(), id="asked for numbers, and they are not"),
        pytest.param("auto", [[{"a": 1}]], "any", None, None, set(), id="objects"),
        pytest.param("any", [[1], [2]], "any", None, None, set(), id="nothing is asked"),
        pytest.param("auto", [[f"t{n}"] for n in range(CATEGORIES_MAX + 1)], "any", None, None, set(), id="free text"),
        pytest.param("auto", [[], []], "any", None, None, set(), id="never there"),
    ],
)
def test_what_is_learned(
    asked: Kind, values: list[list[Any]], kind: Kind, low: float | None, high: float | None, categories: set[Any]
) -> None:
    shape = learned(asked, values)
    assert (shape.kind, shape.low, shape.high) == (kind, low, high)
    assert shape.categories == set(map(digest, categories))
    assert profile_from_dict(json.loads(json.dumps(shape.as_dict()))) == shape


@pytest.mark.parametrize(
    ("values", "out"),
    [([0], False), ([10], False), ([5, 11], True), ([-1], True), (["5"], True), ([True], True), ([5.5], False)],
)
def test_outside_of_a_range(values: list[Any], out: bool) -> None:
    assert learned("number", [[0], [10]]).is_out(values) is out


def test_categories_never_seen() -> None:
    shape = learned("category", [["a"], ["1"]])
    assert [shape.is_out([value]) for value in ("a", "b", "1", 1)] == [False, True, False, True]


def test_a_field_always_outside_is_not_checked() -> None:
    growing = learned("auto", [[n] for n in range(100)], [[n] for n in range(100, 200)])
    steady = learned("auto", [[n % 10] for n in range(100)])
    assert (growing.steady, steady.steady) == (False, True)
    assert steady.usual_out == pytest.approx(0.0295, abs=1e-4)


def test_how_often_it_is_usually_missing() -> None:
    shape = learned("auto", [[1]] * 40 + [[]] * 10)
    assert 0.2 < shape.usual_missing < 0.3


def test_it_keeps_no_values_but_two_numbers() -> None:
    assert "amsterdam" not in json.dumps(learned("category", [["amsterdam"]]).as_dict())
