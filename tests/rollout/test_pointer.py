"""JSON pointers, with `*` for every member."""

from __future__ import annotations

from typing import Any

import pytest

from router.rollout import json_pointer
from router.rollout.json_pointer import MISSING

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
