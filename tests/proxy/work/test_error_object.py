"""What an error in a response with a 200 says: busy, the client's fault, or the version's."""

from __future__ import annotations

from typing import Any

import pytest

from router.proxy.work import error_object
from router.rollout import answer_error
from router.rollout.outcome import Outcome
from router.rollout.work import WorkEnd

INVALID = (Outcome.INVALID, WorkEnd.FAULT)
CLIENT = (Outcome.CLIENT_ERROR, WorkEnd.CLIENT_ERROR)
UNAUTHORISED = (Outcome.CLIENT_ERROR, WorkEnd.UNAUTHORISED)
BUSY = (Outcome.THROTTLED, WorkEnd.THROTTLED)


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"error": {"code": 500, "message": "CUDA error"}}, INVALID),
        ({"error": "model runner has stopped"}, INVALID),
        ({"error": {"message": "x", "type": "server_error", "code": None}}, INVALID),
        ({"error": {"code": 500, "type": "invalid_request_error"}}, INVALID),
        ({"error": {"code": 400, "message": "too long"}}, CLIENT),
        ({"error": {"type": "BadRequestError"}}, CLIENT),
        ({"error": {"code": "context_length_exceeded"}}, CLIENT),
        ({"error": {"code": 404, "status": "NOT_FOUND"}}, CLIENT),
        ({"object": "error", "code": "404", "message": "no such model"}, CLIENT),
        ({"error": {"code": 401}}, UNAUTHORISED),
        ({"type": "error", "error": {"type": "authentication_error"}}, UNAUTHORISED),
        ({"error": {"code": 429}}, BUSY),
        ({"error": {"status_code": "529"}}, BUSY),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, BUSY),
        ({"error": {"code": 503, "message": "The queue is full"}}, BUSY),
        ({"error": {"code": 503, "message": "engine is dead"}}, INVALID),
        ({"error": {"status": "RESOURCE_EXHAUSTED"}}, BUSY),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, BUSY),
        ({"type": "response.failed", "response": {"status": "failed"}}, INVALID),
        ({"type": "error", "code": "server_error", "message": "x"}, INVALID),
        ({"error": True}, INVALID),
        ({"error": 503}, INVALID),
        ({"choices": [{"delta": {}, "finish_reason": "error"}]}, INVALID),
        ({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "x"}}, INVALID),
    ],
)
def test_errors(document: dict[str, Any], found: tuple[Outcome, WorkEnd]) -> None:
    error = answer_error.find(document)
    judged = error_object.judged(error, frozenset((429, 529)), (b"queue", b"overloaded", b"capacity"))
    assert (judged.outcome, judged.end) == found
    assert len(judged.text) <= error_object.TEXT_CHARS_MAX
