"""Variables of Kubernetes and docker are passed over by their form; everything else with the prefix has to be a setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from router.errors import StartError
from router.settings.environment import ENV_PREFIX, OWN, read
from router.settings.loader import load
from router.settings.settings import Settings
from router.settings.variables import Variables

ROOT = Path(__file__).parents[2]


def service(
    name: str, host: str = "10.96.0.11", ports: tuple[tuple[str, int, str], ...] = (("", 80, "TCP"),)
) -> dict[str, str]:
    """The variables that the kubelet sets for a Service (pkg/kubelet/envvars): each port is (name, number, protocol)."""
    prefix = name.upper().replace("-", "_")
    found = {f"{prefix}_SERVICE_HOST": host, f"{prefix}_SERVICE_PORT": str(ports[0][1])}
    quoted = f"[{host}]" if ":" in host else host
    for at, (port_name, port, protocol) in enumerate(ports):
        if port_name:
            found[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(port)
        url = f"{protocol.lower()}://{quoted}:{port}"
        if at == 0:
            found[f"{prefix}_PORT"] = url
        place = f"{prefix}_PORT_{port}_{protocol}"
        found |= {place: url, f"{place}_PROTO": protocol.lower(), f"{place}_PORT": str(port), f"{place}_ADDR": host}
    return found


SERVICES = {
    "the router": service("rollback-router"),
    "named ports": service("rollback-router", ports=(("http", 8080, "TCP"), ("admin-api", 8081, "TCP"), ("q", 53, "UDP"))),
    "IPv6": service("rollback-router", "fd00::11"),
    "SCTP": service("rollback-router", ports=(("", 9, "SCTP"),)),
    "admin": service("rollback-router-admin", ports=(("url", 8081, "TCP"),)),
    "a port like a setting": service("rollback-router", ports=(("workers", 2, "TCP"), ("token", 3, "TCP"))),
    **{
        name: service(f"rollback-router-{name}")
        for name in (
            "listen", "workers", "admin-listen", "limits", "token", "admin-url", "state-dir", "services", "notify", "pure",
            "limits--body-bytes-max", "services--fraud", "-x", "1", "mlflow-tracking-uri", "service", "port", "service-port",
        )
    },
}  # fmt: skip

LINK = {
    "ROLLBACK_ROUTER_1_NAME": "/web_1/rollback-router_1",
    "ROLLBACK_ROUTER_1_PORT": "tcp://172.17.0.5:8080",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP": "tcp://172.17.0.5:8080",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_ADDR": "172.17.0.5",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_PORT": "8080",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_PROTO": "tcp",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_START": "tcp://172.17.0.5:8080",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_END": "tcp://172.17.0.5:8081",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_PORT_START": "8080",
    "ROLLBACK_ROUTER_1_PORT_8080_TCP_PORT_END": "8081",
    "ROLLBACK_ROUTER_1_ENV_LANG": "C.UTF-8",
    "ROLLBACK_ROUTER_1_ENV_ROLLBACK_ROUTER_WORKERS": "3",
}

FORMS = [
    *(pytest.param(found, id=f"Service {name}") for name, found in SERVICES.items()),
    pytest.param(LINK, id="docker link"),
]


@pytest.mark.parametrize("variables", FORMS)
def test_variables_of_an_orchestrator_are_passed_over(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ROLLBACK_ROUTER_WORKERS", "3")
    assert load().workers == 3
    found = read({**variables, "ROLLBACK_ROUTER_WORKERS": "3"})
    assert (found.settings, set(found.passed_over)) == ({"ROLLBACK_ROUTER_WORKERS": "3"}, set(variables))
    assert next(iter(variables)) in found.notice


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROLLBACK_ROUTER_WROKERS", "2"),
        ("ROLLBACK_ROUTER_PORT", "8080"),
        ("ROLLBACK_ROUTER_PORT", "http://10.0.0.1:80"),
        ("ROLLBACK_ROUTER_PORT", "tcp://fraud:80"),
        ("ROLLBACK_ROUTER_PORT", "tcp://10.0.0.1:99999"),
        ("ROLLBACK_ROUTER_LISTEN_PORT", "8080"),
        ("ROLLBACK_ROUTER_SERVICE_HOST", "fraud.example.com"),
        ("ROLLBACK_ROUTER_SERVICE_PORT", "http"),
        ("ROLLBACK_ROUTER_ADMIN_SERVICE_HOSTS", "10.0.0.1"),
        ("ROLLBACK_ROUTER_PORT_80_TCP_PROTO", "http"),
        ("ROLLBACK_ROUTER_PORT_80_TCP_ADDRESS", "10.0.0.1"),
        ("ROLLBACK_ROUTER_PORT_80_QUIC_ADDR", "10.0.0.1"),
        ("ROLLBACK_ROUTER__PORT", "tcp://10.0.0.1:80"),
        ("ROLLBACK_ROUTER_ENV_WORKERS", "2"),
        ("ROLLBACK_ROUTER_NAME", "fraud"),
        ("ROLLBACK_ROUTER_", "x"),
        ("rollback_router_wrokers", "2"),
        ("ROLLBACK_ROUTER_PUER", "1"),
        ("ROLLBACK_ROUTER_LIMITS__NONE", "1"),
        ("ROLLBACK_ROUTER_SERVICES__FRAUD__HSOTS", "[]"),
        ("ROLLBACK_ROUTER_WORKERS__X", "1"),
    ],
)
def test_a_variable_in_no_such_form_is_an_error_that_names_it(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=re.escape(name)) as caught:
        load()
    assert caught.value.code == "settings_unknown"


def test_a_setting_with_a_value_of_such_a_form_stays_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name of a setting has the form of a Service's variable, so that none is passed over."""
    for place in places():
        name = ENV_PREFIX + "__".join(place).upper()
        for value in ("tcp://10.0.0.1:80", "10.0.0.1", "80", "tcp", "/a/b"):
            assert name not in read({name: value, "ROLLBACK_ROUTER_NAME": "/a/b"}).passed_over
    monkeypatch.setenv("ROLLBACK_ROUTER_LISTEN", "10.0.0.1:80")
    assert str(load().listen) == "10.0.0.1:80"


