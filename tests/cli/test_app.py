from __future__ import annotations

import re
import subprocess
import sys

import pytest

from router import __version__
from router.cli.app import app
from tests.cli.conftest import Command

VERBS = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]


def test_knows_every_verb() -> None:
    assert sorted([*VERBS, "cases", "config", "notify"]) == [
        "acceptance", "advise", "alerts", "approve", "cases", "check", "complete", "completion", "config", "demo",
        "deny", "deploy", "doctor", "drill", "endpoints", "explain", "freeze", "incidents", "inputs", "journal",
        "notify", "promote", "proposals", "quarantine", "register", "release", "report", "retire", "rollback", "run",
        "status", "switch", "unfreeze", "versions",
    ]  # fmt: skip


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"rollback-router {__version__}\n", "")


def test_help_lists_the_verbs_in_whole_sentences(command: Command) -> None:
    code, out, _ = command("--help")
    sentences = re.findall(r"^  ([a-z]+)  +([A-Z].*)$", out, re.MULTILINE)
    assert code == 0
    assert sorted(verb for verb, _ in sentences) == sorted(
        {*VERBS, "cases", "config", "notify", "token"} - {"complete"}
    )
    assert [sentence for _, sentence in sentences if not sentence.endswith(".") or "..." in sentence] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_every_option(command: Command, verb: str) -> None:
    code, out, _ = command(verb, "--help")
    assert code == 0
    assert re.findall(r"^  (?:-\w, )?--[\w\-]+(?: [A-Z]\S*)?$\n(?! {4})", out, re.MULTILINE) == []


def test_wrong_usage_is_exit_2(command: Command) -> None:
    assert command("frobnicate")[0] == 2
    assert command("promote")[0] == 2


def test_help_imports_nothing_heavy() -> None:
    """What keeps --help below 200 ms (0.11 s measured): none of these is loaded for it."""
    script = (
        "import sys; from router.cli.app import main; main(['--help']); "
        "heavy = {'aiohttp', 'pydantic', 'uvloop', 'rich', 'http.client', 'asyncio', 'orjson'}; "
        "sys.stderr.write(' '.join(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_router_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "router", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"rollback-router {__version__}\n")


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("run", "--blue", "http://:9000"), 3, "http://:9000"),
        (("run", "--blue", "127.0.0.1:9000"), 3, "127.0.0.1:9000"),
        (("run", "--blue", "http://127.0.0.1:1", "--workers", "0"), 3, "workers"),
        (("run", "--colour", "red"), 2, "--colour"),
        (("explode",), 2, "explode"),
        (("status", "--admin", "http://127.0.0.1:1"), 8, "http://127.0.0.1:1"),
        (("status", "--admin", "127.0.0.1"), 2, "127.0.0.1"),
        (("demo", "--headless", "--fault", "flood"), 2, "flood"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_command_names_the_value(command: Command, words: tuple[str, ...], code: int, named: str) -> None:
    ended, out, err = command(*words)
    assert (ended, named in out + err) == (code, True), out + err
