"""`incidents`: whole screens, what is sent, what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

PATH = "/v1/incidents/i1"
INCIDENT: dict[str, Any] = {
    "id": "i1",
    "summary": "green failed.",
    "revision": 3,
    "review": {"status": "open", "severity": None, "owner": None, "root_cause": None, "actions": [], "comments": []},
    "record": {"notes": ["The trigger is unknown."]},
    "durations": {
        "fault_to_decision_s": 9.9, "decision_to_store_us": 41, "store_to_last_worker_ms": None, "fault_to_recovered_s": None,
    },
    "impact": {"requests": 1005, "errors": {"timed_out": 5}, "rescued": 0, "failed_max": 5,
        "budget": {"share": 0.05, "basis": "99.9 % of 100000 requests in 30 days"}},
    "failures": {"why": "all 1 that were captured", "items": [
        {"at": "12:01", "method": "POST", "path": "/infer", "endpoint": "http://a:1", "outcome": "timed_out", "status": None,
         "rescue": {"version": "blue", "outcome": "ok", "status": 200}}]},
    "timeline": [{"at": "12:00", "t_s": -9.9, "actor": None, "text": "the first fault"}],
    "candidates": [{"strength": "some", "claim": "a hang", "evidence": ["5 of 5"]}],
}  # fmt: skip


def test_the_list(admin: FakeAdmin, command: Command) -> None:
    one = {
        "id": "i1", "started_at": None, "detection_at": "12:00", "service": "default", "from": "green", "to": "blue",
        "reason": "9 of 10", "manual": False, "status": "open", "owner": None,
    }  # fmt: skip
    admin.answer("GET", "/v1/incidents", {"incidents": [one]})
    assert command("incidents", "--admin", admin.url)[1] == (golden("cli.incidents"))


def test_one_in_full(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, INCIDENT)
    assert command("incidents", "i1", "--admin", admin.url)[1] == (golden("cli.incident"))


def test_what_people_added(admin: FakeAdmin, command: Command) -> None:
    action = {"id": "a1", "state": "done", "kind": "preventive", "owner": "bob", "due": None, "what": "a test"}
    comment = {"at": "13:00", "actor": "ann", "text": "hm"}
    people = {**INCIDENT["review"], "owner": "ann", "root_cause": "null", "actions": [action], "comments": [comment]}
    admin.answer("GET", PATH, {**INCIDENT, "review": people})
    assert command("incidents", "i1", "--admin", admin.url)[1].splitlines()[-5:] == [
        "owner: ann",
        "root cause: null",
        golden("cli.actions_header"),
        golden("cli.action_row"),
        "13:00 ann: hm",
    ]


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--root-cause", "null", "--owner", "ann"], {"root_cause": "null", "owner": "ann"}),
        (["--severity", "sev1", "--status", "reviewed"], {"severity": "sev1", "status": "reviewed"}),
        (
            ["--add-action", "a test", "--owner", "bob", "--due", "2026-12-31", "--kind", "preventive"],
            {"add_actions": [{"what": "a test", "kind": "preventive", "owner": "bob", "due": "2026-12-31"}]},
        ),
        (["--done", "a1", "--comment", "hm"], {"change_actions": [{"id": "a1", "state": "done"}], "comment": "hm"}),
        (["--drop", "a2"], {"change_actions": [{"id": "a2", "state": "dropped"}]}),
    ],
)
def test_what_is_added_is_sent_for_the_revision_that_was_read(
    admin: FakeAdmin, command: Command, words: list[str], body: dict[str, Any]
) -> None:
    admin.answer("GET", PATH, INCIDENT).answer("PATCH", PATH, INCIDENT)
    assert command("incidents", "i1", *words, "--admin", admin.url)[0] == 0
    method, _, sent = admin.received[-1]
    assert sent is not None
    actor = sent.pop("actor")
    assert (method, sent, bool(actor), admin.fields[-1]["If-Match"]) == ("PATCH", body, True, '"3"')


def test_a_report_is_saved(admin: FakeAdmin, command: Command, tmp_path: Path) -> None:
    page = b"<!doctype html>\xc3\xa9"
    admin.answer("GET", PATH, INCIDENT).answer("GET", f"{PATH}.html", page).answer("GET", f"{PATH}.md", b"# x\n")
    file = tmp_path / "i1.html"
    assert command("incidents", "i1", "--html", str(file), "--admin", admin.url)[:2] == (0, f"saved {file}\n")
    assert file.read_bytes() == page
    assert command("incidents", "i1", "--md", "-", "--admin", admin.url)[:2] == (0, "# x\n")


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["--root-cause", "x"], 2, "name the incident whose review is to be edited or saved"),
        (["--html", "x"], 2, "name the incident whose review is to be edited or saved"),
        (["i1", "--due", "2026-12-31"], 2, "--due belongs to --add-action"),
        (["i1", "--html", "/nowhere/x.html"], 2, "/nowhere/x.html: No such file or directory"),
    ],
)
def test_what_makes_no_sense(admin: FakeAdmin, command: Command, words: list[str], code: int, error: str) -> None:
    admin.answer("GET", PATH, INCIDENT).answer("GET", f"{PATH}.html", b"x")
    found, _, err = command("incidents", *words, "--admin", admin.url)
    assert (found, err.splitlines()[0]) == (code, f"rollback-router: {error}")


def test_somebody_was_faster(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, INCIDENT).problem("PATCH", PATH, 412, "revision_stale", "it is at revision 4")
    code, _, err = command("incidents", "i1", "--comment", "x", "--admin", admin.url)
    assert (code, err.splitlines()[1].partition("   ")[0]) == (9, "next: rollback-router incidents i1")