def places() -> list[tuple[str, ...]]:
    from docs.generate.settings_tables import tables

    return [(*filter(None, table.place.split(".")), setting.name) for table in tables() for setting in table.settings]


@pytest.mark.parametrize("name", OWN)
def test_the_programs_own_variables_are_no_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv(name.lower(), "1")
    assert load().services == {}
    assert read({name: "1"}).passed_over == ()


def test_every_variable_that_the_tree_names_is_a_setting_or_the_programs_own() -> None:
    """Also those of the build, the demo and the benchmarks: left in an image, they must not stop the router."""
    pattern = re.compile(r"ROLLBACK_ROUTER_[A-Z][A-Z_]*[A-Z]")
    named: set[str] = set()
    for folder in ("router", "deploy", "benchmarks", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".md", ".toml", "", ".sh") and ".cache" not in path.parts:
                named.update(pattern.findall(path.read_text(errors="replace")))
    named -= {name for name in named if "SERVICE_" in name or name.endswith("_WROKERS")}
    assert len(named) > 4
    for name in named - OWN.keys():
        assert name.removeprefix(ENV_PREFIX).lower().split("__")[0] in Settings.model_fields, name


def test_two_spellings_of_a_variable_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBACK_ROUTER_WORKERS", "2")
    monkeypatch.setenv("rollback_router_workers", "3")
    with pytest.raises(StartError, match="ROLLBACK_ROUTER_WORKERS and rollback_router_workers"):
        load()
    assert Variables({"rollback_router_workers": "3"}).document == {"workers": "3"}
