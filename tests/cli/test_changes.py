"""Every changing verb: what it asks, what it says, how it ends."""

from __future__ import annotations

import getpass
import json
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, service, status, target
from tests.texts import golden

ME = getpass.getuser()
PATH = "/v1/services/default"


def result(**more: Any) -> dict[str, Any]:
    return {
        "service": "default",
        "generation": 16777219,
        "active": "green",
        "standby": "blue",
        "candidate": None,
        "changed": True,
        "confirmed": True,
        "workers_unconfirmed": [],
        "swap_us": 12.4,
        "confirmed_ms": 1.31,
        "journalled": True,
        "incident": None,
        "message": "green is active, blue stands by",
        **more,
    }


VERBS = [
    pytest.param(("promote", "green"), "POST", f"{PATH}/promote", {"version": "green", "reason": ""}, id="promote"),
    pytest.param(
        ("promote", "green", "-m", "tested", "--override", "my risk", "--from", "blue"),
        "POST",
        f"{PATH}/promote",
        {"version": "green", "reason": "tested", "from": "blue", "override": {"actor": ME, "reason": "my risk"}},
        id="promote with everything",
    ),
    pytest.param(("rollback", "--reason", "slow"), "POST", f"{PATH}/rollback", {"reason": "slow"}, id="rollback"),
    pytest.param(("switch", "blue"), "POST", f"{PATH}/switch", {"to": "blue", "reason": ""}, id="switch"),
    pytest.param(("retire", "blue", "--cut"), "POST", f"{PATH}/retire", {"version": "blue", "cut": True}, id="retire"),
    pytest.param(("freeze", "-m", "night"), "POST", f"{PATH}/freeze", {"reason": "night"}, id="freeze"),
    pytest.param(("unfreeze",), "POST", f"{PATH}/unfreeze", {"reason": ""}, id="unfreeze"),
    pytest.param(
        ("endpoints", "a/b", "http://h:1", "http://h:2"),
        "PUT",
        f"{PATH}/versions/a%2Fb/endpoints",
        {"endpoints": ["http://h:1", "http://h:2"]},
        id="endpoints of a label with a slash",
    ),
    pytest.param(
        ("switch", "blue", "--override", "my risk", "--override-for", "90m"),
        "POST",
        f"{PATH}/switch",
        {
            "to": "blue",
            "reason": "",
            "override": {"actor": ME, "reason": "my risk", "expires_after_s": 5400.0},
        },
        id="switch for a while",
    ),
]


@pytest.mark.parametrize(("words", "method", "path", "body"), VERBS)
def test_asks_in_the_name_of_the_user(
    admin: FakeAdmin, command: Command, words: tuple[str, ...], method: str, path: str, body: dict[str, Any]
) -> None:
    admin.answer(method, path, result())
    assert command(*words, "--admin", admin.url) == (
        0,
        golden("cli.switched"),
        "",
    )
    assert admin.received[-1] == (method, path, {"actor": ME, **body})
    assert admin.fields[-1]["Content-Type"] == "application/json"


def test_already_so_is_a_success(admin: FakeAdmin, command: Command) -> None:
    admin.answer("POST", f"{PATH}/promote", result(changed=False, message="green is active already"))
    assert command("promote", "green", "--admin", admin.url) == (0, "green is active already\n", "")


def test_a_change_without_a_new_route_has_no_swap_to_tell(admin: FakeAdmin, command: Command) -> None:
    admin.answer("POST", f"{PATH}/freeze", result(swap_us=0, confirmed_ms=0.0, message="frozen"))
    assert command("freeze", "--admin", admin.url) == (0, "frozen\n", "")


def test_not_confirmed_is_exit_1_and_names_the_workers(admin: FakeAdmin, command: Command) -> None:
    admin.answer(
        "POST", f"{PATH}/rollback", result(confirmed=False, workers_unconfirmed=[1, 3], journalled=False, incident="i7")
    )
    assert command("rollback", "--admin", admin.url) == (
        1,
        golden("cli.switched_unconfirmed"),
        "",
    )


def test_dry_run_generation_and_token_reach_the_router(admin: FakeAdmin, command: Command) -> None:
    path = f"{PATH}/switch?dry_run=true"
    admin.answer("POST", path, result(changed=False, confirmed=False, message="would switch"))
    words = ("switch", "blue", "--dry-run", "--if-generation", "5", "--token", "s3cret", "--admin", admin.url)
    assert command(*words) == (0, "would switch\n", "")
    assert admin.received[-1][:2] == ("POST", path)
    assert (admin.fields[-1]["If-Match"], admin.fields[-1]["Authorization"]) == ('"5"', "Bearer s3cret")


def test_json_prints_the_answer_itself(admin: FakeAdmin, command: Command) -> None:
    admin.answer("POST", f"{PATH}/promote", result())
    code, out, _ = command("promote", "green", "--json", "--admin", admin.url)
    assert (code, json.loads(out)) == (0, result())


