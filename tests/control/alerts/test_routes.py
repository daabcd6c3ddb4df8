"""The hooks over HTTP: what is let in, what is refused, and that a hook's token opens nothing else."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.admin.app import reconfigure
from router.control.alerts.addon import UNUSABLE_ALARM_NS
from router.runtime import clock
from tests.control.conftest import token
from tests.control.hook_harness import BEARER, OPEN, HookHarness, firing, hook_harness, webhook
from tests.texts import golden

AM, ALERT, V2 = "/v1/hooks/alertmanager", "/v1/hooks/alert", "/v1/hooks/api/v2/alerts"
DIRECT = {"id": "x1", "kind": "quality", "service": "svc", "summary": "PSI 0.4"}


REFUSED: list[tuple[str, str, Any, dict[str, str] | None, tuple[int, str]]] = [
    ("unsigned", AM, webhook(firing()), {}, (401, "token_missing")),
    ("a foreign token", AM, webhook(firing()), {"Authorization": "Bearer x"}, (401, "token_invalid")),
    ("cut off", AM, b"{", None, (400, "request_invalid")),
    ("no webhook", AM, {"version": "4"}, None, (400, "request_invalid")),
    ("in UTF-16", AM, '{"alerts": []}'.encode("utf-16"), None, (400, "request_invalid")),
    ("oversized", AM, b"x" * 5000, None, (413, "body_too_large")),
    ("oversized, one alert", ALERT, b"x" * 5000, None, (413, "body_too_large")),
    ("another charset", AM, b"", {**BEARER, "Content-Type": "application/json; charset=utf-16"}, (415, "content_type")),
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
        status, document = await hooks.post(AM, webhook(bad, good))
        assert (status, document["truncated"]) == (200, 0)
        assert [(found["fingerprint"], found["service"], found["result"]) for found in document["alerts"]] == [
            ("f1", None, "service_unknown"),
            ("f2", "svc", "counts"),
        ]


async def test_one_alert_is_known_by_its_id(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        assert await hooks.post(ALERT, DIRECT) == (
            200,
            {
                "index": 0,
                "fingerprint": "x1",
                "name": "x1",
                "service": "svc",
                "result": "counts",
                "outcome": "taken",
                "code": None,
                "detail": "it counts against v1",
                "cut": [],
            },
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
        for path, model in ((AM, "AlertmanagerBody"), (V2, "PrometheusAlerts"), (ALERT, "SimpleAlert")):
            schema = described[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith(f"/{model}")


# -- a webhook is taken alert by alert
async def answer(hooks: HookHarness, body: Any, path: str = AM) -> tuple[int, list[tuple[str, str]], Any, str | None]:
    """Return status, (fingerprint, outcome) of each alert, the document, and Retry-After."""
    how = {"data": body} if isinstance(body, bytes) else {"json": body}
    fields = {**BEARER, "Content-Type": "application/json"}
    async with hooks.session.post(hooks.url + path, headers=fields, **how) as response:
        document = await response.json(content_type=None)
        alerts = [(alert["fingerprint"], alert["outcome"]) for alert in document.get("alerts", [])]
        assert [alert["index"] for alert in document.get("alerts", [])] == list(range(len(alerts)))
        return response.status, alerts, document, response.headers.get("Retry-After")


async def test_every_alert_has_its_answer(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        first, long = firing("f1"), firing("f2") | {"annotations": {"description": "x" * 9000}}
        status, alerts, document, _ = await answer(
            hooks,
            webhook(
                first, long, firing("f3") | {"annotations": None}, firing("f4", signal="x"), firing("f5", service="y"),
                7, firing("f7") | {"startsAt": "soon"}, firing("f8", service=""), first,
            ),
        )  # fmt: skip
        assert status == 200
        assert alerts == [
            ("f1", "taken"), ("f2", "taken"), ("f3", "taken"), ("f4", "ignored"), ("f5", "refused"), ("", "refused"),
            ("f7", "refused"), ("f8", "refused"), ("f1", "taken"),
        ]  # fmt: skip
        assert [alert["result"] for alert in document["alerts"]] == [
            "counts", "counts", "counts", "unmapped", "service_unknown", "invalid", "invalid", "service_missing", "duplicate",
        ]  # fmt: skip
        assert [alert["code"] for alert in document["alerts"]] == [
            None, None, None, "unmapped", "service_unknown", "request_invalid", "request_invalid", "service_missing", None,
        ]  # fmt: skip
        assert document["alerts"][1]["cut"] == ["annotations.description"]
        assert document["alerts"][6]["detail"].startswith("body.alerts.6.startsAt: 'soon' is no time")
        assert document["alerts"][6]["name"] == "Drift"
        assert hooks.alarms() == ["alert_unusable"]
        assert (await hooks.get("/v1/alerts"))["remembered"] == 3


async def test_a_repeat_of_too_many_takes_the_next_ones_and_ends(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "alerts_max": 3}) as hooks:
        bad = [
            firing("u", signal="other"),
            7,
            firing("s", service="other"),
        ]  # these are not remembered, and cost nothing
        body = webhook(*bad, *(firing(f"f{number}") for number in range(8)), *bad)
        later = []
        for turn in range(3):
            status, alerts, document, retry_after = await answer(hooks, body)
            later.append([name for name, outcome in alerts if outcome == "later"])
            assert (status, retry_after) == ((503, "1") if turn < 2 else (200, None))
            assert document.get("code") == ("too_many_alerts" if turn < 2 else None)
        assert later == [["f3", "f4", "f5", "f6", "f7"], ["f6", "f7"], []]
        assert (await hooks.get("/v1/alerts"))["remembered"] == 8
        assert (await answer(hooks, body))[0] == 200


async def test_more_alerts_than_are_remembered_make_no_endless_loop(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "alerts_max": 3, "remembered_max": 5}) as hooks:
        body = webhook(*(firing(f"f{number}") for number in range(20)))
        statuses = [(await answer(hooks, body))[0] for _ in range(3)]
        assert statuses == [503, 200, 200]
        outcomes = [outcome for _, outcome in (await answer(hooks, body))[1]]
        assert outcomes == ["taken"] * 5 + ["refused"] * 15
        assert "alert_unusable" in hooks.alarms()


async def test_a_rate_that_is_exceeded_names_the_time_to_wait(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "alerts_max": 4, "alerts_per_minute_max": 4}) as hooks:
        known = [firing(f"f{number}") for number in range(4)]
        assert (await answer(hooks, webhook(*known)))[0] == 200
        status, alerts, document, retry_after = await answer(hooks, webhook(known[0], firing("f8"), firing("f9")))
        assert (status, document["code"], retry_after) == (503, "alert_rate", "30")
        assert alerts == [("f0", "taken"), ("f8", "later"), ("f9", "later")]
        status, _, document, retry_after = await answer(hooks, DIRECT, ALERT)
        assert (status, document["code"], retry_after) == (503, "alert_rate", "15")
        assert (await answer(hooks, webhook(*known)))[0] == 200, "what is known costs nothing"


async def test_of_a_body_that_is_too_large_the_first_alerts_are_taken(tmp_path: Path) -> None:
    async with hook_harness(tmp_path, {**OPEN, "body_bytes_max": 2000}) as hooks:
        body = webhook(*(firing(f"f{number}") for number in range(20)))
        status, alerts, document, _ = await answer(hooks, body)
        assert (status, document["code"]) == (413, "body_too_large")
        assert alerts == [(f"f{number}", "taken") for number in range(len(alerts))]
        assert 3 < len(alerts) < 10
        assert golden("alerts.beginning", alerts=len(alerts)) in document["detail"]
        assert "alerts_truncated" in hooks.alarms()
        assert (await hooks.get("/v1/alerts"))["remembered"] == len(alerts)
        assert (await answer(hooks, webhook(firing("g"))))[0] == 200


async def test_of_a_broken_text_the_alerts_before_the_damage_are_taken(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        status, alerts, document, _ = await answer(hooks, orjson.dumps(webhook(firing("f1"), firing("f2")))[:600])
        assert (status, document["code"], alerts) == (400, "request_invalid", [("f1", "taken")])
        assert hooks.alarms() == ["alerts_truncated"]


async def test_alerts_that_the_sender_left_out_raise_an_alarm(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        status, document = await hooks.post(AM, webhook(firing(), truncatedAlerts=4))
        assert (status, document["truncated"]) == (200, 4)
        (alarm,) = hooks.control.control_loop.alarms.listing()
        assert alarm["code"] == "alerts_truncated"
        assert alarm["detail"] == golden("alerts.truncated")
        hooks.addon.on_second(clock.now_ns() + UNUSABLE_ALARM_NS + 1)
        assert hooks.alarms() == []
        counted = next(family for family in hooks.addon.metrics() if family.name == "rollback_router_alerts")
        assert {sample.labels["result"]: sample.value for sample in counted.samples} == {"counts": 1, "truncated": 4}


async def test_nothing_left_out_raises_no_alarm(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        for body in (webhook(), webhook(firing(), truncatedAlerts=None), [], {"alerts": None}):
            assert (await answer(hooks, body))[0] == 200
        assert hooks.alarms() == []


async def test_prometheus_and_vmalert_without_an_alertmanager(tmp_path: Path) -> None:
    async with hook_harness(tmp_path) as hooks:
        sent = {**firing(), "endsAt": clock.iso(clock.wall_s() + 240)}
        del sent["status"], sent["fingerprint"]
        for result in ("counts", "duplicate"):
            status, _, document, _ = await answer(hooks, [sent], V2)
            assert (status, document["alerts"][0]["result"]) == (200, result)
        _, _, document, _ = await answer(hooks, [sent | {"endsAt": clock.iso(clock.wall_s() - 1)}], V2)
        assert document["alerts"][0]["result"] == "resolved"


async def test_an_alert_without_a_start_begins_when_it_comes_and_again_after_its_end(tmp_path: Path) -> None:
    rule = {"ruleName": "Drift", "ruleId": 7, "tags": {"signal": "quality", "service": "svc"}}
    states = ["ok", "alerting", "alerting", "ok", "ok", "alerting"]
    async with hook_harness(tmp_path) as hooks:
        results = [(await answer(hooks, {**rule, "state": state}))[2]["alerts"][0]["result"] for state in states[:3]]
    async with hook_harness(tmp_path) as hooks:
        results += [(await answer(hooks, {**rule, "state": state}))[2]["alerts"][0]["result"] for state in states[2:]]
    assert results == ["resolved", "counts", "duplicate", "duplicate", "resolved", "duplicate", "counts"]


async def test_a_signed_webhook_without_a_time(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    async with hook_harness(
        tmp_path, {**OPEN, "hmac_secret_file": str(tmp_path / "secret"), "body_bytes_max": 700}
    ) as hooks:
        hooks.addon.keys.load()
        body = orjson.dumps(webhook(firing("f1"), firing("f2"), firing("f3")))
        fields = {"X-Grafana-Alerting-Signature": hmac.new(b"s" * 32, body, hashlib.sha256).hexdigest()}
        status, problem = await hooks.post(AM, body, fields)
        assert (status, problem["code"]) == (401, "signature_time_missing")
        assert "Timestamp Header" in problem["detail"]
        assert (await hooks.get("/v1/alerts"))["remembered"] == 0
        stamp = str(int(clock.wall_s()))
        mac = hmac.new(b"s" * 32, stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
        status, problem = await hooks.post(AM, body, {**fields, "X-Grafana-Alerting-Signature": mac,
                                                      "X-Grafana-Alerting-Timestamp": stamp})  # fmt: skip
        assert status == 413, "the signature is that of the whole body, of which a part is taken"
        assert [alert["outcome"] for alert in problem["alerts"]] == ["taken"]
