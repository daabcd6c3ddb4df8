"""The refusal of a wrong body names the wrong place."""

from __future__ import annotations

import pytest

from tests.control.conftest import AdminHarness


@pytest.mark.parametrize(
    ("body", "code", "place"),
    [
        pytest.param(b"{", "request_invalid", "body", id="no JSON"),
        pytest.param(b"", "request_invalid", "body", id="empty"),
        pytest.param(b"[]", "request_invalid", "body", id="no object"),
        pytest.param(b"null", "request_invalid", "body", id="null"),
        pytest.param(b"\xff\xfe{}", "request_invalid", "body", id="not UTF-8"),
        pytest.param(b'{"version": "\\ud800", "endpoints": ["http://a:1"]}', "request_invalid", "body", id="surrogate"),
        pytest.param(b"[" * 1_000_000, "request_invalid", "body", id="a million levels"),
        pytest.param(b'{"a":' * 150_000, "request_invalid", "body", id="deep objects"),
        pytest.param(b'{"version": "v", "endpoints": [], "x": 1}',
                     "request_invalid", "body.endpoints", id="no endpoint"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "vesrion": 1}',
                     "request_invalid", "body.vesrion", id="unknown"),
        pytest.param(b'{"version": 7, "endpoints": ["http://a:1"]}',
                     "request_invalid", "body.version", id="wrong type"),
        pytest.param(b'{"version": "v1\\r\\nX: y", "endpoints": ["http://a:1"]}',
                     "version_invalid", "body.version", id="CRLF in version"),
        pytest.param(b'{"version": "v1\\n", "endpoints": ["http://a:1"]}',
                     "version_invalid", "body.version", id="LF at the end"),
        pytest.param(b'{"version": "v", "endpoints": ["file:///etc/passwd"]}',
                     "endpoint_invalid", "body.endpoints", id="scheme"),
        pytest.param(b'{"version": "v", "endpoints": ["http://"]}', "endpoint_invalid", "body.endpoints", id="no host"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "replace": "yes"}',
                     "request_invalid", "body.replace", id="no bool"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "actor": "a\\u0000b"}',
                     "request_invalid", "body.actor", id="control character"),
        pytest.param(b'{"version": "v", "endpoints": ["http://a:1"], "override": {"actor": "a", "reason": ""}}',
                     "request_invalid", "body.override.reason", id="override without reason"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_a_400_that_names_the_place(
    admin: AdminHarness, body: bytes, code: str, place: str
) -> None:
    how = {"data": body, "headers": {"Content-Type": "application/json"}}
    status, headers, problem = await admin.call("POST", "/v1/services/fraud/deploy", **how)
    assert (status, headers["Content-Type"], problem["code"]) == (400, "application/problem+json", code)
    assert problem["errors"][0]["place"] == place
    assert problem["detail"].startswith(f"{place}: ")
    assert len(problem["detail"]) < 2000
    assert problem["detail"].isprintable()
    assert admin.fake.calls == []
