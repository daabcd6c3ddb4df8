"""Fields of requests: what a request holds there, which fields there are, and what is learned of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.rollout.quality.reference import (
    FIELDS_MAX,
    VALUES_MAX,
    Reference,
    ReferenceLearner,
    discovered,
    field,
    reference_from_dict,
)
from router.rollout.units import SECOND_NS


@pytest.mark.parametrize(
    ("name", "document", "values"),
    [
        pytest.param("/a", {"a": 1}, [1], id="scalar"),
        pytest.param("/a", {"a": [1, [2, 3]]}, [1, 2, 3], id="lists are unfolded"),
        pytest.param("/a/*/b", {"a": [{"b": 1}, {"b": 2}]}, [1, 2], id="every element"),
        pytest.param("/a/*/b", {"a": [{"b": 1}, {}]}, [], id="missing in one"),
        pytest.param("/a", {"a": [1, None]}, [], id="null is missing"),
        pytest.param("/a", {}, [], id="missing"),
        pytest.param("/a", {"a": []}, [], id="an empty list holds nothing"),
        pytest.param("/a", {"a": list(range(9999))}, list(range(VALUES_MAX)), id="bounded"),
    ],
)
def test_what_a_request_holds(name: str, document: Any, values: list[Any]) -> None:
    assert field(name).values(document) == values


@pytest.mark.parametrize(
    ("document", "names"),
    [
        pytest.param({"a": 1, "b": {"c": "x"}}, ["/a", "/b/c"], id="members"),
        pytest.param({"a/b": [1, 2]}, ["/a~1b"], id="a list of scalars is one field"),
        pytest.param({"inputs": [{"name": "x", "data": [1]}]}, ["/inputs/0/name", "/inputs/0/data"], id="tensors"),
        pytest.param({"rows": [{"x": 1}] * 9}, ["/rows/*/x"], id="many alike"),
        pytest.param([1, 2], [], id="no object"),
        pytest.param({"a": {"b": {"c": {"d": {"e": 1}}}}}, [], id="too deep"),
        pytest.param({"x" * 200: 1}, [], id="names that are data"),
    ],
)
def test_which_fields_a_request_shows(document: Any, names: list[str]) -> None:
    assert [found.name for found in discovered(document)] == names


def test_fields_are_bounded() -> None:
    assert len(discovered({f"f{n}": n for n in range(1000)})) == FIELDS_MAX


def learn(samples: int, seconds: float, documents: list[Any], each_s: float) -> tuple[Reference | None, int]:
    """Return what was learned and from how many."""
    learner = ReferenceLearner("v1", (), samples, seconds)
    for number, document in enumerate(documents):
        now_ns = SECOND_NS + int(number * each_s * SECOND_NS)
        learner.take(document, now_ns)
        if (learned := learner.reference(now_ns, 0.01)) is not None:
            return learned, number + 1
    return None, len(documents)


def test_it_takes_enough_requests_and_enough_time() -> None:
    documents = [{"x": number % 7} for number in range(200)]
    assert learn(100, 10.0, documents, each_s=1.0)[1] == 100
    assert learn(20, 100.0, documents, each_s=1.0)[1] == 101
    assert learn(500, 1.0, documents, each_s=1.0)[0] is None


def test_what_was_learned_survives_the_journal() -> None:
    learned, _ = learn(20, 0.0, [{"x": n % 3, "c": "ab"[n % 2]} for n in range(20)], each_s=1.0)
    assert learned is not None
    assert (learned.version, learned.samples, learned.usual_rejected) == ("v1", 20, 0.01)
    assert [(name, profile.kind) for name, profile in learned.profiles.items()] == [
        ("/x", "number"),
        ("/c", "category"),
    ]
    assert reference_from_dict(json.loads(json.dumps(learned.as_dict()))) == learned
