"""The values of the chart: what each changes, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import yaml

from tests.deploy import helm
from tests.deploy.test_chart import DIGEST, EVERYTHING, LEAST, TOKENS

SCHEMA: Final[dict[str, Any]] = json.loads((helm.CHART / "values.schema.json").read_text())
DEFAULTS: Final[dict[str, Any]] = yaml.safe_load((helm.CHART / "values.yaml").read_text())


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({}, "settings"),
        (LEAST | {"existingConfigMap": "mine"}, "existingConfigMap"),
        (LEAST | {"replicas": 2}, "replicas"),
        (LEAST | {"drain": {"delay": 1}}, "delay"),
        (LEAST | {"drain": {"delaySeconds": "5"}}, "delaySeconds"),
        (LEAST | {"admin": {"tokens": [{"name": "a", "role": "root", "sha256": DIGEST}]}}, "role"),
        (LEAST | {"admin": {"tokens": [{"name": "a", "role": "admin", "sha256": "a-token-in-clear"}]}}, "sha256"),
        (LEAST | {"admin": TOKENS | {"existingSecret": "mine"}}, "admin.existingSecret"),
        (LEAST | {"admin": {"allowedHosts": ["https://router.example.com"]}}, "allowedHosts"),
        (LEAST | {"serviceMonitor": {"enabled": True}}, "admin.tokens"),
        (LEAST | {"admin": TOKENS, "serviceMonitor": {"enabled": True}}, "tokenSecret.name"),
        (LEAST | {"serviceMonitor": {"interval": "often"}}, "interval"),
        (LEAST | {"persistence": {"accessModes": ["ReadWriteMany"]}}, "accessModes"),
        (LEAST | {"persistence": {"whenDeleted": "Keep"}}, "whenDeleted"),
        (LEAST | {"resources": {"limits": {"memory": "much"}}}, "memory"),
        (LEAST | {"resources": {"limit": {"memory": "1Gi"}}}, "limit"),
        (LEAST | {"service": {"nodePort": 30080}}, "nodePort"),
        (LEAST | {"service": {"externalTrafficPolicy": "Local"}}, "externalTrafficPolicy"),
        (LEAST | {"service": {"type": "NodePort", "loadBalancerClass": "a"}}, "loadBalancerClass"),
        (LEAST | {"ingress": {"enabled": True}}, "ingress.hosts"),
        (LEAST | {"ingress": {"hosts": [{"host": "a.example.com", "path": "fraud"}]}}, "path"),
        (LEAST | {"networkPolicy": {"adminFrom": [{"namespace": "monitoring"}]}}, "adminFrom"),
        (LEAST | {"podLabels": {"app.kubernetes.io/name": "mine"}}, "podLabels"),
        (LEAST | {"commonLabels": {"team": "a team"}}, "team"),
        (LEAST | {"tolerations": [{"key": "a", "operator": "Is"}]}, "operator"),
        (LEAST | {"topologySpreadConstraints": [{"topologyKey": "zone"}]}, "topologySpreadConstraints"),
        (LEAST | {"extraEnv": [{"name": "A", "value": 1}]}, "value"),
        (LEAST | {"extraEnv": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {}}}]}, "extraEnv"),
        (LEAST | {"extraVolumes": [{"name": "state"}]}, "extraVolumes"),
        (LEAST | {"extraContainers": [{"name": "router", "image": "a"}]}, "extraContainers"),
        (LEAST | {"tls": {"secretName": "My Secret"}}, "secretName"),
    ],
)
def test_wrong_values_are_refused_with_their_place(values: dict[str, Any], place: str, tmp_path: Path) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(place)):
        helm.render(values, tmp_path)


def members(schema: dict[str, Any], path: str = "") -> set[str]:
    """Return the paths of the values that the schema lists, without those inside of lists."""
    found = set()
    for name, one in schema.get("properties", {}).items():
        found |= {f"{path}{name}"} | members(one, f"{path}{name}.")
    return found


def paths(values: dict[str, Any], path: str = "") -> set[str]:
    inner = {f"{path}{name}": value for name, value in values.items()}
    return set(inner) | {
        found
        for name, value in inner.items()
        if isinstance(value, dict) and name not in FREE
        for found in paths(value, f"{name}.")
    }


FREE: Final = {"podSecurityContext", "securityContext", "dashboard.labels"}
"""Values whose members are those of Kubernetes, or of the user."""


def test_every_value_stands_in_values_yaml_and_in_the_schema() -> None:
    open_ended = {
        "global",
        "resources.claims",
        "affinity.nodeAffinity",
        "affinity.podAffinity",
        "affinity.podAntiAffinity",
    }
    leaves = {"resources.requests.cpu", "resources.requests.memory", "resources.limits.cpu", "resources.limits.memory"}
    assert paths(DEFAULTS) - leaves == members(SCHEMA) - open_ended


def test_every_value_is_tried() -> None:
    """`EVERYTHING` sets each value to something else than its default, or another test does."""
    elsewhere = {
        *("nameOverride", "fullnameOverride", "existingConfigMap", "ipv6", "resources", "podSecurityContext"),
        "securityContext",
    }
    assert set(DEFAULTS) - elsewhere == set(EVERYTHING) - elsewhere
    assert [name for name, value in EVERYTHING.items() if value == DEFAULTS[name]] == []


def rendered(values: dict[str, Any], folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the objects by kind."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in helm.render(values, folder):
        found.setdefault(one["kind"], []).append(one)
    return found


def pod(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    (stateful,) = rendered(values, folder)["StatefulSet"]
    return dict(stateful["spec"]["template"]["spec"])


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "demo-rollback-router"),
        ({"nameOverride": "router"}, "demo-router"),
        ({"nameOverride": "dem"}, "demo"),
        ({"fullnameOverride": "fraud"}, "fraud"),
    ],
)
def test_names_can_be_chosen(values: dict[str, Any], name: str, tmp_path: Path) -> None:
    found = rendered(LEAST | values, tmp_path)
    assert [one["metadata"]["name"] for one in found["StatefulSet"]] == [name]
    assert [one["metadata"]["name"] for one in found["Service"]] == [name, f"{name}-admin"]
    assert {one["metadata"]["labels"]["app.kubernetes.io/name"] for one in found["Service"]} == {"rollback-router"}


def test_settings_may_be_a_config_map_of_others(tmp_path: Path) -> None:
    values = {"existingConfigMap": "mine"}
    assert "ConfigMap" not in rendered(values, tmp_path)
    (volume,) = [one for one in pod(values, tmp_path)["volumes"] if one["name"] == "settings"]
    assert volume["configMap"] == {"name": "mine"}


def test_the_volume_stays_when_the_release_goes_and_may_be_one_of_others(tmp_path: Path) -> None:
    (stateful,) = rendered(LEAST, tmp_path)["StatefulSet"]
    assert stateful["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    (own,) = rendered(LEAST | {"persistence": {"existingClaim": "mine"}}, tmp_path)["StatefulSet"]
    assert "volumeClaimTemplates" not in own["spec"]
    volumes = own["spec"]["template"]["spec"]["volumes"]
    assert {"name": "state", "persistentVolumeClaim": {"claimName": "mine"}} in volumes


def test_the_user_may_be_chosen_by_the_cluster(tmp_path: Path) -> None:
    values = LEAST | {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    assert pod(values, tmp_path)["securityContext"] == {
        "runAsNonRoot": True,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize(
    ("account", "name", "made"),
    [
        ({}, "demo-rollback-router", True),
        ({"name": "mine"}, "mine", True),
        ({"create": False, "name": "mine"}, "mine", False),
        ({"create": False}, "default", False),
    ],
)
def test_the_service_account_may_be_one_that_exists(
    account: dict[str, Any], name: str, made: bool, tmp_path: Path
) -> None:
    values = LEAST | {"serviceAccount": account}
    assert pod(values, tmp_path)["serviceAccountName"] == name
    assert ("ServiceAccount" in rendered(values, tmp_path)) == made


def test_further_containers_volumes_and_variables_stand_beside_those_of_the_router(tmp_path: Path) -> None:
    spec = pod(EVERYTHING, tmp_path)
    router, proxy = spec["containers"]
    assert (router["name"], proxy["name"]) == ("router", "proxy")
    assert router["env"][-1] == EVERYTHING["extraEnv"][0], "the last one of a name counts"
    assert router["envFrom"] == EVERYTHING["extraEnvFrom"]
    assert EVERYTHING["extraVolumes"][0] in spec["volumes"]
    assert EVERYTHING["extraVolumeMounts"][0] in router["volumeMounts"]


def test_common_labels_are_on_every_object_but_no_selector(tmp_path: Path) -> None:
    found = rendered(EVERYTHING, tmp_path)
    objects = [one for kind, ones in found.items() for one in ones if kind != "Pod"]
    assert {one["metadata"]["labels"].get("team") for one in objects} == {"fraud"}
    (stateful,) = found["StatefulSet"]
    assert "team" not in stateful["spec"]["selector"]["matchLabels"], "it cannot be changed later"


def test_the_test_of_the_release_ends_well_only_if_a_router_is_ready(tmp_path: Path) -> None:
    """Its command, against a server of this machine."""
    (one,) = rendered(LEAST, tmp_path)["Pod"]
    (container,) = one["spec"]["containers"]
    *words, address = [*container["command"], *container["args"]]
    assert address == "http://demo-rollback-router.models:80/-/ready"
    words[0] = sys.executable
    for status, code in ((200, 0), (503, 1)):
        with answering(status) as port:
            done = subprocess.run(
                [*words, f"http://127.0.0.1:{port}/-/ready"], capture_output=True, check=False, timeout=30
            )
            assert done.returncode == code


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Yield the port of a server that answers every GET with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
