"""The router's own answers, in the form that the client of the route expects."""

from __future__ import annotations

import pytest

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
