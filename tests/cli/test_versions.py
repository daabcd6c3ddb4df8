from __future__ import annotations

import getpass
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

ME = getpass.getuser()
BY_VERDICT = {"event": "rolled_back", "actor": "verdict", "reason": "9 of 10 failed", "incident": "i1"}
ACTIVE_PERIOD = {
    "version": "green", "since": "11:00", "until": "12:00", "to": "blue", "generation": 3,
    "begun": {"event": "promoted", "actor": "ann", "reason": None, "incident": None}, "ended": BY_VERDICT,
}  # fmt: skip
GREEN: dict[str, Any] = {
    "service": "default", "version": "green", "state": "retired", "slot": None, "endpoints": ["http://h:1", "http://h:2"],
    "artifact": "s3://m/7", "source": None, "registered": {"by": "ann", "at": "10:00"}, "accepted": True, "accepted_at": "11:10",
    "rolled_back": {"at": "12:00", "incident": "i1", "reason": "9 of 10 failed"}, "lifted": None,
    "quarantine": {"reason": "9 of 10 failed", "actor": "verdict", "at": "12:00"}, "unreachable": False,
    "history": [{"at": "12:00", "event": "rolled_back", "actor": "verdict", "state": "draining", "reason": "9 of 10 failed"}],
}  # fmt: skip


def test_the_list(admin: FakeAdmin, command: Command) -> None:
    other = {**GREEN, "service": "other", "lifted": {"until": "14:00"}, "quarantine": None, "accepted": False}
    admin.answer("GET", "/v1/versions", {"versions": [GREEN, other]})
    head = "service  version  state    facts                               endpoints               artifact  "
    assert command("versions", "--admin", admin.url)[1] == (golden("cli.versions")).replace(
        golden("cli.versions_header"), head
    )
    assert command("versions", "--service", "other", "--admin", admin.url)[1].count("\n") == 2


def test_one_in_full(admin: FakeAdmin, command: Command) -> None:
    document = {**GREEN, "last_live": None, "live": [ACTIVE_PERIOD], "incidents": ["i1"]}
    admin.answer("GET", "/v1/versions/green?service=default", document)
    assert command("versions", "green", "--service", "default", "--admin", admin.url)[1] == (golden("cli.version"))


def test_what_was_live_when(admin: FakeAdmin, command: Command) -> None:
    present = {**ACTIVE_PERIOD, "version": "blue", "since": "12:00", "until": None, "ended": None, "begun": BY_VERDICT}
    admin.answer(
        "GET",
        "/v1/services/default/live?limit=2",
        {"service": "default", "live": [ACTIVE_PERIOD, present], "earlier": 3, "dropped": 4},
    )
    assert command("versions", "--live", "--limit", "2", "--admin", admin.url)[1].splitlines()[2:] == [
        golden("cli.version_period_row"),
        "3 earlier periods: --limit shows more",
        golden("cli.older_in_journal"),
    ]


def test_what_may_be_deleted(admin: FakeAdmin, command: Command) -> None:
    document = {
        "service": "default", "keep_accepted": 3, "artifacts_deletable": ["s3://m/1"],
        "kept": [{"version": "v2", "artifact": "s3://m/2", "because": ["active", "one of the last 3 accepted versions"]}],
        "deletable": [{"version": "v1", "artifact": "s3://m/1", "because": []}],
    }  # fmt: skip
    admin.answer("GET", "/v1/services/default/retention", document)
    assert command("versions", "--deletable", "--admin", admin.url)[1] == (golden("cli.retention"))
    document["artifacts_deletable"] = []
    assert command("versions", "--deletable", "--admin", admin.url)[1].endswith("no artifact may be deleted\n")


VERBS = [
    pytest.param(("quarantine", "green", "-m", "bad"), "/v1/versions/green/quarantine", {"reason": "bad"}, id="quarantine"),
    pytest.param(("release", "a/b", "-m", "mended", "--service", "default"), "/v1/versions/a%2Fb/release",
                 {"reason": "mended", "service": "default"}, id="release"),
    pytest.param(("release", "green", "-m", "look", "--for", "2h"), "/v1/versions/green/release",
                 {"reason": "look", "expires_after_s": 7200.0}, id="release for a while"),
    pytest.param(("register", "v3", "http://h:1", "--artifact", "s3://m/3", "--service", "default"), "/v1/versions",
                 {"version": "v3", "endpoints": ["http://h:1"], "artifact": "s3://m/3", "service": "default"}, id="register"),
    pytest.param(("register", "models:/fraud/3"), "/v1/versions", {"version": "models:/fraud/3"}, id="register a model"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "path", "body"), VERBS)
def test_changing(admin: FakeAdmin, command: Command, words: tuple[str, ...], path: str, body: dict[str, Any]) -> None:
    admin.answer("POST", path, {"changed": True, "message": "it is so"})
    assert command(*words, "--admin", admin.url) == (0, "it is so\n", "")
    assert admin.received == [("POST", path, {"actor": ME, **body})]


def test_a_wrong_length_of_time_asks_nothing(admin: FakeAdmin, command: Command) -> None:
    code, _, error = command("release", "green", "-m", "look", "--for", "soon", "--admin", admin.url)
    assert (code, admin.received) == (2, [])
    assert "write 90s, 15m, 2h or 7d" in error
