"""`inputs`: the whole screen, and learning anew."""

from __future__ import annotations

import json

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

FOUND = {
    "state": "fail", "reason": "/amount is missing in 9.0% of 500 requests", "drifting": True, "action": "observe",
    "worst": None, "failing": [], "learned": 0, "unreadable": 0,
    "reference": {
        "version": "v1",
        "requests": 1000,
        "fields": {
            "/amount": {"kind": "number", "low": 0.5, "high": 99.5, "categories": 0, "usual_missing": 0.003, "judged": True},
            "/id": {"kind": "any", "low": None, "high": None, "categories": 0, "usual_missing": 0.003, "judged": False},
        },
    },
}  # fmt: skip
PATH = "/v1/services/default"


def test_what_is_known_and_what_has_drifted(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, {"inputs": FOUND})
    code, out, _ = command("inputs", "--service", "default", "--admin", admin.url)
    assert (code, out) == (
        0,
        golden("cli.inputs"),
    )


def test_where_nobody_looks(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", PATH, {"inputs": None})
    code, out, _ = command("inputs", "--service", "default", "--admin", admin.url)
    assert (code, out) == (0, golden("cli.no_inputs"))


def test_learning_anew(admin: FakeAdmin, command: Command) -> None:
    admin.answer("POST", f"{PATH}/inputs/relearn", {"service": "default", "message": "learned anew"})
    code, out, _ = command(
        "inputs", "--relearn", "-m", "a market", "--service", "default", "--json", "--admin", admin.url
    )
    assert (code, json.loads(out)["message"]) == (0, "learned anew")
