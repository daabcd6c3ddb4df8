"""`cases`: what is listed, and what is sent and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.control.store.case_format import case_document, exported, imported
from router.rollout.cases.case import Case, Expectation, Request
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

PATH = "/v1/services/default/cases"
WRITTEN = Case(Request("POST", "/score", body='{"x": 1}'), Expectation("2xx"), by="ann", at=5.0)
CAPTURED = Case(
    Request("POST", "/score", body="{}", body_bytes=2), by="rollback", version="v8", incident="i-1-9",
    failed={"outcome": "timed_out"},
)  # fmt: skip


def stored(case: Case, expires: str | None = None) -> dict[str, Any]:
    return {**case_document(case), "added_at": "2026-01-01T00:00:00.000Z", "expires_at": expires, "sendable": True}


def test_a_table_for_people(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, {"service": "default", "cases": [stored(CAPTURED, "2026-01-31"), stored(WRITTEN)]})
    code, out, _ = command("cases", "--admin", admin.url)
    assert (code, out) == (
        0,
        f"""\
id            request      expects   failed as  version  incident  by        expires
{CAPTURED.id}  POST /score  no_fault  timed_out  v8       i-1-9     rollback  2026-01-31
{WRITTEN.id}  POST /score  2xx       –          –        –         ann       never
""",
    )


def test_an_empty_suite_says_where_cases_come_from(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, {"service": "default", "cases": []})
    assert command("cases", "--admin", admin.url)[1].startswith("there are no cases yet: a rollback makes some")
    assert json.loads(command("cases", "--json", "--admin", admin.url)[1]) == {"service": "default", "cases": []}


def test_a_rollback_that_made_no_case_says_why(admin: FakeAdmin, command: Command) -> None:
    lost = {
        "incident": "i-1-8",
        "version": "v7",
        "seen": None,
        "made": None,
        "left_out": {},
        "why": "not processed yet",
    }
    none = {
        "incident": "i-1-7",
        "version": "v6",
        "seen": 15,
        "made": 0,
        "left_out": {"could not connect": 15},
        "why": "15 not",
    }
    gone = {"incident": "i-1-6", "version": "v5", "seen": 2, "made": 2, "left_out": {}, "why": "2 were made"}
    message = [
        "i-1-8: not processed yet",
        "i-1-7: 15 not",
        "i-1-6: 2 were made (none of them is here: they have expired, ",
    ]
    admin.answer("GET", PATH, {"service": "default", "cases": [], "rollbacks": [lost, none, gone]})
    lines = command("cases", "--admin", admin.url)[1].splitlines()
    assert lines[0].startswith("there are no cases yet")
    assert [line[: len(start)] for line, start in zip(lines[1:], message, strict=True)] == message


def test_a_rollback_whose_cases_are_listed_is_not_told_again(admin: FakeAdmin, command: Command) -> None:
    none = {
        "incident": "i-1-7",
        "version": "v6",
        "seen": 15,
        "made": 0,
        "left_out": {"could not connect": 15},
        "why": "15 not",
    }
    listed = none | {"incident": "i-1-9", "made": 1}
    admin.answer("GET", PATH, {"service": "default", "cases": [stored(CAPTURED)], "rollbacks": [listed, none]})
    assert command("cases", "--admin", admin.url)[1].splitlines()[2:] == ["i-1-7: 15 not"]


@pytest.mark.parametrize("words", [("cases",), ("cases", "show")])
def test_one_case_in_full(admin: FakeAdmin, command: Command, words: tuple[str, ...]) -> None:
    admin.answer("GET", f"{PATH}/{WRITTEN.id}?full=true", stored(WRITTEN))
    code, out, _ = command(*words, WRITTEN.id, "--admin", admin.url)
    assert (code, json.loads(out)["request"]["body"]) == (0, '{"x": 1}')


def test_a_written_case_is_checked_here_and_sent(admin: FakeAdmin, command: Command, tmp_path: Path) -> None:
    answer = {"service": "default", "added": [WRITTEN.id], "known": [], "dropped": [], "dry_run": False}
    admin.answer("POST", PATH, answer).answer("POST", f"{PATH}?dry_run=true", answer)
    file = tmp_path / "case.json"
    file.write_text(json.dumps({"request": {"method": "POST", "target": "/score", "body": "1"}}, indent=2))
    assert command("cases", "add", str(file), "-m", "why", "--admin", admin.url) == (
        0,
        f"cases: 1 added\n  {WRITTEN.id}\n",
        "",
    )
    body = admin.received[-1][2]
    assert body is not None
    assert body["cases"] == [{"request": {"method": "POST", "target": "/score", "body": "1"}, "note": "why"}]
    assert command("cases", "add", str(file), "--dry-run", "--admin", admin.url)[1].startswith(
        "cases: 1 would be added"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ('{"request": {"method": "GET"}}', "request.target: Field required"),
        (
            '{"request": {"method": "GET", "target": "/", "headers": {"Cookie": "x"}}}',
            "request.headers.Cookie: holds credentials",
        ),
    ],
)
def test_a_wrong_case_is_not_sent(admin: FakeAdmin, command: Command, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "case.json"
    file.write_text(text)
    code, _, err = command("cases", "add", str(file), "--admin", admin.url)
    assert (code, f"{file}" in err, message in err, admin.received) == (2, True, True, [])


def test_what_is_exported_is_imported(admin: FakeAdmin, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    admin.answer("GET", f"{PATH}?full=true", {"service": "default", "cases": [stored(WRITTEN), stored(CAPTURED)]})
    code, out, _ = command("cases", "export", str(file), "--admin", admin.url)
    assert (code, out.split(":")[0]) == (0, f"2 cases in {file}")
    assert file.read_bytes() == exported([WRITTEN, CAPTURED], "default")
    assert file.stat().st_mode & 0o777 == 0o600, "there are bodies of clients in it"
    assert imported(file.read_bytes()) == [WRITTEN, CAPTURED]
    answer = {"service": "default", "added": [WRITTEN.id], "known": [CAPTURED.id], "dropped": ["x"], "dry_run": False}
    admin.answer("POST", PATH, answer)
    code, out, _ = command("cases", "import", str(file), "--admin", admin.url)
    assert (code, out.splitlines()[0]) == (0, golden("cli.cases_added"))
    body = admin.received[-1][2]
    assert body is not None
    assert [case["by"] for case in body["cases"]] == ["ann", "rollback"]


def test_a_file_is_imported_whole_or_not_at_all(admin: FakeAdmin, command: Command, tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl"
    file.write_bytes(exported([WRITTEN], "default") + b'{"request": 5}\n')
    code, _, err = command("cases", "import", str(file), "--admin", admin.url)
    assert (code, "line 3: request: " in err, admin.received) == (2, True, [])
    file.write_bytes(exported([], "default"))
    assert command("cases", "import", str(file), "--admin", admin.url) == (0, f"{file} has no cases\n", "")


def test_cases_are_removed_one_by_one(admin: FakeAdmin, command: Command) -> None:
    admin.answer("DELETE", f"{PATH}/a", {}).problem("DELETE", f"{PATH}/b", 404, "case_unknown", "no case 'b'")
    code, out, err = command("cases", "remove", "a", "b", "--admin", admin.url)
    assert (code, out, err.splitlines()) == (
        9,
        "a is deleted\n",
        ["rollback-router: no case 'b'", "next: rollback-router cases"],
    )


@pytest.mark.parametrize("words", [("add", "/nowhere/x"), ("import", "/nowhere/x")])
def test_a_file_that_is_not_there(command: Command, words: tuple[str, ...]) -> None:
    assert command("cases", *words)[0] == 2
