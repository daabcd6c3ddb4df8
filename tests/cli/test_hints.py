"""Every text in which a command is named: the command parses, with the options that it was completed with."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli import failure
from router.cli.app import app
from router.runtime.text.hints import LOCAL, WITH_SERVICE, Hints
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, service, status, target
from tests.cli.parser import complaint

ROUTER = Path(__file__).parent.parent.parent / "router"
OPTIONS = ("--admin", "unix:/run/a b/admin.sock", "--token", "TOKEN")
TYPED = ("deploy", "it's", "--artifact", 'a "quote" and $(a command)', "--token", "very-secret")
HINTS = Hints(
    "fraud; rm -rf /",
    OPTIONS,
    TYPED,
    {"VERSION": "models:/Fraud Model/3", "ID": "i'1", "URL": ["http://a:1", "http://b:2"]},
)
_COMMAND = re.compile("`([^`]+)`")


def literals(node: ast.AST) -> str:
    """Return a literal text; the values of an f-string become 1."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def in_code() -> Iterator[str]:
    """Yield each command of a template in the code."""
    for path in sorted(ROUTER.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "hints" in text.lower() else ():
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if "hints" in ast.unparse(node.func.value).lower():
                text = literals(node.args[0])
                if node.func.attr == "text":
                    yield from _COMMAND.findall(text)
                elif node.func.attr == "command" and text:
                    yield text


def in_templates() -> Iterator[str]:
    for path in sorted(ROUTER.rglob("templates/*")):
        yield from re.findall(r'\{\{ "([^"]+)"\|command\(', path.read_text())


def in_table() -> Iterator[str]:
    for template in (*failure.NEXT.values(), failure.NEXT_IN_DOUBT, failure.NEXT_QUARANTINED, failure.NEXT_HELD):
        yield from _COMMAND.findall(template)


TEMPLATES = sorted({*in_code(), *in_templates(), *in_table()})


def test_the_templates_are_found() -> None:
    assert {"drill --stop", "incidents ID --root-cause TEXT", "… --override WHY", "promote VERSION"} <= set(TEMPLATES)
    assert len(TEMPLATES) > 40


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("hints", [Hints(typed=("deploy", "v1")), HINTS], ids=["plain", "everything"])
def test_every_hint_parses(hints: Hints, template: str) -> None:
    program, *words = shlex.split(hints.command(template))
    assert (program, complaint(words)) == ("rollback-router", "")


@pytest.mark.parametrize("code", sorted(failure.NEXT))
def test_every_next_command_holds_no_backtick_and_no_secret(code: str) -> None:
    text = HINTS.text(failure.NEXT[code])
    assert "`" not in text
    assert "very-secret" not in text
    assert "rollback-router" in text


def test_the_tables_of_the_options_are_those_of_the_parsers() -> None:
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        assert (name in WITH_SERVICE) is (complaint([name, "--service", "x", "--help"]) == ""), name
        calls = complaint([name, "--token", "x", "--help"]) == ""
        assert (name in LOCAL) is not calls, name


def test_no_other_text_names_a_command() -> None:
    found = []
    scripts = ROUTER / "cli" / "completion.py"
    for path in sorted({*ROUTER.rglob("*.py")} - {scripts}):
        source = path.read_text()
        if "rollback-router" not in source:
            continue
        tree = ast.parse(source)
        documented = [node for node in ast.walk(tree) if isinstance(node, ast.Expr)]
        docstrings = {
            id(part) for node in documented for part in ast.walk(node) if isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            text = "" if id(node) in docstrings else literals(node)
            if re.search(r"rollback-router (?!admin\b|decide 1)[a-z]", text):
                found.append(f"{path.relative_to(ROUTER)}: {text}")
    assert found == []


def test_a_hint_names_the_router_and_the_service_of_the_command(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeAdmin().problem("POST", "/v1/services/a%20b/promote", 409, "verifying", "x") as admin:
        words = ["promote", "v 1", "--service", "a b", f"--admin={admin.url}", "--token", "very-secret"]
        code, _, err = command(*words)
    first = f"rollback-router status -w --service 'a b' --admin {admin.url} --token TOKEN"
    second = f"rollback-router deploy 'v 1' URL --replace --service 'a b' --admin {admin.url} --token TOKEN"
    assert (code, err.splitlines()[1]) == (9, f"next: {first}, or: {second}")


def test_the_environment_is_not_repeated(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAdmin().problem("POST", "/v1/services/a/promote", 404, "version_unknown", "x") as admin:
        monkeypatch.setenv("ROLLBACK_ROUTER_ADMIN_URL", admin.url)
        _, _, err = command("promote", "v1", "--service", "a")
    assert err.splitlines()[1] == "next: rollback-router versions --service a"


def test_status_names_the_service_where_there_are_several(command: Command) -> None:
    services = [service(name, incidents_open=["i5"], drill={"under_way": "d1"}) for name in ("a", "b")]
    with FakeAdmin().answer("GET", "/v1/status", status(*services)) as admin:
        out = command("status", "--admin", admin.url)[1]
    assert [line.partition(": ")[2] for line in out.splitlines() if line.startswith("DRILL")] == [
        f"rollback-router drill --stop --service {name} ends it" for name in ("a", "b")
    ]


def test_deploy_shows_how_to_promote_the_same_service(command: Command) -> None:
    answer = {"state": "verifying", "version": "v3", "changed": True}
    ready = service("a", targets=[target("v3", "candidate", "ready")], candidate="v3")
    fake = FakeAdmin().answer("POST", "/v1/services/a/deploy", answer).answer("GET", "/v1/services/a", ready)
    with fake as admin:
        code, out, _ = command("deploy", "v3", "http://h:1", "--service", "a", "--admin", admin.url)
    assert (code, out) == (0, "v3 is ready: rollback-router promote v3 --service a\n")
