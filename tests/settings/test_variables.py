"""Values of environment variables: plain ones, lists and tables as JSON, and errors that name variable, form and example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.settings.loader import load
from router.settings.mistakes import SettingsError
from router.settings.variables import Variables

P = "ROLLBACK_ROUTER_"


def refused(settings: dict[str, str], services: list[str] | None = None) -> SettingsError:
    return SettingsError(Variables(settings, services or []).mistakes)


@pytest.mark.parametrize(
    ("name", "value", "document"),
    [
        ("LISTEN", "0.0.0.0:8080", {"listen": "0.0.0.0:8080"}),
        ("LISTEN", '{"host": "h", "port": 1}', {"listen": '{"host": "h", "port": 1}'}),
        ("WORKERS", " 2\r\n", {"workers": "2"}),
        ("workers", "2", {"workers": "2"}),
        ("LIMITS__FIELDS_MAX", "2", {"limits": {"fields_max": "2"}}),
        ("LIMITS", '{"fields_max": 2}', {"limits": {"fields_max": 2}}),
        ("NOTIFY", "\ufeff[]\n", {"notify": []}),
        ("TIMEOUTS__TUNNEL_IDLE_S", "none", {"timeouts": {"tunnel_idle_s": "none"}}),
        ("SERVICES__FRAUD__PROBE", "none", {"services": {"fraud": {"probe": "none"}}}),
        ("SERVICES__FRAUD__PROBE", '{"path": "/x"}', {"services": {"fraud": {"probe": {"path": "/x"}}}}),
        ("SERVICES__FRAUD__PROBE__PATH", "/x", {"services": {"fraud": {"probe": {"path": "/x"}}}}),
        ("SERVICES__FRAUD__HOSTS", '["a"]', {"services": {"fraud": {"hosts": ["a"]}}}),
        ("SERVICES__Fraud__HOSTS", '["a"]', {"services": {"Fraud": {"hosts": ["a"]}}}),
        ("SERVICES__FRAUD__RULES__LATENCY__SLO_MS", "5", {"services": {"fraud": {"rules": {"latency": {"slo_ms": "5"}}}}}),
        ("SERVICES__FRAUD__THROTTLED_STATUSES", "[503]", {"services": {"fraud": {"throttled_statuses": [503]}}}),
    ],
)  # fmt: skip
def test_a_value(name: str, value: str, document: dict[str, Any]) -> None:
    assert Variables({P + name: value}).document == document


WRONG = [
    ("NOTIFY", "SECRET"), ("NOTIFY", '{"url": "SECRET"}'), ("NOTIFY", "SECRET,SECRET"), ("NOTIFY", '[{"url": "SECRET"'),
    ("NOTIFY", ""), ("NOTIFY", "'[]'"), ("SERVICES", "[]"), ("SERVICES__fraud__HOSTS", "a,b"), ("SERVICES__fraud__HOSTS", "a"),
    ("SERVICES__fraud__HOSTS", '"a"'), ("SERVICES__fraud", "SECRET"), ("SERVICES__fraud__ACTIVE", "http://SECRET"),
    ("SERVICES__fraud__ACTIVE__ENDPOINTS", "http://a:1,http://b:2"), ("ADMIN__TOKENS", "SECRET"), ("ADMIN__TOKENS__0__NAME", "x"),
    ("ALERTS__MAP", "{SECRET}"), ("LIMITS", "3"), ("FORWARDING__TRUSTED", "10.0.0.0/8"), ("SERVICES__fraud__RULES", "none"),
    ("SERVICES__fraud__THROTTLED_STATUSES", "503"), ("SERVICES__fraud__PROBE", "{path: /x}"), ("TLS__CERTIFICATES", "x"),
    ("SERVICES__fraud__RULES__ERROR_RATE__WINDOWS", "x"), ("SERVICES__fraud__INPUTS__FIELDS", "/a"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_form_names_variable_form_and_example_and_no_value(name: str, value: str) -> None:
    error = refused({P + name: value})
    detail = error.detail
    assert error.code == "settings_invalid"
    assert f"environment variable {P}{name}: " in detail
    assert "SECRET" not in detail
    _, _, example = detail.partition("as JSON, for example ")
    variable, _, text = example.partition("=")
    assert name.startswith(variable.removeprefix(P)) or variable.endswith("TOKENS")
    assert isinstance(json.loads(text.strip("'")), (list, dict))
    assert Variables({variable: text.strip("'")}).document


@pytest.mark.parametrize(
    ("variable", "known", "taken"),
    [
        ("FRAUD", ["fraud"], "fraud"),
        ("FRAUD", ["Fraud"], "Fraud"),
        ("fraud", ["Fraud"], "Fraud"),
        ("FRAUD_EU", ["fraud-eu"], "fraud-eu"),
        ("FRAUD_EU_1", ["fraud.eu-1"], "fraud.eu-1"),
        ("fraud-eu", ["Fraud-EU"], "Fraud-EU"),
        ("FRAUD_EU", ["fraud-eu", "fraud_eu"], "fraud_eu"),
        ("fraud-eu", ["fraud-eu", "fraud_eu"], "fraud-eu"),
        ("FRAUD", ["scores"], "fraud"),
        ("Fraud", [], "Fraud"),
        ("fraud-eu", [], "fraud-eu"),
    ],
)
def test_the_name_of_a_service_is_that_of_the_file(variable: str, known: list[str], taken: str) -> None:
    found = Variables({f"{P}SERVICES__{variable}__PATH_PREFIX": "/a"}, known)
    assert found.document == {"services": {taken: {"path_prefix": "/a"}}}


def test_a_variable_that_may_mean_two_services_is_refused() -> None:
    error = refused({f"{P}SERVICES__FRAUD_EU__PATH_PREFIX": "/a"}, ["Fraud-eu", "fraud.EU"])
    assert "services Fraud-eu, fraud.EU" in error.detail


def test_members_win_over_their_table_and_the_file_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "router.toml"
    file.write_text('[services.Fraud]\nhosts = ["a"]\npath_prefix = "/f"\n')
    monkeypatch.setenv(f"{P}SERVICES", '{"Fraud": {"hosts": ["b"], "replay": "always"}}')
    monkeypatch.setenv(f"{P}SERVICES__FRAUD__HOSTS", '["c"]')
    service = load(file).services["Fraud"]
    assert (service.hosts, service.path_prefix, service.replay) == (["c"], "/f", "always")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKERS", "x"), ("WORKERS", ""), ("LIMITS__BODY_BYTES_MAX", "1MB"), ("LISTEN", "8080"), ("VIA", "perhaps"),
        ("SERVICES__a__REPLAY", "perhaps"), ("SERVICES__a__THROTTLED_STATUSES", "[200]"), ("NOTIFY", '[{"name": "a"}]'),
        ("ADMIN__TOKENS", '[{"name": "ci", "role": "root", "sha256": "SECRET"}]'), ("LIMITS", '{"fields_max": 0}'),
        ("NOTIFY", '[{"name": "a", "kind": "slack", "url": "SECRET"}]'), ("NOTIFY", '[{"name": "a", "password": "SECRET"}]'),
        ("MLFLOW__TRACKING_URI", "http://ann:SECRET@host"), ("MLFLOW__TRACKING_URI", "http://host/?token=SECRET"),
        ("MLFLOW", '{"token": "SECRET"}'), ("SERVICES__a__ACTIVE", '{"version": "v", "endpoints": ["http://u:SECRET@h:1"]}'),
        ("ADMIN__PUBLIC_URL", "https://u:SECRET@h"), ("NOTIFY", '[["SECRET"]]'), ("ADMIN__TOKENS", '["SECRET"]'),
    ],
)  # fmt: skip
def test_a_wrong_value_names_the_variable_and_no_secret(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(P + name, value)
    with pytest.raises(StartError) as caught:
        load()
    assert f"environment variable {P}{name}" in caught.value.detail
    assert "SECRET" not in caught.value.detail


def test_a_flag_that_wins_is_not_blamed_on_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{P}WORKERS", "2")
    assert load(None, {"workers": 3}).workers == 3
    with pytest.raises(StartError) as caught:
        load(None, {"workers": 65})
    assert "environment variable" not in caught.value.detail


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("WROKERS", "did you mean ROLLBACK_ROUTER_WORKERS?"),
        ("LIMITS__BODY_BYTE_MAX", "did you mean ROLLBACK_ROUTER_LIMITS__BODY_BYTES_MAX?"),
        ("SERVICES__FRAUD__HOST", "did you mean ROLLBACK_ROUTER_SERVICES__FRAUD__HOSTS?"),
        ("VERSION", "remove the variable"),
        ("LOG_LEVEL", "remove the variable"),
        ("", "remove the variable"),
    ],
)
def test_an_unknown_name_has_a_remedy(name: str, remedy: str) -> None:
    assert remedy in refused({f"ROLLBACK_ROUTER_{name}": "1"}, ["fraud"]).detail


def test_every_variable_that_is_wrong_is_named_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "router.toml"
    file.write_text("via = 3\n")
    monkeypatch.setenv(f"{P}WROKERS", "2")
    monkeypatch.setenv(f"{P}LIMITS__FIELDS_MAX", "0")
    monkeypatch.setenv(f"{P}NOTIFY", "x")
    with pytest.raises(SettingsError) as caught:
        load(file)
    found = [(mistake.where, mistake.setting) for mistake in caught.value.mistakes]
    assert found == [
        (f"environment variable {P}NOTIFY", ""),
        (f"environment variable {P}WROKERS", ""),
        (f"environment variable {P}LIMITS__FIELDS_MAX", "limits.fields_max"),
        (f"{file}:1:1", "via"),
    ]
