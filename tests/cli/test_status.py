"""What people read. Whole screens, so a change of a table shows here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.cli import status as status_command
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, service, status, target
from tests.texts import golden


def test_status(admin: FakeAdmin, command: Command) -> None:
    assert command("status", "--admin", admin.url) == (
        0,
        golden("cli.status"),
        "",
    )


def test_status_says_what_is_wrong(command: Command) -> None:
    bad = service(
        state="no_active",
        standby=None,
        way_back=False,
        no_way_back="blue is quarantined",
        frozen={"actor": "ann", "at": "12:00", "reason": ""},
        targets=[target("green", "active", "active", ready=False, windows={"10s": None, "60s": None})],
        verdict={
            "state": "fail",
            "triggers": [{"kind": "error_rate", "detail": "", "state": "fail", "reason": "9 of 10"}],
        },
        acceptance={"accepted": True, "requests": 0, "requests_needed": 0, "seconds": 0, "seconds_needed": 0},
        last_switch={
            "at": "11:59",
            "from": "blue",
            "to": "green",
            "cause": "operator",
            "actor": "ann",
            "reason": "",
            "generation": 2,
        },
    )
    alarms = [
        {"code": "no_better_target", "detail": "holding", "since": "12:00", "service": "default"},
        {"code": "journal_unavailable", "detail": "disk full", "since": "12:00", "service": None},
    ]
    with FakeAdmin().answer("GET", "/v1/status", status(bad, alarms=alarms)) as admin:
        assert command("status", "--admin", admin.url)[1] == (golden("cli.status_alarms"))


@pytest.mark.parametrize(
    ("level", "begins"),
    [("ok", "Serving"), ("look", "Serving"), ("warn", "NEEDS AN OPERATOR: Serving"), ("act", "FAILING NOW: Serving")],
)
def test_status_begins_with_the_state_in_words(command: Command, level: str, begins: str) -> None:
    headline = {"level": level, "line": "Serving green, no way back", "lead": "There is no standby."}
    with FakeAdmin().answer("GET", "/v1/status", status(service(headline=headline))) as admin:
        lines = command("status", "--admin", admin.url)[1].splitlines()
    assert lines[2] == f"{begins}{headline['line'].removeprefix('Serving')}. {headline['lead']}"
    assert lines[3].startswith("service default: ")


WORK: list[dict[str, Any]] = [
    {
        "bucket": "POST /v1/completions", "inference": True, "asked": 24, "useful": 2, "without_use": {"fault": 3, "empty": 1},
        "in_progress": 0, "waiting": 18, "overdue": 9, "oldest_wait_s": 31.0, "last_useful_s": 42.0, "limit_s": 10.0,
        "median_s": 0.5,
    },
    {
        "bucket": "GET /v1/models", "inference": False, "asked": 7, "useful": 7, "without_use": {}, "in_progress": 0,
        "waiting": 0, "overdue": 0, "oldest_wait_s": None, "last_useful_s": 0.2, "limit_s": None, "median_s": None,
    },
]  # fmt: skip
PROGRESS = {
    "nothing_useful": True, "wanting": True, "since_s": 42.0, "limit_s": 10.0, "waiting": 18, "useful": 2, "asked": 24,
}  # fmt: skip


def test_status_shows_the_work_of_the_active_version_and_that_nothing_is_useful(command: Command) -> None:
    shown = service(targets=[target("green", "active", "active", work=WORK)], progress=PROGRESS)
    with FakeAdmin().answer("GET", "/v1/status", status(shown)) as admin:
        out = command("status", "--admin", admin.url)[1]
    assert golden("cli.status_work") in out
    shown["progress"] = {**PROGRESS, "nothing_useful": False}
    with FakeAdmin().answer("GET", "/v1/status", status(shown)) as admin:
        out = command("status", "--admin", admin.url)[1]
    assert golden("cli.status_work") not in out


def test_status_says_that_a_drill_is_under_way_and_what_stands_against_acceptance(command: Command) -> None:
    unmet = {"name": "fault_share", "state": "not_met", "reason": "1.20%, limit 0.50%"}
    probation = {"accepted": False, "requests": 9, "requests_needed": 500, "seconds": 9, "seconds_needed": 600}
    shown = service(drill={"under_way": "default-drill-3"}, acceptance={**probation, "criteria": [unmet]})
    with FakeAdmin().answer("GET", "/v1/status", status(shown)) as admin:
        out = command("status", "--admin", admin.url)[1]
    assert golden("cli.drill_alarm") in out
    assert golden("cli.probation") in out


def test_status_names_the_newest_open_incidents(command: Command) -> None:
    left_open = service(incidents_open=["i5", "i4", "i3", "i2", "i1"])
    with FakeAdmin().answer("GET", "/v1/status", status(left_open)) as admin:
        said = command("status", "--admin", admin.url)[1].splitlines()
    assert golden("cli.open_incidents") in said


def test_watch_goes_on_until_ctrl_c(admin: FakeAdmin, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("router.runtime.clock.sleep_s", sleep)
    code, out, _ = command("status", "-w", "--json", "--admin", admin.url)
    assert (code, [json.loads(line) for line in out.splitlines()], slept) == (0, [status()] * 3, [1.0] * 3)


def test_explain(admin: FakeAdmin, command: Command) -> None:
    triggers = [
        {
            "kind": "hard_failure", "detail": "errors", "state": "pass", "failing": False, "action": "rollback", "value": 0.0,
            "limit": 0.9, "baseline": None, "samples": 40, "reason": "0 of 40", "distance": "10 faults more",
        },
        {
            "kind": "latency", "detail": "", "state": "not_configured", "failing": False, "action": "rollback", "value": None,
            "limit": None, "baseline": None, "samples": 0, "reason": "no slo_ms", "distance": "",
        },
    ]  # fmt: skip
    document = {
        "summary": "green is well",
        "triggers": triggers,
        "gate": {"would_pass": False, "reasons": ["2 of 3 probes"]},
        "validated": {"request": {"ok": 10, "schema": 2}, "response": {"ok": 8}},
        "inputs": {"drifting": True, "state": "fail", "reason": "/amount is missing in 9.0% of 500 requests"},
        "acceptance": [
            {"name": "requests", "state": "not_met", "reason": "9 of 500"},
            {"name": "cases", "state": "not_configured", "reason": "off"},
        ],
    }
    admin.answer("GET", "/v1/services/default/explain", document)
    assert command("explain", "--admin", admin.url)[1] == (golden("cli.judge"))


def test_journal(admin: FakeAdmin, command: Command) -> None:
    entry = {
        "seq": 8,
        "at": "12:00",
        "service": "default",
        "type": "promoted",
        "actor": "ann",
        "data": {"to": "green", "n": 1},
    }
    admin.answer("GET", "/v1/journal?after=7&limit=5&service=default", {"entries": [entry]})
    assert command("journal", "--after", "7", "--limit", "5", "--service", "default", "--admin", admin.url)[1] == (
        golden("cli.journal")
    )


@pytest.mark.parametrize("verb", ["status", "explain", "versions", "journal"])
def test_json_is_the_document_itself(admin: FakeAdmin, command: Command, verb: str) -> None:
    document = {"anything": [1, None, "é"]}
    paths = {
        "explain": "/v1/services/default/explain",
        "journal": "/v1/journal?after=0&limit=100",
    }
    path = paths.get(verb, f"/v1/{verb}")
    expected = status() if verb == "status" else document
    if verb != "status":
        admin.answer("GET", path, document)
    code, out, _ = command(verb, "--json", "--admin", admin.url)
    assert (code, json.loads(out)) == (0, expected)


def test_a_full_terminal_gets_colour_and_no_color_takes_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from router.cli import output

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    for no_color, coloured in ((None, True), ("1", False)):
        monkeypatch.delenv("NO_COLOR", raising=False) if no_color is None else monkeypatch.setenv("NO_COLOR", no_color)
        monkeypatch.setattr("sys.stdout", terminal := Terminal())
        output.show(output.table(("state",), [("fail",)]))
        assert ("\x1b[1;31m" in terminal.getvalue()) is coloured


@pytest.mark.parametrize(
    ("cases", "candidate", "line"),
    [
        pytest.param({"count": 0}, "v3", None, id="no cases"),
        pytest.param({}, None, "cases: 12", id="no candidate"),
        pytest.param({"pending": True}, "v3", "cases: 0 of 12 checked on v3", id="pending"),
        pytest.param({"pending": True, "check": {"done": 5}}, "v3", "cases: 5 of 12 checked on v3", id="running"),
        pytest.param({"failing": ["a", "b"]}, "v3", "cases: 12, of which v3 fails 2", id="failing"),
        pytest.param({}, "v3", "cases: 12, v3 fails none", id="passed"),
        pytest.param({"on_promote": "off"}, "v3", "cases: 12", id="off"),
    ],
)
def test_status_says_what_the_candidate_has_shown(
    admin: FakeAdmin, command: Command, cases: dict[str, Any], candidate: str | None, line: str | None
) -> None:
    told = {"count": 12, "failing": [], "pending": False, "on_promote": "require", "check": None, **cases}
    admin._script["GET", "/v1/status"].clear()
    admin.answer("GET", "/v1/status", status(service(cases=told, candidate=candidate)))
    code, out, _ = command("status", "--admin", admin.url)
    assert (code, [found for found in out.splitlines() if found.startswith("cases:")]) == (0, [line] if line else [])


def test_ejected_replicas_are_named() -> None:
    replicas = [{"name": f"http://m{number}:80", "ejected_for_s": 4.5 if number == 2 else None} for number in range(4)]
    line = status_command._ejected({"version": "v1", "replicas": replicas})
    assert line == "v1: 1 of 4 replicas ejected: http://m2:80 for 4.5 s more"
    assert status_command._ejected({"version": "v1", "replicas": replicas[:2]}) == ""