def test_the_next_command_for_a_retired_version_in_quarantine(admin: FakeAdmin, command: Command) -> None:
    facts = {"state": "retired", "quarantined": True}
    admin.problem("POST", f"{PATH}/promote", 409, "version_not_ready", "version green is retired", **facts)
    _, _, error = command("promote", "green", "--override", "fixed", "--admin", admin.url)
    assert error.splitlines()[1].startswith("next: rollback-router deploy green URL --override WHY")


@pytest.mark.parametrize("code", ["version_quarantined", "mlflow_unreachable", "not_mlflow", "model_unknown"])
def test_the_next_command_for_a_version_that_mlflow_holds_back(admin: FakeAdmin, command: Command, code: str) -> None:
    """A release here would change nothing there, and another label is no way to promote this version."""
    admin.problem("POST", f"{PATH}/promote", 409, code, "so says MLflow", held_by="mlflow")
    _, _, error = command("promote", "green", "--admin", admin.url)
    said = f"next: the same again: rollback-router promote green --admin {admin.url} --override WHY   (without MLflow"
    assert error.splitlines()[1].startswith(said)


REFUSALS = [
    pytest.param(
        409,
        "version_quarantined",
        9,
        "rollback-router release green -m WHY, or the same again: rollback-router {typed} --override WHY",
    ),
    pytest.param(
        409,
        "endpoints_differ",
        7,
        "rollback-router endpoints green URL   (the same version moved), or choose a new label",
    ),
    pytest.param(412, "generation_stale", 9, "rollback-router status   (it shows the present generation)"),
    pytest.param(404, "version_unknown", 9, "rollback-router versions"),
    pytest.param(400, "version_invalid", 2, None),
    pytest.param(403, "role_too_low", 9, None),
    pytest.param(503, "journal_unavailable", 9, "rollback-router doctor   (disk full? state directory read-only?)"),
    pytest.param(500, "internal", 10, None),
]


@pytest.mark.parametrize(("http_status", "code", "exit_code", "advice"), REFUSALS, ids=lambda value: str(value)[:20])
def test_a_refusal_says_why_and_what_to_type(
    admin: FakeAdmin, command: Command, http_status: int, code: str, exit_code: int, advice: str | None
) -> None:
    admin.problem("POST", f"{PATH}/promote", http_status, code, "because of this", generation=9)
    words = ["promote", "green", "--admin", admin.url]
    said = advice and advice.format(typed=" ".join(words))
    text = "rollback-router: because of this\n" + (f"next: {said}\n" if said else "")
    assert command(*words) == (exit_code, "", text)
    words.append("--json")
    ended, out, err = command(*words)
    advice = advice and advice.format(typed=" ".join(words))
    assert (ended, err.splitlines()[1:]) == (exit_code, [f"next: {advice}"] if advice else [])
    assert json.loads(out) == {
        "status": http_status, "code": code, "detail": "because of this", "generation": 9, "exit_code": exit_code, "next": advice,
    }  # fmt: skip


def test_a_change_in_doubt_is_no_refusal(admin: FakeAdmin, command: Command) -> None:
    admin.problem("POST", f"{PATH}/promote", 503, "journal_unavailable", "change 7 is in doubt", in_doubt=True, seq=7)
    advice = "rollback-router status   (shows whether it is still in doubt), then decide again"
    text = f"rollback-router: change 7 is in doubt\nnext: {advice}\n"
    assert command("promote", "green", "--admin", admin.url) == (1, "", text)
    ended, out, _ = command("promote", "green", "--json", "--admin", admin.url)
    problem = json.loads(out)
    assert (ended, problem["in_doubt"], problem["seq"], problem["exit_code"], problem["next"]) == (
        1,
        True,
        7,
        1,
        advice,
    )


def test_several_services_must_be_named(command: Command) -> None:
    with FakeAdmin().answer("GET", "/v1/status", status(service("a"), service("b"))) as admin:
        assert command("rollback", "--admin", admin.url) == (
            2,
            "",
            golden("cli.name_a_service", url=admin.url),
        )
        admin.answer("POST", "/v1/services/b/rollback", result())
        assert command("rollback", "--service", "b", "--admin", admin.url)[0] == 0


