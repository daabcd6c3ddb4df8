"""Which answers are errors. What they say: tests/proxy/work/test_error_object.py."""

from __future__ import annotations

from typing import Any

import pytest

from router.rollout import answer_error


@pytest.mark.parametrize(
    "document",
    [
        {"error": None},
        {"error": False},
        {"error": ""},
        {"error": {}},
        {"error": 0.31},
        {"error": 2},
        {"choices": [{"finish_reason": "stop"}, None]},
        {"choices": []},
        [],
        "error",
        None,
        5,
        {"code": 500},
    ],
)
def test_what_is_no_error(document: Any) -> None:
    assert answer_error.find(document) is None


def test_an_error_beside_a_result_is_not_alone() -> None:
    assert answer_error.is_alone({"error": {"code": 500}, "choices": [], "detail": "x"})
    assert answer_error.is_alone({"object": "error", "message": "x"})
    assert not answer_error.is_alone({"error": "x", "choices": [{}]})
    assert not answer_error.is_alone({"error": "x", "message": {"content": "a"}})
