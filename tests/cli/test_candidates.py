from __future__ import annotations

import pytest
import typer

from router.cli.app import app
from router.cli.candidates import candidates, split
from tests.cli.fake_admin import FakeAdmin, service, status, target

VERSIONS = [
    {"service": "a", "version": "a:v7", "quarantine": None},
    {"service": "a", "version": "a:v6", "quarantine": {"reason": "x"}},
    {"service": "b", "version": "b v1", "quarantine": None},
    {"service": "b", "version": "b\x1b[2J", "quarantine": None},
]


def known() -> FakeAdmin:
    """Return a router with two services."""
    targets = [
        target("a:v7", "active", "active"),
        target("a:v6", "standby", "standby"),
        target("a:v8", "candidate", "ready"),
    ]
    services = (service("a", targets=targets), service("b", targets=[target("b v1", "active", "active")]))
    fake = (
        FakeAdmin().answer("GET", "/v1/status", status(*services)).answer("GET", "/v1/versions", {"versions": VERSIONS})
    )
    fake.answer("GET", "/v1/incidents", {"incidents": [{"id": "a-1-2"}]})
    fake.answer("GET", "/v1/proposals?state=pending", {"proposals": [{"id": "a-promotion-1"}]})
    fake.answer("GET", "/v1/services/a/cases", {"cases": [{"id": "c1"}]})
    return fake.answer("GET", "/v1/notify", {"channels": [{"channel": "ops"}]})


def found(admin: str, line: str) -> tuple[list[str], bool]:
    words, typed = split(f"rollback-router {line}")
    place = 1 if words and words[0] not in ("cases", "config", "notify") else 2
    return candidates(
        typer.main.get_command(app), [*words[:place], *(["--admin", admin] if words else []), *words[place:]], typed
    )


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("prom", ["promote"]),
        ("config ", ["check", "init", "show"]),
        ("promote ", ["a:v8"]),
        ("promote a:v8 ", []),
        ("switch ", ["a:v6", "a:v8"]),
        ("switch --service b ", []),
        ("retire a:v6", ["a:v6"]),
        ("endpoints --service b ", ["b v1"]),
        ("release ", ["a:v6"]),
        ("quarantine --service a ", ["a:v7"]),
        ("versions ", ["a:v6", "a:v7", "b v1"]),
        ("deploy ", []),
        ("register ", []),
        ("status --service ", ["a", "b"]),
        ("status --service=", ["--service=a", "--service=b"]),
        ("drill ", ["a", "b"]),
        ("rollback --from ", ["a:v7", "b v1"]),
        ("incidents ", ["a-1-2"]),
        ("approve ", ["a-promotion-1"]),
        ("cases show --service a ", ["c1"]),
        ("notify test ", ["ops"]),
        ("status --wat", ["--watch"]),
        ("completion ", ["bash", "fish", "zsh"]),
        ("promote --nonsense x ", ["a:v8"]),
        ("no-such-command ", []),
    ],
)
def test_candidates_that_make_sense_for_the_command(line: str, names: list[str]) -> None:
    with known() as admin:
        assert found(admin.url, line)[0] == names


@pytest.mark.parametrize("line", ["config check --config ", "cases add ", "versions --token-file "])
def test_paths_are_left_to_the_shell(line: str) -> None:
    assert found("http://127.0.0.1:1", line) == ([], True)


@pytest.mark.parametrize("admin", ["http://127.0.0.1:1", "nonsense", "unix:/nowhere"])
def test_nothing_is_said_without_a_router(admin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(admin, "promote ") == ([], False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("line", "words", "typed"),
    [
        ("rollback-router ", [], ""),
        ("rollback-router st", [], "st"),
        ("rollback-router promote 'a b", ["promote"], "a b"),
        ('rollback-router promote "a b', ["promote"], "a b"),
        ("rollback-router status --service ", ["status", "--service"], ""),
    ],
)
def test_a_line_is_split_as_the_shell_does_it(line: str, words: list[str], typed: str) -> None:
    assert split(line) == (words, typed)
