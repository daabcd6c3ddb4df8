"""How an event stream ends, wherever its bytes are cut."""

from __future__ import annotations

import pytest

from router.rollout.quality.validators import TAIL_BYTES, StreamEnd

DONE = b"data: [DONE]\n\n"
TOKEN = b'data: {"t": "x"}\n\n'


@pytest.mark.parametrize(
    ("stream", "result"),
    [
        pytest.param(TOKEN + DONE, None, id="good"),
        pytest.param(TOKEN * 100 + DONE, None, id="long"),
        pytest.param(TOKEN.replace(b"\n", b"\r\n") + DONE.replace(b"\n", b"\r\n"), None, id="CRLF"),
        pytest.param(TOKEN.replace(b"\n", b"\r") + DONE.replace(b"\n", b"\r"), None, id="CR"),
        pytest.param(TOKEN + b"data:[DONE]\n\n", None, id="no space"),
        pytest.param(TOKEN + b"data: [DONE]", None, id="no line end"),
        pytest.param(TOKEN + DONE + b": bye\n\n", None, id="a comment behind"),
        pytest.param(b": hello\n\nevent: x\nid: 1\n" + TOKEN + DONE, None, id="other fields"),
        pytest.param(b"data: " + b"y" * 3 * TAIL_BYTES + b"\n\n" + DONE, None, id="one long event"),
        pytest.param(TOKEN, "end", id="no end"),
        pytest.param(TOKEN + DONE + TOKEN, "end", id="goes on behind its end"),
        pytest.param(TOKEN + b"data: [DONE]!\n\n", "end", id="nearly its end"),
        pytest.param(TOKEN + b"event: x\ndata: [DO", "end", id="cut within its end"),
        pytest.param(DONE, "empty", id="nothing said"),
        pytest.param(b"", "empty", id="nothing at all"),
        pytest.param(b"data:\n\ndata\n\n" + DONE, "empty", id="only empty data"),
        pytest.param(b": keep-alive\n\n" * 100 + DONE, "empty", id="only comments"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 20])
def test_how_it_ends(stream: bytes, result: str | None, piece_bytes: int) -> None:
    end = StreamEnd("[DONE]")
    for place in range(0, len(stream), piece_bytes):
        end.feed(stream[place : place + piece_bytes])

    found = end.complaint()
    assert (None if found is None else found.result) == result
