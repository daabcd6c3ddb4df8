"""The list of versions, and the marks."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.core.executor import ANYTHING
from router.rollout.model import events as ev
from tests.control.conftest import AdminHarness

MARKS = [
    pytest.param("/v1/versions/v1/quarantine", {"reason": "bias"}, 200, ev.QuarantineAsked("v1", "grace", "bias"),
                 id="quarantine"),
    pytest.param("/v1/versions/org/m:v1/release", {"reason": "fixed"}, 200,
                 ev.ReleaseAsked("org/m:v1", "grace", "fixed"), id="release"),
    pytest.param("/v1/versions/v1/release", {"reason": "look", "expires_after_s": 7200}, 200,
                 ev.ReleaseAsked("v1", "grace", "look", 7200.0), id="release for a while"),
    pytest.param("/v1/versions", {"version": "v3", "artifact": "s3://m/3"}, 201,
                 ev.RegisterAsked("v3", (), "grace", ev.Origin("s3://m/3")), id="register"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status", "event"), MARKS)
async def test_changing(admin: AdminHarness, path: str, body: dict[str, Any], status: int, event: ev.Event) -> None:
    asked = {**body, "actor": "grace", "service": "fraud"}
    answered, _, document = await admin.call("POST", f"{path}?dry_run=true", json=asked)
    assert answered == status, document
    expected = {"service": "fraud", "event": event, "preconditions": ANYTHING, "dry_run": True}
    assert admin.fake.calls == [("change", expected)]


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
    assert [verb for verb, _ in admin.fake.calls if verb == "change"] == []
