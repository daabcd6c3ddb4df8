"""What is wrong with a request or an answer, as a table."""

from __future__ import annotations

from typing import Final

import pytest

from router.rollout import json_pointer
from router.rollout.quality.validators import (
    AnswerRules,
    Complaint,
    Schema,
    answer_complaint,
    labels,
    request_complaint,
)

SCHEMA = Schema('{"type": "object", "required": ["inputs"]}')
EXPECTED: Final = "unexpected character, expected a JSON value"
ALL = AnswerRules(json=True, finite=((),))
DATA = AnswerRules(finite=(json_pointer.parse("/outputs/*/data"),))
LABEL = AnswerRules(labels=(labels("/label", ["fraud", "ok", 1]),))
TRUE = AnswerRules(labels=(labels("/label", [True]),))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        pytest.param(b'{"inputs": []}', None, id="good"),
        pytest.param(b"", "the body is not JSON: Input is a zero-length, empty document (byte 0)", id="empty"),
        pytest.param(b"{", "the body is not JSON: unexpected end of data (byte 1)", id="cut"),
        pytest.param(b'{"inputs": [NaN]}', f"the body is not JSON: {EXPECTED} (byte 12)", id="NaN"),
        pytest.param(
            b"\xff", "the body is not JSON: str is not valid UTF-8: surrogates not allowed (byte 0)", id="no text"
        ),
        pytest.param(b"{}", '"inputs" is a required property', id="schema"),
    ],
)
def test_requests(body: bytes, complaint: str | None) -> None:
    found = request_complaint(SCHEMA, body)
    assert (None if found is None else str(found)) == complaint


NULL, INFINITE = "null where a number is expected", "a number that is not finite"


@pytest.mark.parametrize(
    ("rules", "body", "complaint"),
    [
        pytest.param(AnswerRules(not_empty=True), b"", Complaint("empty", "", "the body is empty"), id="empty"),
        pytest.param(AnswerRules(not_empty=True), b" \r\n", Complaint("empty", "", "the body is empty"), id="blank"),
        pytest.param(AnswerRules(not_empty=True), b"x", None, id="not empty"),
        pytest.param(AnswerRules(json=True), b'{"a": null}', None, id="JSON"),
        pytest.param(
            AnswerRules(json=True), b"<html>", Complaint(
                "json", "", "the body is not JSON: unexpected character, expected a JSON value"
            ), id="no JSON",
        ),
        pytest.param(AnswerRules(schema=SCHEMA), b"{}", Complaint("schema", "", '"inputs" is a required property'), id="schema"),
        pytest.param(ALL, b'{"a": [1, 2.5, -3], "b": null, "c": ["x", null]}', None, id="null in other places"),
        pytest.param(ALL, b'{"a": [1, null]}', Complaint("finite", "/a/1", NULL), id="null among numbers"),
        pytest.param(ALL, b'[[1, 2], [3, null]]', Complaint("finite", "/1/1", NULL), id="null in a nested list"),
        pytest.param(ALL, b"null", Complaint("finite", "", NULL), id="null is the answer"),
        pytest.param(ALL, b'{"s": [0.5, NaN]}', Complaint("finite", "/s/1", INFINITE), id="NaN"),
        pytest.param(ALL, b'{"s": {"p": -Infinity}}', Complaint("finite", "/s/p", INFINITE), id="-Infinity"),
        pytest.param(ALL, b'{"s": [[1], [1e999]]}', Complaint("finite", "/s/1/0", INFINITE), id="1e999"),
        pytest.param(ALL, b'{"s": [', Complaint("json", "", "the body is not JSON: unexpected end of data"), id="cut"),
        pytest.param(DATA, b'{"x": [1, null], "outputs": [{"data": [1, 2]}]}', None, id="elsewhere is not asked"),
        pytest.param(DATA, b'{"outputs": [{"data": [null]}]}', Complaint("finite", "/outputs/0/data/0", NULL), id="only null"),
        pytest.param(DATA, b'{"outputs": [{}]}', Complaint("finite", "/outputs/0/data", "there is no number"), id="missing"),
        pytest.param(DATA, b'{"outputs": []}', None, id="no outputs is for the schema"),
        pytest.param(DATA, b'{"outputs": [{"data": ["a"]}]}', None, id="strings are no numbers"),
        pytest.param(LABEL, b'{"label": "ok"}', None, id="label"),
        pytest.param(LABEL, b'{"label": 1}', None, id="number as label"),
        pytest.param(
            LABEL, b'{"label": true}',
            Complaint("label", "/label", "a label that is not among the allowed ones"), id="true is not 1",
        ),
        pytest.param(
            LABEL, b'{"label": ["ok"]}',
            Complaint("label", "/label", "a label that is not among the allowed ones"), id="a list",
        ),
        pytest.param(TRUE, b'{"label": true}', None, id="a truth value as label"),
        pytest.param(
            TRUE, b'{"label": 1}',
            Complaint("label", "/label", "a label that is not among the allowed ones"), id="1 is not true",
        ),
        pytest.param(LABEL, b"{}", Complaint("label", "/label", "there is no label"), id="no label"),
    ],
)  # fmt: skip
def test_answers(rules: AnswerRules, body: bytes, complaint: Complaint | None) -> None:
    assert answer_complaint(rules, body) == complaint


def test_an_answer_nested_for_ever_is_not_json() -> None:
    found = answer_complaint(ALL, b"[" * 100_000)
    assert found is not None
    assert found.result == "json"


@pytest.mark.parametrize(
    ("rules", "any_"),
    [
        pytest.param(AnswerRules(), False, id="nothing"),
        pytest.param(AnswerRules(not_empty=True), True, id="not empty"),
        pytest.param(DATA, True, id="finite"),
    ],
)
def test_whether_there_is_anything_to_check(rules: AnswerRules, any_: bool) -> None:
    assert rules.any is any_
