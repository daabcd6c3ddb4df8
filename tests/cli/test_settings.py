from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from router.cli.settings import toml
from router.settings.loader import load
from router.settings.shown import shown
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

GOOD = """
admin_listen = "0.0.0.0:8081"
state_dir = "/var/lib/router"
[[admin.tokens]]
name = "ci"
role = "operator"
sha256 = "{sha}"
[services."fraud.v1"]
active = {{ version = "v1", endpoints = ["http://h:1"] }}
[services.other]
path_prefix = "/other"
probe = "none"
""".format(sha="0" * 64)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "router.toml"
    path.write_text(GOOD)
    return path


def test_check(command: Command, file: Path) -> None:
    assert command("config", "check", "--config", str(file)) == (0, f"{file}: good; services: fraud.v1, other\n", "")
    assert command("config", "check", "--config", str(file), "--json") == (
        0,
        '{"ok": true, "services": ["fraud.v1", "other"], "warnings": []}\n',
        "",
    )
    assert command("config", "check") == (0, golden("cli.settings_good"), "")


def test_check_says_what_is_wrong_with_secrets_in_files(command: Command, file: Path, tmp_path: Path) -> None:
    (tmp_path / "slack.url").write_text("https://hooks.example.com/T0/very-secret")
    channel = '[[notify]]\nname = "{name}"\nkind = "slack"\nurl_file = "{path}"\n'
    alerts = f'[alerts]\nhmac_secret_file = "{tmp_path}/none"\n[mlflow]\nsecret_file = "{tmp_path}/none"\n'
    good, bad = (channel.format(name=name, path=tmp_path / path) for name, path in (("a", "slack.url"), ("b", "none")))
    file.write_text(file.read_text() + good + bad + alerts)
    code, out, _ = command("config", "check", "--config", str(file))
    assert (code, out.splitlines()[:3]) == (
        0,
        [
            golden("settings.notify_secret_missing", folder=tmp_path),
            golden("settings.alerts_secret_missing", folder=tmp_path),
            golden("settings.mlflow_secret_missing", folder=tmp_path),
        ],
    )
    assert "very-secret" not in out


def test_check_of_a_bad_file_is_exit_3_and_names_every_place(command: Command, file: Path) -> None:
    file.write_text("wrokers = 2\n[limits]\nhead_bytes_max = -1\n")
    code, out, err = command("config", "check", "--config", str(file))
    assert (code, out) == (3, "")
    assert err.splitlines()[:-1] == golden("cli.settings_bad", file=file).splitlines()


def test_check_names_every_mistake_for_programs_too(command: Command, file: Path) -> None:
    file.write_text("wrokers = 2\n[limits]\nhead_bytes_max = -1\n")
    code, out, _ = command("config", "check", "--config", str(file), "--json")
    assert (code, json.loads(out)["mistakes"]) == (
        3,
        [
            {"file": str(file), "line": 1, "column": 1, "variable": None, "setting": "wrokers",
             "detail": golden("settings.meant_workers")},
            {"file": str(file), "line": 3, "column": 1, "variable": None, "setting": "limits.head_bytes_max",
             "detail": "limits.head_bytes_max = -1: must be at least 1"},
        ],
    )  # fmt: skip


def test_show_is_toml_that_means_the_same_and_hides_tokens(command: Command, file: Path, tmp_path: Path) -> None:
    code, out, _ = command("config", "show", "--config", str(file))
    assert code == 0
    assert "0" * 64 not in out
    again = tmp_path / "again.toml"
    again.write_text(out.replace("(hidden)", "0" * 64))
    assert load(again).model_dump() == load(file).model_dump()


def test_show_as_json_is_the_same_document(command: Command, file: Path) -> None:
    code, out, _ = command("config", "show", "--config", str(file), "--json")
    document = json.loads(out)
    assert (code, document["admin"]["tokens"]) == (0, [{"name": "ci", "role": "operator", "sha256": "(hidden)"}])
    assert document == shown(load(file))


def test_toml_of_what_is_not_set() -> None:
    lines = list(toml({"a": None, "b": [1, {"c": None, "d": "é\n"}], "t": {"x.y": {"z": True}}}))
    assert lines == ["# a is not set", 'b = [1, { d = "é\\n" }]', "", "[t]", "", '[t."x.y"]', "z = true"]
    assert tomllib.loads("\n".join(lines)) == {"b": [1, {"d": "é\n"}], "t": {"x.y": {"z": True}}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 'red'\n", "colour"),
        ("[services.a.rules.hard_failure]\nburst_share = 1\n", "burst_share"),
        ("workers = 'many'\n", "workers"),
        ("workers = \n", ":1:11: "),
    ],
)
@pytest.mark.parametrize("words", [("config", "check"), ("run",)], ids=" ".join)
def test_an_unknown_setting_is_named(
    command: Command, tmp_path: Path, words: tuple[str, ...], text: str, named: str
) -> None:
    file = tmp_path / "router.toml"
    file.write_text(text)
    code, out, err = command(*words, "--config", str(file))
    assert (code, named in out + err, str(file) in out + err) == (3, True, True), out + err


def test_an_unknown_variable_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLBACK_ROUTER_COLOUR", "red")
    code, out, err = command("config", "check")
    assert (code, "ROLLBACK_ROUTER_COLOUR" in out + err) == (3, True), out + err


def running(file: Path, origin: str, **changed: object) -> FakeAdmin:
    """Return a router that runs with the settings of `file`, but for those that have `changed`."""
    settings = {**shown(load(file)), **changed}
    document = {"origin": origin, "version": 3, "read_at": "2026-11-30T12:00:00.000Z", "settings": settings}
    return FakeAdmin().answer("GET", "/v1/settings", document)


@pytest.mark.parametrize("named", [True, False])
def test_the_settings_of_the_running_router_are_compared_with_its_file(
    command: Command, file: Path, tmp_path: Path, named: bool
) -> None:
    with running(file, "the flags and the environment" if named else str(file), via=False) as admin:
        words = ["config", "show", "--running", "--admin", admin.url, *(["--config", str(file)] if named else [])]
        code, out, _ = command(*words)
        assert (code, "via = false" in out.splitlines()) == (0, True)
        assert golden("cli.settings_differ", file=file) in out
        (tmp_path / "again.toml").write_text(out.replace("(hidden)", "0" * 64))
        assert load(tmp_path / "again.toml").via is False
        code, out, _ = command(*words, "--json")
        assert json.loads(out)["differences"] == [{"place": "via", "running": False, "file": True}]


def test_a_running_router_with_the_values_of_its_file(command: Command, file: Path) -> None:
    with running(file, str(file)) as admin:
        out = command("config", "show", "--running", "--admin", admin.url)[1]
    assert f"# {file} has the same values" in out.splitlines()


def test_a_file_on_another_machine_is_not_compared(command: Command, file: Path) -> None:
    with running(file, "/somewhere/else.toml") as admin:
        code, out, _ = command("config", "show", "--running", "--admin", admin.url, "--json")
        assert (code, json.loads(out)["differences"]) == (0, None)
