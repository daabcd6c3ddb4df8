"""The operation that each changing route calls, with its arguments."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.core.executor import Preconditions
from router.rollout.model.events import Override
from tests.control.conftest import AdminHarness

NONE = Preconditions(None, None)
DEPLOY = {"version": "fraud-v3", "endpoints": ["http://127.0.0.1:9003/"]}


CHANGES = [
    pytest.param("POST", "/v1/services/fraud/deploy", DEPLOY, 202, "deploy",
                 {"version": "fraud-v3", "endpoints": ["http://127.0.0.1:9003"], "artifact": None, "replace": False,
                  "override": None, "preconditions": NONE}, id="deploy"),
    pytest.param("POST", "/v1/services/fraud/deploy",
                 {"version": "models:/fraud/3", "artifact": "s3://m/3",
                  "override": {"actor": "ada", "reason": "I know", "expires_after_s": 60}}, 202, "deploy",
                 {"version": "models:/fraud/3", "endpoints": [], "artifact": "s3://m/3", "replace": False,
                  "override": Override("ada", "I know", 60.0), "preconditions": NONE}, id="deploy of a registered model"),
    pytest.param("POST", "/v1/services/fraud/promote",
                 {"version": "v3", "reason": "better", "override": {"actor": "ada", "reason": "I know"}}, 200, "promote",
                 {"version": "v3", "reason": "better", "override": Override("ada", "I know"), "preconditions": NONE},
                 id="promote"),
    pytest.param("POST", "/v1/services/fraud/rollback", {"reason": "bad", "from": "fraud-v2"}, 200, "rollback",
                 {"reason": "bad", "preconditions": Preconditions(None, "fraud-v2")}, id="rollback"),
    pytest.param("POST", "/v1/services/fraud/switch", {"to": "org/m:v1"}, 200, "switch",
                 {"to": "org/m:v1", "reason": "", "override": None, "preconditions": NONE}, id="switch"),
    pytest.param("POST", "/v1/services/fraud/retire", {"version": "v1", "cut": True}, 200, "retire",
                 {"version": "v1", "cut": True, "preconditions": NONE}, id="retire"),
    pytest.param("PUT", "/v1/services/fraud/versions/org%2Fm:v1/endpoints", {"endpoints": ["http://[::1]:9"]}, 200,
                 "set_endpoints", {"version": "org/m:v1", "endpoints": ["http://[::1]:9"]}, id="endpoints"),
    pytest.param("POST", "/v1/services/fraud/freeze", {"reason": "fair"}, 200, "freeze", {"reason": "fair"}, id="freeze"),
    pytest.param("POST", "/v1/services/fraud/unfreeze", {}, 200, "unfreeze", {"reason": ""}, id="unfreeze"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "verb", "asked"), CHANGES)
async def test_changing(
    admin: AdminHarness, method: str, path: str, body: dict[str, Any], status: int, verb: str, asked: dict[str, Any]
) -> None:
    answered, _, document = await admin.call(method, f"{path}?dry_run=true", json={**body, "actor": "grace"})
    assert answered == status, document
    assert admin.fake.calls == [(verb, {"service": "fraud", "actor": "grace", "dry_run": True, **asked})]


async def test_without_tokens_and_without_a_name_the_actor_is_local(admin: AdminHarness) -> None:
    await admin.call("POST", "/v1/services/fraud/rollback", json={})
    asked = {"service": "fraud", "reason": "", "actor": "local", "preconditions": NONE, "dry_run": False}
    assert admin.fake.calls == [("rollback", asked)]


async def test_the_etag_of_a_service_is_what_if_match_takes(admin: AdminHarness) -> None:
    _, headers, _ = await admin.call("GET", "/v1/services/fraud")
    assert headers["ETag"] == '"16777218"'
    how = {"headers": {"If-Match": headers["ETag"]}, "json": {}}
    _, answer_headers, _ = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    assert admin.fake.calls[-1][1]["preconditions"] == Preconditions(16777218, None)
    assert answer_headers["ETag"] == '"16777219"'
