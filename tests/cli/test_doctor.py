from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from router.cli.doctor import DoctorCheck, _clock, _one_address
from router.tls.contexts import Pair
from tests.certificate_authority import CertificateAuthority
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, service, status
from tests.texts import golden


def entries(*numbers: int, at: str = "2026-01-01T00:00:00.000Z") -> dict[str, object]:
    return {"entries": [{"seq": number, "at": at} for number in numbers]}


def findings(out: str) -> dict[str, tuple[bool, str, str]]:
    return {check["name"]: (check["ok"], check["detail"], check["remedy"]) for check in json.loads(out)["checks"]}


def test_all_is_well(command: Command) -> None:
    with FakeAdmin() as admin:
        admin.answer("GET", "/v1/status", status(service(targets=[])))
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries(1, 2))
        admin.answer("GET", "/v1/journal?after=2&limit=1000", entries(3))
        admin.answer("GET", "/v1/journal?after=3&limit=1000", entries())
        code, out, _ = command("doctor", "--json", "--admin", admin.url)
        found = findings(out)
        assert (code, json.loads(out)["ok"]) == (0, True)
        assert list(found) == ["settings", "admin API", "file limit", "clock", "workers", "rollback default", "journal"]
        assert found["journal"] == (True, golden("doctor.journal"), "")
        code, out, _ = command("doctor", "--admin", admin.url)
        assert (code, out.splitlines()[0].split()) == (0, ["check", "found", "what", "to", "do"])


def test_names_what_is_wrong_with_a_running_router(command: Command) -> None:
    ill = service(standby=None, way_back=False, no_way_back="green is quarantined")
    probe = {"ok": False, "detail": "refused", "ms": 1.0, "age_s": 0.4}
    ill["targets"][0]["endpoints"] = [{"url": "http://h:1", "ready": False, "last_probe": probe}]
    document = status(
        ill, alarms=[{"code": "journal_unavailable", "detail": "disk full", "since": "…", "service": None}]
    )
    document["workers"][0]["up"] = False
    with FakeAdmin().answer("GET", "/v1/status", document) as admin:
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries(1, 3))
        code, out, _ = command("doctor", "--json", "--admin", admin.url)
    found = findings(out)
    assert code == 1
    assert found["workers"] == (False, "worker 0 of 1 is down", golden("doctor.restarts_workers"))
    assert found["alarm journal_unavailable"] == (False, "disk full", "rollback-router explain")
    assert found["rollback default"][:2] == (False, "green is quarantined")
    assert found["target default/green"][:2] == (False, "http://h:1: refused")
    assert found["target default/blue"][:2] == (True, "http://blue:80: not probed yet")
    assert found["journal"] == (False, "entry 2 is missing", golden("doctor.keep_state"))


def test_a_journal_from_the_future(command: Command) -> None:
    with FakeAdmin().answer("GET", "/v1/status", status()) as admin:
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries(1, at="2999-01-01T00:00:00.000Z"))
        admin.answer("GET", "/v1/journal?after=1&limit=1000", entries())
        _, out, _ = command("doctor", "--json", "--admin", admin.url)
    assert findings(out)["journal"][0] is False


