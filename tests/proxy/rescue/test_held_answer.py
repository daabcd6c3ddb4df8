"""A failed answer that is collected."""

from __future__ import annotations

from router.proxy.http1.response_head import parse_response
from router.proxy.rescue.held_answer import HELD_BYTES_MAX, HeldAnswer
from router.rollout.outcome import Outcome

HEAD = b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n"


def test_it_keeps_the_body_up_to_a_limit() -> None:
    held = HeldAnswer(parse_response(HEAD), Outcome.SERVER_ERROR, None, at_once=False)
    assert held.add(b"sor")
    assert held.add(b"ry!")
    assert held.body == b"sorry!"
    assert held.add(b"x" * (HELD_BYTES_MAX - 6))
    assert not held.add(b"x")
    assert len(held.body) == HELD_BYTES_MAX
