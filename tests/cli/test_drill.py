from __future__ import annotations

import json
from typing import Any

import pytest

from router.cli import drill as drill_command
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

PATH = "/v1/services/default/drill"
ONE = "/v1/drills/default-drill-3"
SWAP = {"home": False, "generation": 5, "at": "then", "swap_us": 41, "confirmed_ms": 2.13, "workers_unconfirmed": []}
FIGURES = {"requests": 120, "fault_share": 0.0, "p50_ms": 5.0, "p99_ms": 9.1}


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drill_command.clock, "sleep_s", lambda seconds: None)


def document(result: str | None, phase: str = "over", **more: Any) -> dict[str, Any]:
    return {
        "drill": "default-drill-3", "service": "default", "mode": "real", "by": "operator", "actor": "ann", "reason": "",
        "from": "v1", "to": "v2", "hold_s": 10.0, "phase": phase, "result": result, "reasons": [],
        "started_at": "2026-11-24T09:00:00.000Z", "ended_at": None, "swaps": [SWAP], "away_s": 10.4,
        "before": FIGURES, "during": FIGURES, "clients": {"ok": 104}, **more,
    }  # fmt: skip


def test_it_waits_until_the_drill_is_over(command: Command, admin: FakeAdmin) -> None:
    admin.answer("POST", PATH, document(None, "away"), 202)
    admin.answer("GET", ONE, document(None, "home")).answer(
        "GET", ONE, document("passed", swaps=[SWAP, {**SWAP, "home": True, "generation": 6}])
    )
    code, out, err = command("drill", "--hold", "10", "-m", "Tuesday", "--admin", admin.url)
    assert err == (golden("cli.drill_swapped"))
    assert out.splitlines() == [
        "default-drill-3 passed",
        golden("cli.drill_there"),
        golden("cli.drill_home"),
        "        requests  faults  p50   p99",
        "before  120       0.00 %  5 ms  9.1 ms",
        "during  120       0.00 %  5 ms  9.1 ms",
        "clients saw: 104 ok",
    ]
    assert code == 0
    body = next(body for method, _, body in admin.received if method == "POST")
    assert body is not None
    assert {name: body[name] for name in body if name != "actor"} == {
        "shadow": False,
        "force": False,
        "reason": "Tuesday",
        "hold_s": 10.0,
    }


@pytest.mark.parametrize(
    ("words", "result", "code"),
    [
        pytest.param((), "aborted", 1, id="aborted"),
        pytest.param((), "stayed", 1, id="stayed"),
        pytest.param((), "stopped", 1, id="stopped by another"),
        pytest.param(("--stop",), "stopped", 0, id="stopped as asked"),
    ],
)
def test_how_it_ends(command: Command, admin: FakeAdmin, words: tuple[str, ...], result: str, code: int) -> None:
    path = f"{PATH}/stop" if words else PATH
    admin.answer("POST", path, document(None, "away"), 202).answer("GET", ONE, document(result, reasons=["because"]))
    found, out, _ = command("drill", "default", *words, "--admin", admin.url)
    assert (found, out.splitlines()[0]) == (code, f"default-drill-3 {result}: because")


def test_a_shadow_is_over_when_it_is_answered(command: Command, admin: FakeAdmin) -> None:
    figures = {"probe_ms": 3.2, "gate_us": 20, "encode_us": 4, "journal_ms": 1.5}
    admin.answer("POST", PATH, document("passed", mode="shadow", swaps=[], during=None, clients=None, **figures), 202)
    code, out, err = command("drill", "--shadow", "--admin", admin.url)
    assert (code, err) == (0, "")
    assert golden("cli.drill_shadow") in out


def test_a_refusal_ends_with_nine(command: Command, admin: FakeAdmin) -> None:
    admin.problem("POST", PATH, 409, "drill_unsafe", "no drill of default now: v2 is cold")
    code, out, err = command("drill", "--admin", admin.url)
    assert (code, out) == (9, "")
    assert golden("cli.drill_refused") in err
    assert err.splitlines()[1].startswith("next: remove the causes above, then: rollback-router drill --dry-run")


def test_a_dry_run(command: Command, admin: FakeAdmin) -> None:
    admin.answer("POST", f"{PATH}?dry_run=true", {"message": "a drill would be safe now"}, 202)
    assert command("drill", "--dry-run", "--admin", admin.url)[:2] == (0, "a drill would be safe now\n")


def test_what_excludes_each_other(command: Command, admin: FakeAdmin) -> None:
    assert command("drill", "--stop", "--list", "--admin", admin.url)[0] == 2


def test_it_does_not_wait_for_ever(command: Command, admin: FakeAdmin) -> None:
    admin.answer("POST", PATH, document(None, "away"), 202).answer("GET", ONE, document(None, "away"))
    code, _, err = command("drill", "--admin", admin.url)
    assert code == 1
    assert "default-drill-3 is still away" in err


def listing() -> dict[str, Any]:
    standing = {"last_passed_at": None, "overdue": True, "next_at": "2026-12-01T09:00:00.000Z"}
    return {"drills": [document("passed")], "services": {"default": standing}}


def test_the_list(command: Command, admin: FakeAdmin) -> None:
    admin.answer("GET", "/v1/drills", listing())
    code, out, _ = command("drill", "--list", "--admin", admin.url)
    assert code == 0
    assert out.splitlines() == [
        golden("cli.drill_overdue"),
        golden("cli.drills_header"),
        "default-drill-3  2026-11-24T09:00:00.000Z  real  ann  v1    v2  10.4 s  passed  –",
    ]
    admin.answer("GET", "/v1/drills?service=default", listing())
    assert json.loads(command("drill", "default", "--list", "--json", "--admin", admin.url)[1]) == listing()
