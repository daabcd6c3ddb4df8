"""What is usually forgotten: each case is named once, with a remedy, and nothing is named where it is there."""

from __future__ import annotations

from typing import Any

import pytest

from router.settings.omissions import no_way_back, omissions
from router.settings.settings import Settings

SHA = "0" * 64
HOOK = {"name": "a", "kind": "slack", "url": "https://h/x"}
TOKEN = {"name": "a", "role": "viewer", "sha256": SHA}
GOOD: dict[str, Any] = {
    "notify": [HOOK],
    "admin": {"tokens": [TOKEN]},
    "services": {"svc": {"rules": {"latency": {"slo_ms": 250}}}},
}
V1 = {"version": "v1", "endpoints": ["http://a:1"]}
V2 = {"version": "v2", "endpoints": ["http://b:1", "http://c:1"]}
MAP = {"kind": "quality", "matchers": {"a": "b"}}


def service(**members: Any) -> dict[str, Any]:
    return {"services": {"svc": {"rules": {"latency": {"slo_ms": 250}}, **members}}}


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({}, []),
        ({"services": {"svc": {}}}, ["services.svc.rules.latency.slo_ms"]),
        (service(rules={"latency": {"slo_ms": 1}, "hard_failure": {"action": "ask"}}),
         ["services.svc.rules.hard_failure.action"]),
        (service(rules={"latency": {"slo_ms": 1}, "error_rate": {"action": "observe"}}),
         ["services.svc.rules.error_rate.action"]),
        ({**service(rules={"latency": {"slo_ms": 1}, "error_rate": {"action": "observe"}}), "observe": True}, ["observe"]),
        (service(active=V2, standby=V1), ["services.svc.standby.endpoints"]),
        (service(active=V1, standby=V2), []),
        (service(mlflow={"model": "fraud"}), ["services.svc.mlflow"]),
        ({**service(mlflow={"model": "fraud"}), "mlflow": {"tracking_uri": "https://h"}}, []),
        ({"notify": []}, ["notify"]),
        ({"alerts": {"map": [MAP]}}, ["alerts.tokens"]),
        ({"alerts": {"tokens": [{"name": "am", "sha256": SHA}]}}, ["alerts.map"]),
        ({"alerts": {"map": [MAP], "hmac_secret_file": "/x"}}, []),
        ({"admin": {}}, ["admin.tokens"]),
        ({"admin": {"identity": {"header": "X-User", "trusted": ["unix"]}}}, []),
        ({"admin": {}, "admin_listen": "unix:/run/a.sock"}, []),
        ({"admin_listen": "0.0.0.0:8081"}, ["admin.tls"]),
        ({"admin_listen": "0.0.0.0:8081", "admin": {"tokens": [TOKEN], "tls": {"certificate": "c", "key": "k"}}}, []),
        ({"mlflow": {"tracking_uri": "http://h", "secret_file": "/x"}}, ["mlflow.tracking_uri"]),
        ({"mlflow": {"tracking_uri": "http://127.0.0.1:5000", "secret_file": "/x"}}, []),
        ({"mlflow": {"tracking_uri": "https://h", "secret_file": "/x"}}, []),
        ({"timeouts": {"upstream_idle_s": 5}}, ["timeouts.upstream_idle_s"]),
        # a trusted balancer's connections are not counted as those of one client
        ({"limits": {"connections_per_client_max": 9}, "forwarding": {"trusted": ["10.0.0.0/8"]}}, []),
        ({"fail_point": "x:1"}, ["fail_point"]),
    ],
)  # fmt: skip
def test_each_is_named_with_a_remedy(change: dict[str, Any], places: list[str]) -> None:
    found = list(omissions(Settings.model_validate(GOOD | change)))
    assert [place for place, _, _ in found] == places
    assert all(what and remedy for _, what, remedy in found)


@pytest.mark.parametrize(
    ("members", "places"),
    [({}, []), ({"active": V1}, ["services.svc.standby"]), ({"active": V1, "standby": V2}, [])],
)
def test_a_new_router_without_a_standby(members: dict[str, Any], places: list[str]) -> None:
    assert [place for place, _, _ in no_way_back(Settings.model_validate(service(**members)))] == places
