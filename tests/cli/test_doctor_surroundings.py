"""What `doctor` finds around the settings. Nothing leaves the machine: MLflow is a port of loopback."""

from __future__ import annotations

import json
import resource
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from router.cli import doctor_surroundings as surroundings
from router.cli.doctor_check import DoctorCheck
from router.runtime.host import mounts
from router.settings.loader import load
from router.settings.settings import Settings
from router.settings.shown import shown
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, status


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "router.toml"
    path.write_text(f'state_dir = "{tmp_path}"\n[services.default]\n')
    return path


def found(out: str) -> dict[str, DoctorCheck]:
    return {check["name"]: DoctorCheck(**check) for check in json.loads(out)["checks"]}


def running(file: Path, **changed: object) -> FakeAdmin:
    document = {"origin": str(file), "settings": {**shown(load(file)), **changed}}
    admin = FakeAdmin().answer("GET", "/v1/status", status()).answer("GET", "/v1/settings", document)
    return admin.answer("GET", "/v1/journal?after=0&limit=1000", {"entries": []})


def test_secret_files_that_cannot_be_read(command: Command, file: Path, tmp_path: Path) -> None:
    file.write_text(
        f'[[notify]]\nname = "b"\nkind = "slack"\nurl_file = "{tmp_path}/none"\n'
        f'[alerts]\nhmac_secret_file = "{tmp_path}/none"\n[mlflow]\nsecret_file = "{tmp_path}/none"\n'
    )
    code, out, _ = command("doctor", "--json", "--config", str(file), "--admin", "http://127.0.0.1:1")
    checks = [check for check in json.loads(out)["checks"] if check["name"] == "secret file"]
    assert (code, len(checks)) == (1, 3)
    assert all(not check["ok"] and check["remedy"] for check in checks)


def test_what_is_forgotten_is_a_warning_with_the_command_to_type(command: Command, file: Path) -> None:
    with running(file) as admin:
        code, out, _ = command("doctor", "--json", "--config", str(file), "--admin", admin.url)
        checks = found(out)
    assert (code, checks["admin.tokens"].mark) == (0, "warn")
    assert "`" not in checks["admin.tokens"].remedy
    assert "rollback-router token new NAME" in checks["admin.tokens"].remedy
    assert "services.default.standby" not in checks, "its journal knows the standby"


def test_a_new_router_needs_a_standby(command: Command, file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        file.write_text(f'{file.read_text()}active = {{ version = "v1", endpoints = ["{url}"] }}\n')
        _, out, _ = command("doctor", "--json", "--config", str(file), "--admin", "http://127.0.0.1:1")
    assert found(out)["services.default.standby"].mark == "warn"


def test_mlflow_is_reached_or_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = Settings.model_validate({"mlflow": {"tracking_uri": uri}})
        assert [check.mark for check in surroundings.registry(settings)] == ["ok"]
    [check] = surroundings.registry(settings)
    assert (check.mark, uri in check.detail) == ("warn", True)
    assert list(surroundings.registry(Settings.model_validate({}))) == []


@pytest.mark.parametrize("setting", ["PROXY", "environment"])
def test_mlflow_behind_a_proxy_is_not_asked_directly(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    uri = "http://mlflow.invalid:5000"
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = f"http://user:PASSWORD@127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", proxy)
        mlflow = {"tracking_uri": uri, "proxy": proxy if setting == "PROXY" else setting}
        settings = Settings.model_validate({"mlflow": mlflow})
        [there] = surroundings.registry(settings)
    [away] = surroundings.registry(settings)
    assert (there.mark, away.mark) == ("ok", "warn")
    assert all(f"the proxy 127.0.0.1:{urlsplit(proxy).port}" in check.detail for check in (there, away))
    assert not any("PASSWORD" in check.detail + check.remedy for check in (there, away))


def test_a_proxy_of_mlflow_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://user:PASSWORD@127.0.0.1:1")
    settings = Settings.model_validate({"mlflow": {"tracking_uri": "http://mlflow.invalid:5000"}})
    (check,) = surroundings.registry(settings)
    assert check.mark == "warn"
    assert "HTTP_PROXY names no usable proxy" in check.detail
    assert "PASSWORD" not in check.detail


@pytest.mark.parametrize(("mode", "marks"), [(0o600, []), (0o640, ["warn"]), (0o604, ["warn"])])
def test_a_token_that_others_can_read(tmp_path: Path, mode: int, marks: list[str]) -> None:
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(mode)
    assert [check.mark for check in surroundings.token_file(str(path))] == marks
    assert list(surroundings.token_file("")) == list(surroundings.token_file(str(tmp_path / "none"))) == []


@pytest.mark.parametrize(("descriptors", "marks"), [(1 << 20, []), (10_000, ["warn"])])
def test_descriptors(monkeypatch: pytest.MonkeyPatch, descriptors: int, marks: list[str]) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, descriptors))
    assert [check.mark for check in surroundings.descriptors(Settings.model_validate({}))] == marks


@pytest.mark.parametrize(("free_mib", "mark"), [(99, "fail"), (100, "ok")])
def test_the_disk_of_a_running_router(monkeypatch: pytest.MonkeyPatch, file: Path, free_mib: int, mark: str) -> None:
    usage = shutil.disk_usage(file.parent)._replace(free=free_mib << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert [check.mark for check in surroundings.disk(load(file))] == [mark]


def test_a_state_directory_on_another_machine_is_passed_over() -> None:
    assert list(surroundings.disk(Settings.model_validate({"state_dir": "/no/such/place"}))) == []


@pytest.mark.parametrize(("kind", "marks"), [("ext4", []), ("tmpfs", ["warn"]), ("overlay", ["warn"])])
def test_a_state_that_does_not_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, marks: list[str]
) -> None:
    monkeypatch.setattr(mounts, "of", lambda path: mounts.Mount("/", kind))
    assert [check.mark for check in surroundings.lasting(tmp_path)] == marks


def test_a_reload_that_was_forgotten(command: Command, file: Path) -> None:
    with running(file, via=False) as admin:
        _, out, _ = command("doctor", "--json", "--config", str(file), "--admin", admin.url)
    assert (found(out)["reload"].mark, "via" in found(out)["reload"].detail) == ("warn", True)
    with running(file) as admin:
        _, out, _ = command("doctor", "--json", "--config", str(file), "--admin", admin.url)
    assert "reload" not in found(out)


def test_a_token_that_is_missing_has_another_remedy_than_a_router_that_is(command: Command) -> None:
    with FakeAdmin().problem("GET", "/v1/status", 401, "token_missing", "send Authorization: Bearer TOKEN") as admin:
        _, out, _ = command("doctor", "--json", "--admin", admin.url)
    assert "--token-file FILE" in found(out)["admin API"].remedy
    _, out, _ = command("doctor", "--json", "--admin", "http://127.0.0.1:1")
    assert "run --blue" in found(out)["admin API"].remedy
