"""`stream_end = "auto"` knows the ends of the common protocols and passes other routes."""

from __future__ import annotations

import pytest

from router.rollout.quality.stream_ends import KnownStreamEnd, stream_end
from router.rollout.quality.validators import StreamEnd

TOKEN = b'data: {"choices":[{"delta":{"content":"done: true"}}]}\n\n'


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (TOKEN + b"data: [DONE]\n\n", None),
        (TOKEN + b"data:[DONE]\r\n\r\n", None),
        (TOKEN + b"data: [DONE]", None),
        (b'event: response.completed\ndata: {"response":{' + b"x" * 9000 + b"}}\n\n", None),
        (b'data: {"type":"response.incomplete","response":{}}\n\n', None),
        (b'data: {"type": "message_stop"}\n\n: bye\n\n', None),
        (b'data: {"message":{},"done": true}\n\n', None),
        (TOKEN, "end"),
        (TOKEN + b'data: {"type":"response.output_text.delta"}\n\n', "end"),
        (b"event: message_stop\n\n" + TOKEN, "end"),
        (b": keep-alive\n\n", "empty"),
    ],
)
def test_ends(body: bytes, result: str | None) -> None:
    for size in (1, 7, len(body)):
        check = KnownStreamEnd()
        for place in range(0, len(body), size):
            check.feed(body[place : place + size])
        found = check.complaint()
        assert (found.result if found else None) == result


def test_the_route_decides() -> None:
    assert stream_end("auto", "/predict") is None
    assert isinstance(stream_end("auto", "/v1/responses"), KnownStreamEnd)
    assert isinstance(stream_end("[DONE]", "/predict"), StreamEnd)
