"""A JSON Schema says what is wrong, and where, and never a value."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from router.rollout.quality.validators import MESSAGE_CHARS_MAX, Schema

INFER = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
        "name": {"type": "string", "pattern": "^(a+)+$"},
        "one": {"const": 1},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        pytest.param({"inputs": [1, 2.5]}, None, id="good"),
        pytest.param({}, ("", '"inputs" is a required property'), id="missing"),
        pytest.param({"inputs": [1, "secret"]}, ("/inputs/1", 'the value is not of type "number"'), id="type"),
        pytest.param({"inputs": [1, 2, 3, 4]}, ("/inputs", "the value has more than 3 items"), id="too many"),
        pytest.param({"inputs": [], "one": 4711}, ("/one", "1 was expected"), id="constant"),
        pytest.param(
            {"inputs": [], "name": "a" * 40 + "secret"}, ("/name", 'the value does not match "^(a+)+$"'), id="pattern"
        ),
        pytest.param([1], ("", 'the value is not of type "object"'), id="no object"),
    ],
)
def test_what_is_wrong_and_where(document: Any, complaint: tuple[str, str] | None) -> None:
    assert Schema(json.dumps(INFER)).complaint(document) == complaint


def test_messages_are_bounded_and_printable() -> None:
    found = Schema(json.dumps(INFER)).complaint({"inputs": [], "x\n" * 5000: 1})
    assert found is not None
    assert len(found[1]) == MESSAGE_CHARS_MAX + 1
    assert found[1].isprintable()


def test_a_document_nested_too_deeply_is_wrong_and_breaks_nothing() -> None:
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    assert Schema('{"items": {"type": "number"}}').complaint(nested) == ("", "Recursion limit reached")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('{"type": "objekt"}', "is no usable JSON Schema: .*objekt.* at /type", id="no such type"),
        pytest.param('{"type": ', "is no JSON: .*EOF", id="no JSON"),
        pytest.param('{"$ref": "http://127.0.0.1:9/x"}', "Retrieval is disabled", id="nothing is fetched"),
        pytest.param('{"$ref": "file:///etc/hostname"}', "Retrieval is disabled", id="nor read"),
        pytest.param('{"pattern": "(?=a)"}', 'is not a "regex" at /pattern', id="patterns that may take for ever"),
        pytest.param("[1]", "not of types", id="no schema"),
    ],
)
def test_a_schema_that_cannot_be_used(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Schema(text)


def test_without_the_extra_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(ValueError, match=r"rollback-router\[schema\]"):
        Schema("{}")
