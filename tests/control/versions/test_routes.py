"""The list of versions, and the marks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.control.conftest import AdminHarness

MARKS = [
    pytest.param("POST", "/v1/versions/v1/quarantine", {"reason": "bias", "service": "fraud"}, 200, "quarantine",
                 {"version": "v1", "reason": "bias"}, id="quarantine"),
    pytest.param("POST", "/v1/versions/org/m:v1/release", {"reason": "fixed", "service": "fraud"}, 200, "release",
                 {"version": "org/m:v1", "reason": "fixed", "expires_after_s": None}, id="release"),
    pytest.param("POST", "/v1/versions/v1/release", {"reason": "look", "expires_after_s": 7200, "service": "fraud"}, 200,
                 "release", {"version": "v1", "reason": "look", "expires_after_s": 7200.0}, id="release for a while"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "verb", "expected"), MARKS)
async def test_changing(
    admin: AdminHarness, method: str, path: str, body: dict[str, Any], status: int, verb: str, expected: dict[str, Any]
) -> None:
    answered, _, document = await admin.call(method, f"{path}?dry_run=true", json={**body, "actor": "grace"})
    assert answered == status, document
    assert admin.fake.calls == [(verb, {"service": "fraud", "actor": "grace", "dry_run": True, **expected})]


async def test_listing(admin: AdminHarness) -> None:
    status, _, document = await admin.call("GET", "/v1/versions")
    assert (status, [item["version"] for item in document["versions"]]) == (200, ["fraud-v1", "fraud-v2"])


async def test_the_only_service_need_not_be_named_for_a_mark(admin: AdminHarness) -> None:
    await admin.call("POST", "/v1/versions/v1/quarantine", json={"reason": "bias"})
    assert admin.fake.calls[-1][1]["service"] == "fraud"


@pytest.mark.parametrize("lasting", [0, -1, 1e9, "2h", True])
async def test_for_how_long_a_mark_may_be_lifted(admin: AdminHarness, lasting: object) -> None:
    body = {"reason": "look", "expires_after_s": lasting}
    assert await admin.refused("POST", "/v1/versions/v1/release", json=body) == (400, "request_invalid")
    assert [verb for verb, _ in admin.fake.calls if verb == "release"] == []
