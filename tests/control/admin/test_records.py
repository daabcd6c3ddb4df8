"""The journal."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from tests.control.conftest import AdminHarness, serving
from tests.control.control_harness import ControlHarness


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


async def test_the_newest_entries_come_first_with_before(control: ControlHarness) -> None:
    for number in range(3):
        await control.operations.freeze(service="svc", reason=f"{number}", actor="ann")
        await control.operations.unfreeze(service="svc", reason=f"{number}", actor="ann")
    application = app.build(control.queries, control.operations, control.settings)  # type: ignore[arg-type]
    async with serving(application) as url, aiohttp.ClientSession() as session:

        async def numbers(query: str) -> list[int]:
            async with session.get(f"{url}/v1/journal{query}") as response:
                return [entry["seq"] for entry in (await response.json())["entries"]]

        every = await numbers("?limit=1000")
        assert every == sorted(every)
        assert await numbers("?before=0&limit=2") == [every[-1], every[-2]]
        assert await numbers(f"?before={every[-2]}&limit=2") == [every[-3], every[-4]]
        assert await numbers(f"?before={every[-1]}&after={every[-4]}") == [every[-2], every[-3]]
        assert await numbers(f"?before={every[0]}") == []
