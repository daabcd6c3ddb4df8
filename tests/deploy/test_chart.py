"""The Helm chart, rendered by Helm: its objects against the schemas of Kubernetes, and against the router itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from tests.deploy import helm
from tests.deploy.operator_schemas import SCHEMAS
from tests.documents.pages import blocks

ROOT: Final = helm.ROOT
KUBERNETES: Final = ("1.29", "1.37")
"""The oldest version of Chart.yaml, and the newest that the schemas know."""
SERVICE: Final = '[services.fraud]\nactive = { version = "v7", endpoints = ["http://v7:8000"] }\n'
DIGEST: Final = "9b7f3faa354ad2da3017df5cb98507476534a999351444473bcd23c3f28aeb29"
TOKENS: Final = {"tokens": [{"name": "prometheus", "role": "viewer", "sha256": DIGEST}]}
LEAST: Final[dict[str, Any]] = {"settings": SERVICE}
EVERYTHING: Final[dict[str, Any]] = {
    "settings": SERVICE,
    "image": {"digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "secretMounts": ["mlflow", "slack"],
    "admin": TOKENS | {"allowedHosts": ["rollback.example.com"]},
    "tls": {"secretName": "certificate"},
    "commonLabels": {"team": "fraud"},
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "nodePort": 30443,
        "externalTrafficPolicy": "Local",
        "loadBalancerClass": "example.com/internal",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "annotations": {"a.example.com/b": "c"},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"a": "b"},
        "hosts": [{"host": "fraud.example.com"}, {"host": "models.example.com", "path": "/fraud"}],
        "tls": [{"secretName": "fraud-tls", "hosts": ["fraud.example.com"]}],
    },
    "adminService": {"annotations": {"a": "b"}},
    "drain": {"preStopSeconds": 4, "delaySeconds": 7, "timeoutSeconds": 90},
    "persistence": {"storageClass": "fast", "size": "5Gi", "accessModes": ["ReadWriteOnce"], "annotations": {"a": "b"}},
    "networkPolicy": {
        "dataFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "adminFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}],
    },
    "serviceMonitor": {
        "enabled": True,
        "scrapeTimeout": "5s",
        "labels": {"release": "prometheus"},
        "relabelings": [{"targetLabel": "cluster", "replacement": "a"}],
        "metricRelabelings": [{"action": "drop", "sourceLabels": ["__name__"], "regex": "python_.*"}],
        "tokenSecret": {"name": "viewer"},
    },
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Routers"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"tier": "serving"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "high",
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"secretRef": {"name": "variables"}}],
    "extraVolumes": [{"name": "models", "configMap": {"name": "models"}}],
    "extraVolumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
    "extraContainers": [{"name": "proxy", "image": "example.com/proxy:1.0.0"}],
    "initContainers": [{"name": "wait", "image": "example.com/wait:1.0.0"}],
}
VALUES: Final = {"least": LEAST, "everything": EVERYTHING}


@pytest.fixture(params=VALUES)
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VALUES[request.param]


@pytest.fixture
def objects(values: dict[str, Any], tmp_path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rendered objects by kind and name."""
    return {(one["kind"], one["metadata"]["name"]): one for one in helm.render(values, tmp_path)}


