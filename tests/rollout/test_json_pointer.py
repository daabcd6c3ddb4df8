"""JSON pointers, with `*` for every member."""

from __future__ import annotations

from typing import Any

import pytest

from router.rollout import json_pointer
from router.rollout.json_pointer import MISSING, covers, parse

DOCUMENT = {"outputs": [{"data": [1, 2]}, {"data": [3]}, {}], "a/b": {"~": 5}, "n": None, "": 7}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param("", [((), DOCUMENT)], id="the whole"),
        pytest.param("/n", [(("n",), None)], id="null is a value"),
        pytest.param("/", [(("",), 7)], id="the empty name"),
        pytest.param("/a~1b/~0", [(("a/b", "~"), 5)], id="escapes"),
        pytest.param("/outputs/1/data/0", [(("outputs", "1", "data", "0"), 3)], id="element"),
        pytest.param("/outputs/7/data", [(("outputs", "7"), MISSING)], id="beyond the end"),
        pytest.param("/outputs/x", [(("outputs", "x"), MISSING)], id="a name in a list"),
        pytest.param("/n/x", [(("n", "x"), MISSING)], id="below null"),
        pytest.param("/n/*", [(("n", "*"), MISSING)], id="every member of null"),
        pytest.param("/outputs/2/*", [], id="nothing of an empty object is missing"),
        pytest.param(
            "/outputs/*/data/*",
            [
                (("outputs", "0", "data", "0"), 1),
                (("outputs", "0", "data", "1"), 2),
                (("outputs", "1", "data", "0"), 3),
                (("outputs", "2", "data"), MISSING),
            ],
            id="every element",
        ),
    ],
)
def test_what_it_names(text: str, found: list[Any]) -> None:
    assert list(json_pointer.values(DOCUMENT, json_pointer.parse(text))) == found


def test_it_names_at_most_so_many() -> None:
    assert len(list(json_pointer.values(list(range(10_000)), ("*",)))) == json_pointer.VALUES_MAX


@pytest.mark.parametrize("text", ["outputs", "x/y", "/a" * 33])
def test_what_is_no_pointer(text: str) -> None:
    with pytest.raises(ValueError, match=r"pointer|parts"):
        json_pointer.parse(text)


@pytest.mark.parametrize("text", ["", "/", "/a~1b/~0/0", "/x/*"])
def test_spelled_as_it_was_written(text: str) -> None:
    assert json_pointer.format(json_pointer.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "place", "yes"),
    [
        ("/a/b", "a b", True), ("/a/b", "a", False), ("/a/b", "a b c", False), ("", "", True), ("", "a", False),
        ("/*/b", "x b", True), ("/*/b", "b", False), ("/**/b", "b", True), ("/**/b", "x y b", True),
        ("/**/b", "x b y", False), ("/a/**/b/**", "a b", True), ("/a/**/b/**", "a x b y z", True),
        ("/a/**/b/**", "a x c", False), ("/**", "", True), ("/a~1b", "a/b", True),
    ],
)  # fmt: skip
def test_a_pointer_names_a_place(text: str, place: str, yes: bool) -> None:
    assert covers(parse(text, any_depth=True), place.split()) is yes


def test_any_depth_is_refused_where_it_is_not_understood() -> None:
    with pytest.raises(ValueError, match=r"'/\*\*/b': \*\* is not understood here"):
        parse("/**/b")
