"""The routes of status: the query that each calls, and its answer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.conftest import AdminHarness


@pytest.mark.parametrize(
    ("path", "verb", "asked"),
    [
        pytest.param("/v1/status", "status", {}, id="status"),
        pytest.param("/v1/services/fraud", "service_status", {"service": "fraud"}, id="service"),
        pytest.param("/v1/services/fraud/explain", "explain", {"service": "fraud"}, id="explain"),
    ],
)  # fmt: skip
async def test_reading(admin: AdminHarness, path: str, verb: str, asked: dict[str, Any]) -> None:
    status, headers, document = await admin.call("GET", path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert admin.fake.calls == [(verb, asked)]
    assert isinstance(document, dict)
