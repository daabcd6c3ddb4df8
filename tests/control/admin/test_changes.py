"""The operation that each changing route calls, with its arguments."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.core.executor import Preconditions
from router.rollout.model import events as ev
from router.rollout.model.events import Override
from tests.control.conftest import AdminHarness

NONE = Preconditions(None, None)
DEPLOY = {"version": "fraud-v3", "endpoints": ["http://127.0.0.1:9003/"]}


CHANGES = [
    pytest.param("POST", "/v1/services/fraud/deploy", DEPLOY, 202,
                 ev.DeployAsked("fraud-v3", ("http://127.0.0.1:9003",), "grace"), id="deploy"),
    pytest.param("POST", "/v1/services/fraud/deploy",
                 {"version": "models:/fraud/3", "artifact": "s3://m/3", "replace": True,
                  "override": {"actor": "ada", "reason": "I know", "expires_after_s": 60}}, 202,
                 ev.DeployAsked("models:/fraud/3", (), "grace", True, Override("ada", "I know", 60.0),
                                ev.Origin("s3://m/3")), id="deploy of a registered model"),
    pytest.param("POST", "/v1/services/fraud/promote",
                 {"version": "v3", "reason": "better", "override": {"actor": "ada", "reason": "I know"}}, 200,
                 ev.SwitchAsked("v3", "grace", "better", "promoted", Override("ada", "I know")), id="promote"),
    pytest.param("POST", "/v1/services/fraud/rollback", {"reason": "bad"}, 200, ev.RollbackAsked("bad", "grace"),
                 id="rollback"),
    pytest.param("POST", "/v1/services/fraud/switch", {"to": "org/m:v1"}, 200,
                 ev.SwitchAsked("org/m:v1", "grace", "switched", "switched"), id="switch"),
    pytest.param("POST", "/v1/services/fraud/retire", {"version": "v1", "cut": True}, 200,
                 ev.RetireAsked("v1", "grace", True), id="retire"),
    pytest.param("PUT", "/v1/services/fraud/versions/org%2Fm:v1/endpoints", {"endpoints": ["http://[::1]:9"]}, 200,
                 ev.EndpointsAsked("org/m:v1", ("http://[::1]:9",), "grace"), id="endpoints"),
    pytest.param("POST", "/v1/services/fraud/freeze", {"reason": "fair"}, 200, ev.FreezeAsked("grace", "fair"),
                 id="freeze"),
    pytest.param("POST", "/v1/services/fraud/unfreeze", {}, 200, ev.UnfreezeAsked("grace", ""), id="unfreeze"),
]  # fmt: skip


def asked(event: ev.Event, preconditions: Preconditions = NONE, *, dry_run: bool = False) -> tuple[str, dict[str, Any]]:
    return "change", {"service": "fraud", "event": event, "preconditions": preconditions, "dry_run": dry_run}


@pytest.mark.parametrize(("method", "path", "body", "status", "event"), CHANGES)
async def test_changing(
    admin: AdminHarness, method: str, path: str, body: dict[str, Any], status: int, event: ev.Event
) -> None:
    answered, _, document = await admin.call(method, f"{path}?dry_run=true", json={**body, "actor": "grace"})
    assert answered == status, document
    assert admin.fake.calls == [asked(event, dry_run=True)]


async def test_without_tokens_and_without_a_name_the_actor_is_local(admin: AdminHarness) -> None:
    await admin.call("POST", "/v1/services/fraud/rollback", json={"from": "fraud-v2"})
    event = ev.RollbackAsked("rolled back by an operator", "local")
    assert admin.fake.calls == [asked(event, Preconditions(None, "fraud-v2"))]


async def test_the_etag_of_a_service_is_what_if_match_takes(admin: AdminHarness) -> None:
    _, headers, _ = await admin.call("GET", "/v1/services/fraud")
    assert headers["ETag"] == '"16777218"'
    how = {"headers": {"If-Match": headers["ETag"]}, "json": {}}
    _, answer_headers, _ = await admin.call("POST", "/v1/services/fraud/rollback", **how)
    assert admin.fake.calls[-1][1]["preconditions"] == Preconditions(16777218, None)
    assert answer_headers["ETag"] == '"16777219"'
