"""`check` by a router, and without one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from router.cli import check as checking
from router.control.store.case_format import exported
from router.rollout.cases.case import Case, Expectation, Request
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

PATH = "/v1/services/default"
GOOD = Case(Request("POST", "/good", body="1"), note="the usual")
BAD = Case(Request("POST", "/bad", {"x-a": "b"}, body="2"), by="rollback")


def result(case: Case, state: str, *problems: str) -> dict[str, Any]:
    return {"id": case.id, "state": state, "problems": list(problems), "status": 200, "first_byte_ms": 1.0}


def check_document(state: str, *results: dict[str, Any], **more: Any) -> dict[str, Any]:
    counts = {name: sum(one["state"] == which for one in results) for name, which in COUNTS.items()}
    return {"id": "7-1", "state": state, "total": 2, "done": len(results), **counts, "results": list(results), **more}


COUNTS = {"passed": "pass", "failed": "fail", "skipped": "skipped"}
PASSED = check_document("passed", result(GOOD, "pass"), result(BAD, "pass"))
FAILING = check_document("failing", result(GOOD, "pass"), result(BAD, "fail", "status 500, expected below 500"))


@pytest.fixture
def router(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> FakeAdmin:
    monkeypatch.setattr("router.runtime.clock.sleep_s", lambda _: None)
    summary = [{"id": case.id, "request": {"method": "POST", "target": case.request.target}} for case in (GOOD, BAD)]
    admin.answer("GET", f"{PATH}/cases", {"cases": [{**summary[0], "note": "the usual"}, summary[1]]})
    return admin.answer("POST", f"{PATH}/check", {"id": "7-1"}, 202)


def test_a_version_that_passes(router: FakeAdmin, command: Command) -> None:
    for document in (check_document("running"), check_document("running", result(GOOD, "pass")), PASSED):
        router.answer("GET", f"{PATH}/checks/7-1", document)
    assert command("check", "v3", "--admin", router.url) == (0, "2 of 2 cases pass, 0 fail\n", "")
    asked = [body for method, path, body in router.received if method == "POST"]
    assert [{name: value for name, value in body.items() if name != "actor"} for body in asked if body] == [
        {"version": "v3", "cases": [], "replay_all": False}
    ]


def test_a_version_that_fails_says_which_and_why(router: FakeAdmin, command: Command, tmp_path: Path) -> None:
    router.answer("GET", f"{PATH}/checks/7-1", FAILING)
    words = ("check", "v3", "--case", BAD.id, "--replay-all", "--junit", str(tmp_path / "r.xml"), "--admin", router.url)
    code, out, _ = command(*words)
    assert (code, out.splitlines()[-1]) == (1, "1 of 2 cases passes, 1 fails")
    assert f"{BAD.id}  POST /bad  fail    status 500, expected below 500" in out
    body = next(body for method, _, body in router.received if method == "POST")
    assert body is not None
    assert (body["cases"], body["replay_all"]) == ([BAD.id], True)
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()[0]
    assert (suite.attrib["name"], suite.attrib["tests"], suite.attrib["failures"]) == ("cases on v3", "2", "1")
    assert [case.attrib["name"] for case in suite] == [f"{GOOD.id} POST /good (the usual)", f"{BAD.id} POST /bad"]


@pytest.mark.parametrize(
    ("document", "code", "last"),
    [
        pytest.param(check_document("passed", total=0), 0, "there are no cases: nothing was checked", id="no cases"),
        pytest.param(check_document("broken", error="no disk"), 1, "0 of 2 cases pass, 0 fail", id="broken"),
        pytest.param(check_document("cancelled"), 1, "0 of 2 cases pass, 0 fail", id="cancelled"),
        pytest.param(check_document("passed", result(BAD, "skipped", "why")), 0,
                     "0 of 2 cases pass, 0 fail, 1 was not sent or proves nothing", id="skipped"),
    ],
)  # fmt: skip
def test_other_ends(router: FakeAdmin, command: Command, document: dict[str, Any], code: int, last: str) -> None:
    router.answer("GET", f"{PATH}/checks/7-1", document)
    found, out, _ = command("check", "v3", "--admin", router.url)
    assert (found, out.splitlines()[-1]) == (code, last)


def test_who_interrupts_cancels(router: FakeAdmin, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("router.runtime.clock.sleep_s", interrupt)
    router.answer("GET", f"{PATH}/checks/7-1", check_document("running")).answer("DELETE", f"{PATH}/checks/7-1", {})
    assert command("check", "v3", "--admin", router.url)[0] != 0
    assert router.received[-1][:2] == ("DELETE", f"{PATH}/checks/7-1")


def test_a_refusal_of_the_router(router: FakeAdmin, command: Command) -> None:
    router._script["POST", f"{PATH}/check"].clear()
    router.problem("POST", f"{PATH}/check", 404, "version_unknown", "service default has no version 'v9'")
    code, _, err = command("check", "v9", "--admin", router.url)
    assert (code, err.splitlines()[0]) == (9, golden("cli.no_such_version"))


@pytest.mark.parametrize(
    "words", [(), ("v3", "--url", "http://h:1"), ("--url", "http://h:1"), ("--cases", "f"), ("v3", "--cases", "f")]
)
def test_what_is_to_be_checked_has_to_be_clear(command: Command, words: tuple[str, ...]) -> None:
    code, _, err = command("check", *words)
    assert (code, err.splitlines()[0]) == (
        2,
        golden("cli.name_a_version"),
    )


# -- without a router
@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "cases.jsonl"
    path.write_bytes(exported([GOOD, BAD], "fraud"))
    return str(path)


@pytest.fixture
def model(admin: FakeAdmin) -> FakeAdmin:
    return admin.answer("POST", "/good", {"score": 0.5}).answer("POST", "/bad", {"error": "no"}, 500)


def test_a_url_is_sent_every_case_of_a_file(model: FakeAdmin, command: Command, file: str, tmp_path: Path) -> None:
    report = str(tmp_path / "r.xml")
    words = (
        "check",
        "--url",
        model.url,
        "--cases",
        file,
        "--json",
        "--junit",
        report,
        "-H",
        "Authorization: Bearer ci",
    )
    code, out, _ = command(*words)
    document = json.loads(out)
    assert (code, document["state"], document["passed"], document["failed"]) == (1, "failing", 1, 1)
    assert [one["problems"] for one in document["results"]] == [[], ["status 500, expected below 500"]]
    assert {fields["Authorization"] for fields in model.fields} == {"Bearer ci"}
    assert ElementTree.parse(report).getroot()[0].attrib["failures"] == "1"
    assert command("check", "--url", model.url, "--cases", file, "--case", GOOD.id) == (
        0,
        "1 of 1 case passes, 0 fail\n",
        "",
    )


def test_limits_on_the_command_line(model: FakeAdmin, command: Command, tmp_path: Path) -> None:
    recorded = Case(Request("POST", "/good", body="1"), Expectation(body='{"score": 0.9}'))
    (tmp_path / "c").write_bytes(exported([recorded], "fraud"))
    words = ("check", "--url", model.url, "--cases", str(tmp_path / "c"))
    assert command(*words)[0] == 0
    code, out, _ = command(*words, "--equal", "--latency-ms-max", "0.001")
    assert (code, "score: 0.5, recorded 0.9" in out, "and 0.001 are allowed" in out) == (1, True, True)


@pytest.mark.parametrize(
    ("words", "check_document"),
    [
        pytest.param(("--cases", "/nowhere"), "--cases /nowhere: No such file or directory", id="no file"),
        pytest.param(("--url", "h:1"), "--url 'h:1': write it as http://HOST:PORT", id="no URL"),
        pytest.param(("--url", "http://h:x"), "--url 'http://h:x': write it as", id="no port"),
        pytest.param(("-H", "nothing"), "--header 'nothing': write it as 'NAME: VALUE'", id="no header"),
        pytest.param(("--ca", "/nowhere"), "--ca /nowhere: ", id="no authority"),
        pytest.param(("--case", "0" * 12), f"has no case {'0' * 12}", id="no such case"),
    ],
)
def test_bad_words(model: FakeAdmin, command: Command, file: str, words: tuple[str, ...], check_document: str) -> None:
    usual = {"--url": model.url, "--cases": file, **dict([words])}
    code, _, err = command("check", *(word for pair in usual.items() for word in pair))
    assert (code, check_document in err) == (2, True), err
    assert [path for _, path, _ in model.received if path in ("/good", "/bad")] == []


def test_a_file_with_another_schema(model: FakeAdmin, command: Command, tmp_path: Path) -> None:
    (tmp_path / "c").write_text('{"schema":"x"}\n')
    code, _, err = command("check", "--url", model.url, "--cases", str(tmp_path / "c"))
    assert (code, golden("cli.no_cases_file") in err) == (2, True)


def test_a_candidate_is_waited_for_until_it_is_checked(admin: FakeAdmin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.runtime.clock.sleep_s", lambda _: None)
    client = checking.Client(admin.url)
    running = {"pending": True, "check": {"state": "running", "done": 1, "total": 2}}
    shown = {"pending": False, "failing": [], "check": {"state": "passed"}}
    for told_ in ({"pending": True, "check": None}, running, shown):
        admin.answer("GET", PATH, {"candidate": "v3", "cases": told_})
    assert checking.until_checked(client, PATH, "v3", quiet=True) == shown
    for gone in (
        {"candidate": "v4", "cases": running},
        {"candidate": "v3", "cases": {"pending": True, "check": {"state": "broken"}}},
    ):
        admin._script["GET", PATH].clear()
        admin.answer("GET", PATH, gone)
        assert checking.until_checked(client, PATH, "v3", quiet=True) == gone["cases"]
    admin._script["GET", PATH].clear()
    admin.answer("GET", PATH, {"candidate": "v3"})
    assert checking.until_checked(client, PATH, "v3", quiet=True) == {}


def test_on_a_terminal_a_bar_shows_how_far_it_is(
    router: FakeAdmin, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)
    monkeypatch.setattr(checking.output, "console", lambda *, stderr=False: terminal)
    for document in (check_document("running", result(GOOD, "pass")), PASSED):
        router.answer("GET", f"{PATH}/checks/7-1", document)
    assert command("check", "v3", "--admin", router.url)[0] == 0
    assert "cases" in terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "2 of 2 cases pass" in terminal.file.getvalue()  # type: ignore[attr-defined]
