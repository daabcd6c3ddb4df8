"""The hooks over HTTP: what is let in, what is refused, and that a hook's token opens nothing else."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.admin.app import reconfigure
from router.runtime import clock
from tests.control.conftest import token
from tests.control.hook_harness import BEARER, OPEN, HookHarness, firing, hook_harness, webhook

AM, ALERT = "/v1/hooks/alertmanager", "/v1/hooks/alert"
DIRECT = {"id": "x1", "kind": "quality", "service": "svc", "summary": "PSI 0.4"}


REFUSED: list[tuple[str, str, Any, dict[str, str] | None, tuple[int, str]]] = [
    ("unsigned", AM, webhook(firing()), {}, (401, "token_missing")),
    ("a foreign token", AM, webhook(firing()), {"Authorization": "Bearer x"}, (401, "token_invalid")),
    ("cut off", AM, b"{", None, (400, "request_invalid")),
    ("malformed", AM, {"alerts": [{}]}, None, (400, "request_invalid")),
    ("oversized", AM, b"x" * 5000, None, (413, "body_too_large")),
    ("no JSON", AM, b"", {**BEARER, "Content-Type": "text/plain"}, (415, "content_type")),
    ("compressed", AM, b"", {**BEARER, "Content-Encoding": "gzip"}, (415, "content_encoding")),
    ("an unknown service", ALERT, DIRECT | {"service": "other"}, None, (404, "service_unknown")),
    ("no service", ALERT, {"id": "x", "kind": "quality"}, None, (422, "service_missing")),
    ("no map", ALERT, {"id": "x", "labels": {"a": "b"}}, None, (422, "unmapped")),
    ("a batch", ALERT, b"[]", {**BEARER, "Content-Type": "application/cloudevents-batch+json"}, (415, "content_type")),
]


async def test_refused_without_effect(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "body_bytes_max": 4096}) as hooks:
        before = await hooks.get("/v1/journal")
        for what, path, body, fields, expected in REFUSED:
            status, problem = await hooks.post(path, body, fields)
            assert (what, status, problem["code"]) == (what, *expected)
            assert {"type", "title", "status", "detail", "request_id"} <= set(problem)
        assert (await hooks.get("/v1/alerts"))["alerts"] == []
        assert await hooks.get("/v1/journal") == before


async def test_nobody_gets_in_without_a_token_or_a_signature_that_was_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hook_harness(tmp_path) as hooks:
        monkeypatch.setattr(hooks.addon.keys, "sender", lambda fields: None)
        status, problem = await hooks.post(ALERT, DIRECT, {})
        assert (status, problem["code"]) == (401, "signature_missing")


async def test_closed_until_somebody_may_send(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {}) as hooks:
        status, problem = await hooks.post(ALERT, DIRECT)
        assert (status, problem["code"]) == (403, "hooks_closed")


async def test_a_bad_alert_does_not_cost_the_good_ones_beside_it(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        bad, good = firing("f1", service="other"), firing("f2")
        status, document = await hooks.post(AM, webhook(bad, good, truncatedAlerts=4))
        assert (status, document["truncated"]) == (200, 4)
        assert [(found["fingerprint"], found["service"], found["result"]) for found in document["alerts"]] == [
            ("f1", None, "service_unknown"),
            ("f2", "svc", "counts"),
        ]


async def test_one_alert_is_known_by_its_id(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        assert await hooks.post(ALERT, DIRECT) == (
            200,
            {"fingerprint": "x1", "service": "svc", "result": "counts", "detail": "it counts against v1"},
        )
        assert (await hooks.post(ALERT, DIRECT))[1]["result"] == "duplicate"
        assert (await hooks.post(ALERT, DIRECT | {"status": "resolved"}))[1]["result"] == "resolved"
        assert (await hooks.get("/v1/alerts"))["alerts"][0]["status"] == "resolved"


async def test_a_cloud_event(tmp_path: Path) -> None:
    maps = [{"kind": "quality", "matchers": {"ce_type": "drift"}, "service": "svc"}]
    async with hook_harness(tmp_path, {**OPEN, "map": maps}) as hooks:
        event = {"specversion": "1.0", "id": "1", "source": "/detector", "type": "drift", "data": {"is_drift": 1}}
        fields = {**BEARER, "Content-Type": "application/cloudevents+json"}
        assert (await hooks.post(ALERT, event, fields))[1]["result"] == "counts"
        assert (await hooks.post(ALERT, event, fields))[1]["result"] == "duplicate"


async def test_what_is_not_signed_is_not_believed(tmp_path: Path) -> None:
    """The attributes of a binary CloudEvent are unsigned header fields: one signed request could be resent as many alerts."""
    (tmp_path / "secret").write_bytes(b"s" * 32)
    async with hook_harness(tmp_path, {**OPEN, "hmac_secret_file": str(tmp_path / "secret")}) as hooks:
        hooks.addon.keys.load()
        body = orjson.dumps({"kind": "quality", "service": "svc"})
        stamp = str(int(clock.wall_s()))
        mac = hmac.new(b"s" * 32, stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        signed = {"X-Grafana-Alerting-Signature": mac, "X-Grafana-Alerting-Timestamp": stamp}
        event = {"Ce-SpecVersion": "1.0", "ce-id": "1", "ce-source": "/detector", "ce-type": "drift"}
        status, problem = await hooks.post(ALERT, body, {**signed, **event})
        assert (status, problem["code"]) == (401, "signature_incomplete")
        assert (await hooks.get("/v1/alerts"))["alerts"] == []
        assert (await hooks.post(ALERT, body, {**signed, **event, **BEARER}))[1]["result"] == "counts"


async def test_a_token_of_the_hooks_opens_nothing_else(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        await _with_admin_tokens(hooks)
        assert (await hooks.post(ALERT, DIRECT))[0] == 200
        for method, path in (("GET", "/v1/alerts"), ("GET", "/v1/status"), ("POST", "/v1/services/svc/rollback")):
            async with hooks.session.request(method, hooks.url + path, json={}, headers=BEARER) as response:
                assert (response.status, (await response.json(content_type=None))["code"]) == (401, "token_invalid")
        status, problem = await hooks.post(ALERT, DIRECT, {"Authorization": "Bearer ann-secret"})
        assert (status, problem["code"]) == (401, "token_invalid"), "nor does an admin's token send alerts"


async def _with_admin_tokens(hooks: HookHarness) -> None:
    admin = hooks.control.settings.admin.model_copy(update={"tokens": [token("ann", "admin")]})
    reconfigure(hooks.application, hooks.control.settings.model_copy(update={"admin": admin}))


async def test_the_description_tells_what_they_take(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        described = (await hooks.get("/v1/openapi.json"))["paths"]
        for path, model in ((AM, "AlertmanagerBody"), (ALERT, "SimpleAlert")):
            schema = described[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith(f"/{model}")
