"""The router's own answers, in the form that the client of the route expects."""

from __future__ import annotations

import pytest

from router.proxy.http1.replies import reply
from tests.hostile_text import HOSTILE, found_in
from tests.proxy.rig import Rig, field

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"


STYLES = {
    b"/v1/chat/completions": (b"application/json", b'"type":"server_error"'),
    b"/v2/models/m/infer": (b"application/json", b'{"error":"'),
    b"/other": (b"application/problem+json", b'"title":"Service Unavailable"'),
}


@pytest.mark.parametrize(("path", "expected"), STYLES.items())
async def test_errors_come_in_the_form_of_the_route(path: bytes, expected: tuple[bytes, bytes]) -> None:
    async with Rig() as rig:
        rig.route()
        _, head, body = await rig.ask(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path)
        assert field(head, b"content-type") == expected[0]
        assert expected[1] in body


@pytest.mark.parametrize("path", STYLES)
def test_an_error_tells_nothing_that_is_not_printable(path: bytes) -> None:
    answer = reply(502, "response_invalid", HOSTILE, path=path, close=True)
    assert found_in(answer.decode().replace("\r\n", "\n")) == []
    assert b"u009b" in answer