def test_before_the_start_it_looks_at_ports_state_and_targets(command: Command, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        taken, closed = server.getsockname()[1], refusing.getsockname()[1]
        file = tmp_path / "router.toml"
        file.write_text(
            f'listen = "127.0.0.1:{taken}"\nadmin_listen = "127.0.0.1:0"\nstate_dir = "{tmp_path}/state"\n'
            '[services.a]\nprobe = "none"\n'
            f'active = {{ version = "v1", endpoints = ["http://127.0.0.1:{taken}"] }}\n'
            f'standby = {{ version = "v2", endpoints = ["http://127.0.0.1:{closed}"] }}\n'
        )
        nobody = f"http://127.0.0.1:{closed}"
        code, out, _ = command("doctor", "--json", "--config", str(file), "--admin", nobody)
    found = findings(out)
    assert code == 1
    assert found["admin API"][0] is False
    assert found["admin API"][2].startswith(f"start it: rollback-router run --config {file}, or ")
    assert found["listen"][:2] == (False, f"listen 127.0.0.1:{taken} is in use")
    assert found["admin_listen"] == (True, "127.0.0.1:0 is free", "")
    assert found["state directory"][0] is True
    assert found["target a/v1"] == (True, f"http://127.0.0.1:{taken} accepts connections", "")
    assert found["target a/v2"] == (False, f"{nobody}: Connection refused", golden("doctor.start_server"))


def test_bad_settings_are_one_finding(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text("workers = 0")
    with FakeAdmin().answer("GET", "/v1/status", status()) as admin:
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries())
        code, out, _ = command("doctor", "--json", "--config", str(file), "--admin", admin.url)
    assert code == 1
    assert findings(out)["settings"][:2] == (False, golden("settings.workers_of_file", file=file))


@pytest.mark.parametrize(("now_s", "ok"), [(0.0, False), (1_800_000_000.0, True)])
def test_a_clock_that_was_never_set(now_s: float, ok: bool) -> None:
    assert _clock(now_s).ok is ok
    assert isinstance(_clock(now_s), DoctorCheck)


def certified(tmp_path: Path, pair: Pair, more: str = "") -> str:
    file = tmp_path / "router.toml"
    file.write_text(f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n{more}')
    return str(file)


@pytest.mark.parametrize(
    ("days", "complaint"), [(30, None), (3, "expires on"), (-2, "has expired on")], ids=["good", "soon", "over"]
)
def test_certificates_are_looked_at(command: Command, tmp_path: Path, days: int, complaint: str | None) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.pair("a.test", "127.0.0.1", days=days)
    _, out, _ = command("doctor", "--json", "--config", certified(tmp_path, pair), "--admin", "http://127.0.0.1:1")
    found = findings(out)
    assert found["tls"] == (True, f"{pair.certificate} for a.test, 127.0.0.1: {days - 1} days left", "")
    if complaint is None:
        assert "TLS" not in found
    else:
        ok, detail, remedy = found["TLS"]
        assert not ok
        assert detail.startswith(f"certificate {pair.certificate} {complaint} ")
        assert remedy == golden("doctor.renew_certificate")


def test_a_key_of_another_certificate_and_backends_that_nobody_verifies(command: Command, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair, other = authority.pair(), authority.pair(file="other")
    file = certified(tmp_path, replace(pair, key=other.key))
    code, out, _ = command("doctor", "--json", "--config", file, "--admin", "http://127.0.0.1:1")
    detail = f"key {other.key} does not belong to certificate {pair.certificate}: name its own"
    assert (code, findings(out)["TLS"][:2]) == (1, (False, detail))
    file = certified(tmp_path, pair, "[services.a.backend_tls]\nverify = false\n")
    code, out, _ = command("doctor", "--json", "--config", file, "--admin", "http://127.0.0.1:1")
    detail = "services.a.backend_tls.verify is false: every certificate is accepted"
    assert (code, findings(out)["TLS"][:2]) == (1, (False, detail))


def warnings(out: str) -> list[str]:
    return [check["name"] for check in json.loads(out)["checks"] if check["warning"]]


def test_warnings_of_the_settings_change_no_exit_code(command: Command, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("nonsense")
    file = tmp_path / "router.toml"
    file.write_text(
        '[services.default]\nfirst_byte_timeout_s = 40\nprobe = { path = "/v1/models" }\n'
        f'active = {{ version = "v1", endpoints = ["http://127.0.0.1:1"], headers_file = "{key}" }}\n'
    )
    ill = service()
    for target in ill["targets"]:
        target["windows"] = {"60s": {"p99_ms": 25_000.0}}
    with FakeAdmin().answer("GET", "/v1/status", status(ill)) as admin:
        admin.problem("GET", "/v1/settings", 404, "path_unknown", "an older router")
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries())
        code, out, _ = command("doctor", "--json", "--config", str(file), "--admin", admin.url)
        assert warnings(out) == [
            "services.default.probe",
            "services.default.rules.latency.slo_ms",
            "notify",
            "admin.tokens",
            "services.default.first_byte_timeout_s",
        ]
        assert code == 1
        assert findings(out)["headers file"][0] is False
        key.write_text("Authorization: Bearer 7\n")
        assert command("doctor", "--json", "--config", str(file), "--admin", admin.url)[0] == 0
        assert command("doctor", "--strict", "--config", str(file), "--admin", admin.url)[0] == 1


def test_a_standby_that_nothing_identifies(command: Command) -> None:
    document = service()
    for target in document["targets"]:
        target |= {"rewrite": {}, "identity": {"probe": "GET /", "status": 2, "models": [], "certificate": []}}
    with FakeAdmin().answer("GET", "/v1/status", status(document)) as admin:
        admin.answer("GET", "/v1/journal?after=0&limit=1000", entries())
        _, out, _ = command("doctor", "--json", "--admin", admin.url)
        assert warnings(out) == ["standby default"]
        for target in document["targets"]:
            target["identity"]["models"] = ["fraud"]
            target["endpoints"] = [{"url": "http://same:80", "ready": True, "last_probe": None}]
        _, out, _ = command("doctor", "--json", "--admin", admin.url)
        assert warnings(out) == ["standby default"]
        document["targets"][0]["rewrite"] = {"host": "blue"}
        _, out, _ = command("doctor", "--json", "--admin", admin.url)
        assert warnings(out) == []


@pytest.mark.parametrize(
    ("urls", "replicas", "warned"),
    [
        (["http://fraud.models.svc:80"], [], True),
        (["http://fraud.models.svc:80"], [{}, {}], False),
        (["http://10.0.0.1:80"], [], False),
        (["http://[::1]:80"], [], False),
        (["http://localhost:80"], [], False),
        (["unix:/run/m.sock"], [], False),
        (["http://a.svc:80", "http://b.svc:80"], [], False),
    ],
)
def test_warns_of_a_name_with_one_address(urls: list[str], replicas: list[object], warned: bool) -> None:
    target = {"version": "v1", "endpoints": [{"url": url} for url in urls], "replicas": replicas}
    assert [check.name for check in _one_address("fraud", target)] == ["replicas fraud/v1"] * warned
