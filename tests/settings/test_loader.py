"""Settings: every error names the place, the value and what to write instead; sources win in the promised order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.runtime.exit_codes import exit_code
from router.settings import loader
from router.settings.environment import ENV_PREFIX
from router.settings.loader import dump, load, parse
from router.settings.sections.address import Address
from router.settings.sections.limits import Timeouts
from router.settings.sections.values import version_label
from router.settings.settings import Settings
from tests.texts import golden

SEED = {"version": "v1", "endpoints": ["http://h:1"]}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX) or name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
            monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "router.toml"
    path.write_text("")
    return path


def refusal(flags: dict[str, Any] | None = None, path: Path | None = None) -> StartError:
    with pytest.raises(StartError) as caught:
        load(path, flags)
    assert exit_code(caught.value) == 3
    return caught.value


def service(**members: Any) -> dict[str, Any]:
    return {"services": {"a": {"active": SEED, **members}}}


EXAMPLE = "write it as http://HOST:PORT or https://HOST:PORT, for example http://127.0.0.1:9001"
WRONG = [
    pytest.param({"wrokers": 2}, "wrokers = 2: there is no such setting", id="unknown"),
    pytest.param(
        service(rules={"hard_failure": {"burst": 1}}),
        "services.a.rules.hard_failure.burst = 1: there is no such setting",
        id="unknown deep inside",
    ),
    pytest.param({"workers": 65}, "workers = 65: must be at most 64", id="too many workers"),
    pytest.param(
        {"listen": "8080"},
        "listen = '8080': '8080' is not HOST:PORT, for example 127.0.0.1:8080",
        id="address without a colon",
    ),
    pytest.param(
        {"proxy_protocol": "required"},
        "proxy_protocol: it is required, and proxy_protocol_from is empty: "
        'name the balancers\' networks, for example ["10.0.0.0/8"]',
        id="nobody announces",
    ),
    pytest.param(
        {"proxy_protocol_from": ["10.0.0.1/8"]},
        "proxy_protocol_from = ['10.0.0.1/8']: '10.0.0.1/8' has bits outside its prefix: write 10.0.0.0/8",
        id="network of a balancer",
    ),
    pytest.param({"listen": "h:99999"}, "listen.port = 99999: must be at most 65535", id="port"),
    pytest.param(
        {"limits": {"body_bytes_max": 0}},
        "limits.body_bytes_max = 0: must be at least 1",
        id="limit",
    ),
    pytest.param(
        {"timeouts": {"connect_timeout_s": 0}},
        "timeouts.connect_timeout_s = 0: must be more than 0",
        id="no wait is endless",
    ),
    pytest.param(
        {"timeouts": {"tunnel_idle_s": -1}},
        "timeouts.tunnel_idle_s = -1: must be more than 0 or 'none'",
        id="a number or none",
    ),
    pytest.param(service(probe="off"), "services.a.probe = 'off': must be a table or 'none'", id="a table or none"),
    pytest.param(
        service(active={"version": "v 1", "endpoints": ["http://h:1"]}),
        "services.a.active.version = 'v 1': version 'v 1': use letters, "
        "digits and . _ : / @ + -, at most 128, for example fraud-v7",
        id="version label",
    ),
    pytest.param(
        service(active={"version": "v1", "endpoints": []}),
        "services.a.active.endpoints = []: must have at least 1 item",
        id="no endpoints",
    ),
    pytest.param(
        service(active={"version": "v1", "endpoints": ["http://:80"]}),
        f"services.a.active.endpoints = ['http://:80']: endpoint 'http://:80' has no host; {EXAMPLE}",
        id="URL without a host",
    ),
    pytest.param(
        service(standby=SEED),
        "services.a.standby: active and standby are both version 'v1': the standby must be another version",
        id="no way back",
    ),
    pytest.param(
        service(path_prefix="v1"),
        "services.a.path_prefix = 'v1': 'v1' must begin with / and hold visible ASCII only",
        id="prefix",
    ),
    pytest.param(
        service(hosts=["h:80"]),
        "services.a.hosts = ['h:80']: 'h:80' has a port, and a host answers on every port: leave it out",
        id="host with port",
    ),
    pytest.param(
        {"services": {"a": {"hosts": ["Fraud.example.com."]}, "b": {"hosts": ["fraud.EXAMPLE.com"]}}},
        "services.b: services 'a' and 'b' both answer host 'fraud.example.com', prefix '/'",
        id="two for one host",
    ),
    pytest.param(
        service(hosts=["bücher.example"]),
        "services.a.hosts = ['bücher.example']: 'bücher.example' is not in ASCII: write it as clients send it, in its xn-- form",
        id="host in unicode",
    ),
    pytest.param(
        {"admin": {"allowed_hosts": ["ops.example:8081"]}},
        "admin.allowed_hosts = ['ops.example:8081']: 'ops.example:8081' has a port, and a host answers on every port: "
        "leave it out",
        id="allowed host with port",
    ),
    pytest.param(
        {"admin": {"allowed_origins": ["ops.example"]}},
        "admin.allowed_origins = ['ops.example']: 'ops.example' is no origin: write it as https://ops.example.com, "
        "with a port but without a path",
        id="origin without a scheme",
    ),
    pytest.param(
        {"services": {"a b": {}}},
        "services.a b: service name 'a b': use letters, digits, '.', '_' and '-', at most 63",
        id="service name",
    ),
    pytest.param(
        {"services": {"a": {}, "b": {}}},
        "services.b: services 'a' and 'b' both answer host '*', prefix '/'",
        id="two for one request",
    ),
    pytest.param(
        {"admin_listen": "0.0.0.0:8081"},
        "admin_listen: 0.0.0.0:8081 can be reached from outside: set admin.tokens, or listen on 127.0.0.1",
        id="open admin",
    ),
    pytest.param(
        {"admin": {"tokens": [{"name": "ci", "role": "root", "sha256": "0" * 64}]}},
        "admin.tokens.0.role = 'root': must be 'viewer', 'operator' or 'admin'",
        id="role",
    ),
]


@pytest.mark.parametrize(("flags", "text"), WRONG)
def test_every_error_names_place_value_and_remedy(flags: dict[str, Any], text: str) -> None:
    detail = refusal(flags).detail
    assert detail.startswith("the flags: ")
    assert text in detail


def test_a_probe_path_says_how_to_write_it() -> None:
    assert golden("settings.no_path") in (refusal(service(probe={"path": "health"})).detail)


def test_all_errors_at_once_and_the_file_is_named(file: Path) -> None:
    file.write_text("workers = 0\nwrokers = 2\n")
    assert refusal(path=file).detail == (golden("settings.two_errors", file=file))


def test_broken_toml_names_line_and_column(file: Path) -> None:
    file.write_text("workers = 1\nlisten = oops\n")
    assert refusal(path=file).detail == golden("settings.no_toml", file=file)


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    error = refusal(path=tmp_path / "none.toml")
    assert (error.code, error.detail) == (
        "settings_missing", golden("settings.no_file", folder=tmp_path),
    )  # fmt: skip


def test_an_unknown_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBACK_ROUTER_WROKERS", "2")
    assert refusal().detail == golden("settings.unknown_variable")


def test_flags_win_over_environment_over_file_over_defaults(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[limits]\nfields_max = 1\nhead_bytes_max = 1\nbody_bytes_max = 1\n")
    monkeypatch.setenv("ROLLBACK_ROUTER_LIMITS__FIELDS_MAX", "2")
    monkeypatch.setenv("ROLLBACK_ROUTER_LIMITS__HEAD_BYTES_MAX", "2")
    limits = load(file, {"limits": {"fields_max": 3}}).limits
    assert (limits.fields_max, limits.head_bytes_max, limits.body_bytes_max, limits.buffer_bytes) == (3, 2, 1, 65536)


def test_what_the_children_read_is_what_was_loaded(file: Path) -> None:
    file.write_text(
        '[services.a]\nprobe = "none"\nhosts = ["H"]\nactive = { version = "v1", endpoints = ["http://h:80/"] }\n'
        '[services.b]\npath_prefix = "/b"\n[services.b.rules.latency]\nslo_ms = 250\n'
    )
    settings = load(file)
    again = parse(dump(settings))
    assert {name: getattr(again, name) for name in Settings.model_fields} == {
        name: getattr(settings, name) for name in Settings.model_fields
    }
    assert again.services["a"].hosts == ["h"]
    assert again.services["b"].rules.latency.slo_ms == 250.0


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("[::1]:0", ("::1", 0), "[::1]:0"),
        (":8080", ("0.0.0.0", 8080), "0.0.0.0:8080"),
    ],
)
def test_address(text: str, address: tuple[str, int], shown: str) -> None:
    parsed = Address.model_validate(text)
    assert ((parsed.host, parsed.port), str(parsed)) == (address, shown)


def test_where_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    flags = {"listen": "127.0.0.1:99"}
    assert load(None, flags).resolved_state_dir() == Path("/home/ann/.local/state/rollback-router/99")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert load(None, flags).resolved_state_dir() == Path("/xdg/rollback-router/99")
    unix = load(None, {"listen": "unix:/run/router/data.sock", "admin_listen": "unix:/run/router/admin.sock"})
    assert unix.resolved_state_dir() == Path("/xdg/rollback-router/run-router-data.sock")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/router:/other")
    assert load(None, flags).resolved_state_dir() == Path("/var/lib/router")
    assert load(None, {**flags, "state_dir": "/here"}).resolved_state_dir() == Path("/here")


def test_version_labels() -> None:
    assert version_label("registry/fraud:v7@sha256+b") == "registry/fraud:v7@sha256+b"
    with pytest.raises(ValueError, match="use letters, digits"):
        version_label("")


def test_the_numbers_of_the_contract() -> None:
    timeouts = Timeouts()
    assert (timeouts.worker_silent_s, timeouts.control_silent_s, timeouts.shutdown_timeout_s) == (10.0, 5.0, 30.0)
    assert (timeouts.connect_timeout_s, timeouts.first_byte_timeout_s, timeouts.idle_timeout_s) == (2.0, 600.0, 60.0)
    assert load().services == {}


@pytest.mark.parametrize(("usec", "expected"), [("10000000", ("/n", 10.0)), ("", ("/n", None)), ("x", ("/n", None))])
def test_what_systemd_says(monkeypatch: pytest.MonkeyPatch, usec: str, expected: tuple[str, float | None]) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/n")
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    assert loader.systemd_environment() == expected


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.10:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        (":1", False),
        ("[::]:1", False),
        ("192.168.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_an_address_of_loopback_is_reached_by_this_machine_alone(text: str, loopback: bool) -> None:
    assert Address.model_validate(text).is_loopback is loopback


def test_observe_overrules_every_action_and_survives_the_way_to_control(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text(
        "[services.svc.rules.latency]\nslo_ms = 5\n[services.svc.rules.quality]\naction = 'rollback'\n"
        "[services.svc.inputs]\naction = 'rollback'\n[services.svc.proposals]\nat_expiry = 'rollback'\n"
    )
    for settings in (loaded := load(file, {"observe": True}), parse(dump(loaded))):
        service = settings.services["svc"]
        rules = service.rules
        for rule in (rules.hard_failure, rules.error_rate, rules.latency, rules.quality, rules.business):
            assert rule.action == "observe"
        assert (service.inputs.action, service.proposals.at_expiry) == ("observe", "hold")
        assert settings.observe
    assert load(file).services["svc"].rules.quality.action == "rollback"


def test_without_a_home_directory_the_start_names_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with an arbitrary user, which /etc/passwd does not have."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    settings = load()
    with pytest.raises(StartError, match="--state-dir") as caught:
        settings.resolved_state_dir()
    assert (caught.value.code, exit_code(caught.value)) == ("state_unwritable", 5)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert settings.resolved_state_dir() == Path("/state/rollback-router/8080")
