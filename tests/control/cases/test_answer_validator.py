from __future__ import annotations

from typing import Any

import pytest

from router.control.cases.runner import AnswerValidator
from router.rollout.cases.case import Case, Request
from router.rollout.cases.comparison import CaseAnswer
from router.settings.sections.validation import ValidationSettings
from tests.control.cases.model_server import model_server

STREAM = b"data: tok\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize(
    ("rules", "answer", "complaint"),
    [
        pytest.param({}, CaseAnswer(200, 1.0, b""), None, id="no rules"),
        pytest.param({"response_not_empty": True}, CaseAnswer(200, 1.0, b" "), "the body is empty", id="empty"),
        pytest.param({"response_not_empty": True}, CaseAnswer(204, 1.0, b""), None, id="none was promised"),
        pytest.param({"response_json": True}, CaseAnswer(200, 1.0, b"{}"), None, id="JSON"),
        pytest.param({"response_json": True}, CaseAnswer(500, 1.0, b"no"), None, id="an error is judged by its status"),
        pytest.param({"response_json": True}, CaseAnswer(200, 1.0, b"{", complete=False), None, id="too long to be read"),
        pytest.param({"response_json": True}, CaseAnswer(error="no connection"), None, id="no answer"),
        pytest.param({"response_finite": [""]}, CaseAnswer(200, 1.0, b'{"a": NaN}'),
                     "a number that is not finite at /a", id="NaN"),
        pytest.param({"response_label_in": [{"pointer": "/l", "allowed": ["a"]}]}, CaseAnswer(200, 1.0, b'{"l": "b"}'),
                     "a label that is not among the allowed ones at /l", id="label"),
        pytest.param({"response_schema": '{"type": "array"}'}, CaseAnswer(200, 1.0, b"{}"),
                     '{} is not of type "array"', id="schema"),
        pytest.param({"stream_end": "[DONE]"}, CaseAnswer(200, 1.0, STREAM, content_type="text/event-stream"), None, id="stream"),
        pytest.param({"stream_end": "[DONE]"}, CaseAnswer(200, 1.0, STREAM[:11], content_type="text/event-stream"),
                     "the stream does not end with [DONE]", id="half a stream"),
        pytest.param({"response_json": True}, CaseAnswer(200, 1.0, STREAM, content_type="text/event-stream"), None,
                     id="no rule for streams"),
        pytest.param({"response_json": True, "paths": ["/v1/"]}, CaseAnswer(200, 1.0, b"no"), None, id="another path"),
        pytest.param({"response_json": True, "methods": ["GET"]}, CaseAnswer(200, 1.0, b"no"), None, id="another method"),
    ],
)  # fmt: skip
def test_an_answer(rules: dict[str, Any], answer: CaseAnswer, complaint: str | None) -> None:
    case = Case(Request("POST", "/score?v1=1", body="x"))
    found = AnswerValidator(ValidationSettings(**rules)).complaint(case, answer)
    assert found == complaint or (
        complaint is not None and found is not None and "type" in complaint and "type" in found
    )


async def test_a_check_holds_answers_against_the_rules_of_the_path(start_harness: Any) -> None:
    harness = await start_harness(validation={"response_finite": ["/score"]})
    async with model_server(lambda body: (200, b'{"score": NaN}')) as server:
        await harness.candidate(server.url)
        await harness.case_operations.add(
            "svc", [{"request": {"method": "POST", "target": "/score", "body": "{}"}}], "ann"
        )
        await harness.until(lambda: harness.status()["failing"])
        (check,) = harness.addon.checks.of("svc")
        assert check.results[0].problems == ("invalid: a number that is not finite at /score",)
