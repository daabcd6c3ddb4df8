"""`config init`: the file that it writes is one that `config check` takes, whatever the answers."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from router.settings.loader import load
from router.settings.sample_file import SERVERS
from router.settings.sections.service import Probe
from router.settings.soundness import blind_spots
from tests.cli.conftest import Command
from tests.texts import golden

ACTIVE, STANDBY = "http://127.0.0.1:9002", "http://127.0.0.1:9001"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "router.toml"


@pytest.mark.parametrize("standby", ["", STANDBY])
@pytest.mark.parametrize("server", SERVERS)
def test_flags_answer_the_questions(command: Command, file: Path, server: str, standby: str) -> None:
    given = {"active-version": "b", "standby-version": "a", "active": ACTIVE, "standby": standby, "server": server}
    words = [
        word for name, value in {**given, "slo-ms": "250", "model": "org/m-1"}.items() for word in (f"--{name}", value)
    ]
    code, out, _ = command("config", "init", str(file), "--service", "fraud", *words)
    assert (code, f"config check --config {file}" in out) == (0, True)
    code, out, _ = command("config", "check", "--config", str(file))
    assert (code, out) == (0, f"{file}: good; services: fraud\n")
    service = load(file).services["fraud"]
    assert service.active is not None
    assert (service.active.version, service.active.endpoints) == ("b", [ACTIVE])
    assert (service.standby.endpoints if service.standby else []) == [standby] * bool(standby)
    assert service.rules.latency.slo_ms == 250
    assert isinstance(service.probe, Probe)
    assert service.probe.inference is (server != "other")
    assert [place for place, *_ in blind_spots(load(file))] == ["services.fraud.probe"] * (server == "other")


def test_the_first_version_may_have_the_label_v1(command: Command, file: Path) -> None:
    """There is no version before it, so its label cannot be taken."""
    assert command("config", "init", str(file), "--active", ACTIVE, "--active-version", "v1")[0] == 0
    file.write_text(file.read_text().replace("# standby", "standby"))
    service = load(file).services["model"]
    assert (service.active.version, service.standby.version) == ("v1", "v0")


@pytest.mark.parametrize("server", SERVERS)
def test_no_answer_is_changed_on_its_way_into_the_file(command: Command, file: Path, server: str) -> None:
    words = ("--active", ACTIVE, "--server", server, "--service", "fraud.eu-1", "--slo-ms", "1234567")
    assert command("config", "init", str(file), *words)[0] == 0
    services = load(file).services
    assert {name: service.rules.latency.slo_ms for name, service in services.items()} == {"fraud.eu-1": 1_234_567}


def test_every_line_that_is_a_comment_may_be_used(command: Command, file: Path, tmp_path: Path) -> None:
    command("config", "init", str(file), "--active", ACTIVE)
    lines = file.read_text().splitlines()
    settings = [
        line.removeprefix("# ") if line.startswith("# ") and (" = " in line or "[[" in line) else line for line in lines
    ]
    used = [line for line in settings if not line.startswith(('path = "/"', "admin_listen", "Where", "mistake"))]
    file.write_text("\n".join(line for line in used if not line.endswith(":")))
    code, _, err = command("config", "check", "--config", str(file))
    assert (code, err) == (0, "")


def test_a_terminal_is_asked_three_questions(command: Command, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(f"{ACTIVE}\n{STANDBY}\nv2\n"))
    code, _, err = command("config", "init", str(file))
    assert (code, err.count("?")) == (0, 3)
    service = load(file).services["model"]
    assert service.active is not None
    assert service.standby is not None
    assert (service.active.endpoints, service.standby.endpoints) == ([ACTIVE], [STANDBY])
    assert isinstance(service.probe, Probe)
    assert service.probe.path == "/v2/models/model/infer"


def test_a_file_that_is_there_is_left_alone(command: Command, file: Path) -> None:
    file.write_text("workers = 1\n")
    code, out, err = command("config", "init", str(file), "--active", ACTIVE)
    assert (code, out, err.splitlines()[0]) == (2, "", golden("settings.is_there", file=file))
    assert file.read_text() == "workers = 1\n"


def test_to_stdout_and_as_json(command: Command, file: Path) -> None:
    code, out, _ = command("config", "init", "-", "--active", ACTIVE)
    file.write_text(out)
    assert (code, list(load(file).services)) == (0, ["model"])
    file.unlink()
    code, out, _ = command("config", "init", str(file), "--active", ACTIVE, "--json")
    assert (code, json.loads(out)) == (0, {"file": str(file), "service": "model", "standby": False})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--active http://HOST:PORT"),
        (("--active", "nonsense"), "write it as http://HOST:PORT"),
        (("--active", ACTIVE, "--standby", ACTIVE), "name two servers"),
        (("--active", ACTIVE, "--server", "tritn"), "--server 'tritn': write one of openai, v2"),
        (("--active", ACTIVE, "--service", "a b"), "--service 'a b': use letters"),
        (("--active", ACTIVE, "--model", "a'\nb"), "use letters, digits"),
        (("--active", ACTIVE, "--slo-ms", "0"), "--slo-ms"),
        (("--active", ACTIVE, "--active-version", "v 1"), "version 'v 1': use letters"),
        (("--active", ACTIVE, "--standby", STANDBY, "--active-version", "v1"), "both versions have the label 'v1'"),
    ],
)
def test_what_cannot_be_used_writes_nothing(command: Command, file: Path, words: tuple[str, ...], said: str) -> None:
    code, out, err = command("config", "init", str(file), *words)
    assert (code, out, said in err, file.exists()) == (2, "", True, False), err