def of_kind(objects: dict[tuple[str, str], dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [one for (found, _), one in objects.items() if found == kind]


def pod(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    """Return the template of the pod."""
    (stateful,) = of_kind(objects, "StatefulSet")
    return dict(stateful["spec"]["template"])


def container(objects: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    found, *_ = pod(objects)["spec"]["containers"]
    assert found["name"] == "router"
    return dict(found)


def variables(objects: dict[tuple[str, str], dict[str, Any]], pod_ip: str) -> dict[str, str]:
    """Return the container's environment as Kubernetes makes it."""
    made: dict[str, str] = {}
    for entry in container(objects)["env"]:
        if "value" in entry:
            made[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda found: made[found[1]], entry["value"])
        elif "fieldRef" in entry["valueFrom"]:
            made[entry["name"]] = pod_ip
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            made[entry["name"]] = objects["Secret", reference["name"]]["stringData"][reference["key"]]
    return made


def settings_in_effect(objects: dict[tuple[str, str], dict[str, Any]], folder: Path, pod_ip: str) -> dict[str, Any]:
    """Return the settings that a router reads from the rendered file and the container's environment."""
    file = folder / "router.toml"
    file.write_text(objects["ConfigMap", "demo-rollback-router"]["data"]["router.toml"])
    text = (
        "import pathlib, sys; from router.settings.loader import load; "
        "print(load(pathlib.Path(sys.argv[1])).model_dump_json())"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(file)],
        env={"PATH": os.environ["PATH"]} | variables(objects, pod_ip),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_helm_has_no_complaint(values: dict[str, Any], tmp_path: Path) -> None:
    (file := tmp_path / "values.yaml").write_text(json.dumps(values))
    assert "0 chart(s) failed" in helm.run("lint", "--strict", "--values", str(file), str(helm.CHART))


@pytest.mark.parametrize("version", KUBERNETES)
def test_each_object_is_one_of_kubernetes(objects: dict[tuple[str, str], dict[str, Any]], version: str) -> None:
    for (kind, _), one in objects.items():
        if kind in SCHEMAS:
            jsonschema_rs.validator_for(SCHEMAS[kind]).validate(one)
        else:
            kubernetes_validate.validate(one, version, strict=True)


def test_a_member_that_kubernetes_does_not_know_is_noticed(tmp_path: Path) -> None:
    """The schemas are strict: a misspelt member would be dropped by a cluster without a word."""
    (one,) = [one for one in helm.render(LEAST, tmp_path) if one["kind"] == "StatefulSet"]
    one["spec"]["template"]["spec"]["terminationGracePeriod"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(one, KUBERNETES[-1], strict=True)


def test_the_router_reads_what_the_chart_writes(
    values: dict[str, Any], objects: dict[tuple[str, str], dict[str, Any]], tmp_path: Path
) -> None:
    found = settings_in_effect(objects, tmp_path, "10.1.2.3")
    assert list(found["services"]) == ["fraud"]
    drain = {"preStopSeconds": 0, "delaySeconds": 5, "timeoutSeconds": 30} | values.get("drain", {})
    assert found["timeouts"]["shutdown_delay_s"] == drain["delaySeconds"]
    assert found["timeouts"]["shutdown_timeout_s"] == drain["timeoutSeconds"]
    assert pod(objects)["spec"]["terminationGracePeriodSeconds"] >= sum(drain.values()) + 10
    lifecycle = container(objects).get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
    assert lifecycle["preStop"]["sleep"]["seconds"] == drain["preStopSeconds"]
    assert found["listen"]["host"] == "0.0.0.0"
    with_tokens = "admin" in values
    assert found["admin_listen"]["host"] == ("0.0.0.0" if with_tokens else "127.0.0.1")
    assert found["admin"]["tokens"] == values.get("admin", {}).get("tokens", [])
    ports = {port["name"]: port["containerPort"] for port in container(objects)["ports"]}
    listening = {"http": found["listen"]["port"], "admin": found["admin_listen"]["port"]}
    assert ports == {name: port for name, port in listening.items() if with_tokens or name == "http"}


@pytest.mark.parametrize(("ipv6", "pod_ip", "listen"), [(False, "10.1.2.3", "0.0.0.0"), (True, "fd00::1", "::")])
def test_prometheus_reaches_the_admin_port_by_the_address_of_the_pod(
    tmp_path: Path, ipv6: bool, pod_ip: str, listen: str
) -> None:
    rendered = helm.render(EVERYTHING | {"ipv6": ipv6}, tmp_path)
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered}
    found = settings_in_effect(objects, tmp_path, pod_ip)
    hosts = {host.strip("[]") for host in found["admin"]["allowed_hosts"]}
    assert {pod_ip, "rollback.example.com", "demo-rollback-router-admin.models.svc"} <= hosts
    assert found["listen"]["host"] == found["admin_listen"]["host"] == listen


def test_the_pod_is_restricted(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    """The Pod Security Standard `restricted`, and a root that cannot be written."""
    spec, of_container = pod(objects)["spec"], container(objects)["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert of_container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    test = objects["Pod", "demo-rollback-router-ready"]["spec"]
    assert test["securityContext"] == spec["securityContext"]
    assert [one["securityContext"] for one in test["containers"]] == [of_container]
    (user,) = re.findall(r"^USER (\d+):\d+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == int(user)


def test_services_policies_and_monitors_select_the_pod(objects: dict[tuple[str, str], dict[str, Any]]) -> None:
    labels = pod(objects)["metadata"]["labels"].items()
    services = of_kind(objects, "Service")
    assert len(services) == 2
    for selector in (service["spec"]["selector"] for service in services):
        assert selector.items() <= labels
    (stateful,) = of_kind(objects, "StatefulSet")
    assert ("Service", stateful["spec"]["serviceName"]) in objects
    (policy,) = of_kind(objects, "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels
    (test,) = of_kind(objects, "Pod")
    assert not services[0]["spec"]["selector"].items() <= test["metadata"]["labels"].items(), (
        "its test must not become its endpoint"
    )
    for ingress in of_kind(objects, "Ingress"):
        backends = [path["backend"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        to = {(back["service"]["name"], back["service"]["port"]["name"]) for back in backends}
        assert to == {("demo-rollback-router", "http")}
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (service,) = [service for service in services if wanted <= service["metadata"]["labels"].items()]
        assert [port["name"] for port in service["spec"]["ports"]] == [
            end["port"] for end in monitor["spec"]["endpoints"]
        ]
        (job,) = re.findall(r'up\{job="([\w-]+)"\}', (ROOT / "deploy/prometheus/alerts.yml").read_text())
        assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == job, "the alert of a router that is down"


def test_only_the_named_peers_reach_the_admin_port(
    values: dict[str, Any], objects: dict[tuple[str, str], dict[str, Any]]
) -> None:
    (policy,) = of_kind(objects, "NetworkPolicy")
    (admin,) = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == 8081]
    assert admin["from"] == values.get("networkPolicy", {}).get("adminFrom", [{"podSelector": {}}])


def test_digests_of_tokens_stand_in_the_secret_only(tmp_path: Path) -> None:
    with_digest = [one["kind"] for one in helm.render(EVERYTHING, tmp_path) if DIGEST in json.dumps(one)]
    assert with_digest == ["Secret"]
    own = EVERYTHING | {"admin": {"existingSecret": "mine"}}
    assert [one["kind"] for one in helm.render(own, tmp_path) if one["kind"] == "Secret"] == []


def test_rules_and_dashboards_are_those_of_deploy(tmp_path: Path) -> None:
    objects = helm.render(EVERYTHING, tmp_path)
    rules = [one["spec"] for one in objects if one["kind"] == "PrometheusRule"]
    files = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "deploy/prometheus").glob("*.yml"))]
    assert rules == [document for document in files if set(document) == {"groups"}] != []
    (dashboard,) = [one["data"] for one in objects if one["metadata"]["name"].endswith("-dashboard")]
    found = sorted((ROOT / "deploy/grafana").glob("*.json"))
    assert dashboard == {file.name: file.read_text() for file in found} != {}


def test_other_settings_restart_the_pod(tmp_path: Path) -> None:
    def checksum(values: dict[str, Any]) -> str:
        (one,) = [one for one in helm.render(values, tmp_path) if one["kind"] == "StatefulSet"]
        return str(one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"])

    assert checksum(LEAST) == checksum(dict(LEAST))
    assert len({checksum(LEAST), checksum(LEAST | {"admin": TOKENS}), checksum({"settings": SERVICE + "\n"})}) == 3


def test_the_values_of_the_page_make_the_pod_that_the_page_names(tmp_path: Path) -> None:
    page = (ROOT / "docs/operations/containers.md").read_text()
    (block,) = [block for block in blocks(page) if block.file_name == "values.yaml"]
    (file := tmp_path / "values.yaml").write_text(block.text)
    (command,) = re.findall(r"^helm install (.*)$", page, re.MULTILINE)
    words = command.replace("values.yaml", str(file)).replace("deploy/chart", str(helm.CHART)).split()
    objects = [one for one in yaml.safe_load_all(helm.run("template", *words)) if one]
    (name,) = [one["metadata"]["name"] for one in objects if one["kind"] == "StatefulSet"]
    (namespace, pod_name) = re.findall(r"^kubectl --namespace (\w+) port-forward (\S+) 8081$", page, re.MULTILINE)[0]
    assert pod_name == f"{name}-0"
    assert {one["metadata"]["namespace"] for one in objects} == {namespace}


def test_the_chart_has_the_version_of_the_router() -> None:
    from router import __version__

    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)
