"""The journal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.conftest import AdminHarness


@pytest.mark.parametrize(
    ("path", "verb", "asked"),
    [
        pytest.param("/v1/journal", "journal", {"after": 0, "limit": 100, "service": None}, id="journal"),
        pytest.param("/v1/journal?after=7&limit=2&service=fraud", "journal",
                     {"after": 7, "limit": 2, "service": "fraud"}, id="journal, query"),
    ],
)  # fmt: skip
async def test_reading(admin: AdminHarness, path: str, verb: str, asked: dict[str, Any]) -> None:
    status, headers, document = await admin.call("GET", path)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert admin.fake.calls == [(verb, asked)]
    assert isinstance(document, dict)


@pytest.mark.parametrize(
    "query", ["after=-1", "limit=0", "limit=1001", "after=x", f"after={1 << 63}", "service=%0d%0a"]
)
async def test_a_bad_journal_query(admin: AdminHarness, query: str) -> None:
    assert await admin.refused("GET", f"/v1/journal?{query}") == (400, "request_invalid")