class TestDeploy:
    BODY = {"actor": ME, "version": "v3", "endpoints": ["http://h:1"], "replace": False}

    def accepted(self, admin: FakeAdmin) -> FakeAdmin:
        return admin.answer("POST", f"{PATH}/deploy", {"state": "verifying", "version": "v3"}, 202)

    def test_waits_until_ready(self, admin: FakeAdmin, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("router.runtime.clock.sleep_s", lambda _: None)
        bad = {
            "url": "http://h:1",
            "ready": False,
            "last_probe": {"ok": False, "detail": "status 503", "ms": 1, "age_s": 0},
        }
        self.accepted(admin)
        for good, state in ((0, "verifying"), (0, "verifying"), (5, "ready")):
            v3 = target("v3", "candidate", state, good_probes=good, endpoints=[bad] if not good else [])
            admin.answer("GET", PATH, service(targets=[v3]))
        assert command("deploy", "v3", "http://h:1", "--admin", admin.url) == (
            0,
            "v3 is ready: rollback-router promote v3\n",
            golden("cli.waiting_for_probes"),
        )
        assert admin.received[1] == ("POST", f"{PATH}/deploy", self.BODY)

    @pytest.mark.parametrize(
        ("cases", "code", "problem"),
        [
            pytest.param({"count": 0, "failing": [], "check": None}, 0, "v3 is ready: ", id="no cases"),
            pytest.param({"failing": [], "check": {"state": "passed", "passed": 4, "total": 4}}, 0,
                         "v3 is ready, 4 of 4 cases pass: ", id="passed"),
            pytest.param({"failing": ["c1", "c2"], "check": {"state": "failing", "failed": 2}}, 1,
                         "v3 is ready, but 2 cases fail on it: c1, c2", id="failing"),
            pytest.param({"failing": [], "pending": True, "check": {"state": "broken", "error": "no disk"}}, 1,
                         "v3 is ready, but its cases could not be checked: no disk", id="broken"),
            pytest.param({"on_promote": "report", "failing": ["c1"], "check": {"state": "failing", "passed": 1, "total": 2}}, 0,
                         "v3 is ready, 1 of 2 cases passes: ", id="told only"),
        ],
    )  # fmt: skip
    def test_cases_count(
        self, admin: FakeAdmin, command: Command, cases: dict[str, Any], code: int, problem: str
    ) -> None:
        cases = {"pending": False, "on_promote": "require", **cases}
        ready = service(targets=[target("v3", "candidate", "ready")], candidate="v3", cases=cases)
        self.accepted(admin).answer("GET", PATH, ready)
        found, out, err = command("deploy", "v3", "http://h:1", "--admin", admin.url)
        assert (found, problem in out + err) == (code, True), out + err

    def test_failed_is_exit_1(self, admin: FakeAdmin, command: Command) -> None:
        self.accepted(admin).answer("GET", PATH, service())
        history = [{"at": "…", "event": "failed", "reason": "refused for 900 s"}]
        record = {
            "service": "default",
            "version": "v3",
            "state": "failed",
            "endpoints": ["http://h:1"],
            "history": history,
        }
        admin.answer("GET", "/v1/versions", {"versions": [record]})
        assert command("deploy", "v3", "http://h:1", "--admin", admin.url) == (
            1,
            "",
            golden("cli.not_ready"),
        )

    def test_no_wait_returns_at_once(self, admin: FakeAdmin, command: Command) -> None:
        self.accepted(admin)
        words = ("deploy", "v3", "http://h:1", "--replace", "--no-wait", "--admin", admin.url)
        assert command(*words) == (0, "v3: verifying\n", "")
        assert admin.received[-1][2] == {**self.BODY, "replace": True}

    def test_a_registered_model_is_waited_for_by_its_label(self, admin: FakeAdmin, command: Command) -> None:
        admin.answer("POST", f"{PATH}/deploy", {"service": "default", "version": "fraud-v3", "state": "verifying"}, 202)
        admin.answer("GET", PATH, service(targets=[target("fraud-v3", "candidate", "ready")]))
        words = ("deploy", "models:/fraud@champion", "--artifact", "s3://m/3", "--admin", admin.url)
        assert command(*words) == (0, "fraud-v3 is ready: rollback-router promote fraud-v3\n", "")
        asked = {"actor": ME, "version": "models:/fraud@champion", "replace": False, "artifact": "s3://m/3"}
        assert [body for method, _, body in admin.received if method == "POST"] == [asked]

    def test_a_registered_model_is_shown_with_its_label(self, admin: FakeAdmin, command: Command) -> None:
        label, source = "Fraud-Model-v3+0bf0209d1b", "models:/Fraud Model/3"
        document = {"service": "default", "version": label, "source": source, "state": "verifying"}
        admin.answer("POST", f"{PATH}/deploy", document, 202)
        admin.answer("GET", PATH, service(targets=[target(label, "candidate", "ready")]))
        code, out, error = command("deploy", "models:/Fraud Model@champion", "--admin", admin.url)
        assert (code, out) == (0, f"{label} is ready: rollback-router promote {label}\n")
        assert error == golden("cli.label_of_a_model", source=source, label=label)


def test_an_override_for_a_while_needs_an_override(admin: FakeAdmin, command: Command) -> None:
    code, _, error = command("switch", "blue", "--override-for", "2h", "--admin", admin.url)
    assert (code, error) == (2, "rollback-router: --override-for needs --override REASON\n")
    assert [method for method, _, _ in admin.received if method != "GET"] == []
