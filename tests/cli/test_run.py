"""`run` up to the supervisor, and `demo` up to the demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router.errors import StartError
from router.errors.codes import StartCode
from router.settings.loader import load
from router.settings.settings import Settings
from router.supervisor import run
from router.supervisor.run_options import RunOptions
from tests.cli.conftest import Command
from tests.texts import golden

EXAMPLE = "rollback-router run --blue http://127.0.0.1:9001 --green http://127.0.0.1:9002"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, RunOptions]]:
    """What the supervisor was given; it leaves with 0 at once."""
    calls: list[tuple[Settings, RunOptions]] = []
    monkeypatch.setattr(run, "run", lambda settings, start: calls.append((settings, start)) or 0)
    monkeypatch.setattr("router.runtime.logs.setup", lambda process, log_format: None)
    return calls


def test_one_line_is_enough(command: Command, started: list[Any]) -> None:
    assert command("run", "--blue", "http://h:1,http://h:2", "--green", "http://h:3") == (0, "", "")
    settings, start = started[0]
    expected = {
        "active": {"version": "blue", "endpoints": ["http://h:1", "http://h:2"]},
        "standby": {"version": "green", "endpoints": ["http://h:3"]},
    }
    assert settings == load(None, {"services": {"default": expected}})
    assert (start.origin, start.fresh, start.assume_active, start.journal_from) == (
        "the flags and the environment", False, None, None,
    )  # fmt: skip
    assert start.reload() == settings


def test_flags_win_over_the_file(command: Command, started: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('workers = 3\nlisten = "127.0.0.1:1"\n[services.default]\nreplay = "always"\n')
    words = (
        "--config",
        str(file),
        "--blue",
        "http://h:1",
        "--probe",
        "/health",
        "--listen",
        "127.0.0.1:2",
        "--admin",
        "[::1]:3",
    )
    more = (
        "--workers",
        "5",
        "--state-dir",
        str(tmp_path),
        "--fresh",
        "--assume-active",
        "v1",
        "--journal-from",
        "copy",
    )
    assert command("run", *words, *more) == (0, "", "")
    settings, start = started[0]
    service = settings.services["default"]
    assert (str(settings.listen), str(settings.admin_listen), settings.workers, settings.state_dir) == (
        "127.0.0.1:2", "[::1]:3", 5, tmp_path,
    )  # fmt: skip
    assert (service.replay, service.probe.path, service.standby) == ("always", "/health", None)
    assert (start.origin, start.fresh, start.assume_active, start.journal_from) == (str(file), True, "v1", "copy")


def test_probe_none(command: Command, started: list[Any]) -> None:
    command("run", "--blue", "http://h:1", "--probe", "none")
    assert started[0][0].services["default"].probe == "none"


def test_a_first_file_that_was_not_named_is(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has written router.toml by `config init` may forget to name it."""
    monkeypatch.chdir(tmp_path)
    assert command("config", "init", "--active", "http://127.0.0.1:1", "--service", "fraud")[0] == 0
    code, _, said = command("run")
    assert (code, "rollback-router run --config router.toml" in said) == (2, True)
    (tmp_path / "other.toml").write_text("workers = 1\n")
    code, _, said = command("run", "--config", "other.toml")
    assert (code, EXAMPLE in said) == (2, True), "a file was named, and has no service"
    code, said, _ = command("config", "check")
    assert (code, "--config router.toml" in said) == (0, True)
    code, said, _ = command("config", "check", "--config", "router.toml")
    assert (code, said.endswith("services: fraud\n")) == (0, True)


WRONG = [
    pytest.param((), 2, f"run needs your model servers, for example: {EXAMPLE}", id="nothing to route"),
    pytest.param(("--green", "http://h:1"), 2, f"--green belongs to --blue, for example: {EXAMPLE}", id="green alone"),
    pytest.param(("--probe", "/x"), 2, f"--probe belongs to --blue, for example: {EXAMPLE}", id="probe alone"),
    pytest.param(
        ("--blue", "http://h:1", "--green", "h:2"),
        3,
        "the flags: services.default.standby.endpoints = ['h:2']: endpoint 'h:2' has the scheme 'h', and "
        "only http and https are supported; write it as http://HOST:PORT or https://HOST:PORT, for example http://127.0.0.1:9001",
        id="no URL",
    ),
    pytest.param(
        ("--blue", "http://h:1", "--listen", "8080"),
        3,
        "the flags: listen = '8080': '8080' is not HOST:PORT, for example 127.0.0.1:8080, nor unix:/PATH",
        id="no address",
    ),
    pytest.param(
        ("--config", "/no/such.toml"), 3, "settings file /no/such.toml does not exist or is not a file", id="no file"
    ),
]


@pytest.mark.parametrize(("words", "code", "detail"), WRONG)
def test_wrong_flags_start_nothing(
    command: Command, started: list[Any], words: tuple[str, ...], code: int, detail: str
) -> None:
    ended, out, err = command("run", *words)
    first = err.splitlines()[0].removeprefix("rollback-router: ")
    assert (ended, out, first, started) == (code, "", detail, [])


def test_a_failed_start_is_its_exit_code(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(settings: Settings, start: RunOptions) -> int:
        raise StartError(StartCode.PORT_IN_USE, "listen 127.0.0.1:8080 is in use")

    monkeypatch.setattr(run, "run", refuse)
    monkeypatch.setattr("router.runtime.logs.setup", lambda process, log_format: None)
    assert command("run", "--blue", "http://h:1") == (4, "", golden("cli.port_in_use"))


def test_demo_passes_on_how_it_ended(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []
    monkeypatch.setattr("router.demo.command.run_demo", lambda **given: asked.append(given) or 1)
    assert command("demo", "--fault", "hang", "--headless", "--json")[0] == 1
    assert command("demo", "--stay")[0] == 1
    assert asked == [
        {"fault": "hang", "headless": True, "as_json": True, "stay": False},
        {"fault": "errors", "headless": False, "as_json": False, "stay": True},
    ]
    assert command("demo", "--fault", "flood")[0] == 2
