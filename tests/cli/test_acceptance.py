from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

PATH = "/v1/services/default/acceptance"


def document(**more: Any) -> dict[str, Any]:
    shared = {"value": 0.012, "limit": 0.005, "samples": 500, "origin": "default-1-4", "reason": "1.20%, limit 0.50%"}
    added = {
        "metric": "fault_share",
        "limit": 0.005,
        "origin": "default-1-4",
        "actor": "control",
        "reason": "v2 failed",
    }
    return {
        "service": "default", "active": "v3", "accepted": False, "settings": {"quality_alerts": 0.0},
        "needed": {"requests": 500, "seconds": 600.0, "cases": "required"},
        "criteria": [{"name": "fault_share", "state": "not_met", **shared}],
        "added": [{**added, "at": "2026-11-23T09:00:00.000Z"}], **more,
    }  # fmt: skip


def test_how_the_active_version_stands(command: Command, admin: FakeAdmin) -> None:
    admin.answer("GET", PATH, document())
    code, out, _ = command("acceptance", "--admin", admin.url)
    assert code == 0
    assert out.splitlines() == [
        golden("cli.on_probation"),
        golden("cli.criteria_header"),
        "fault_share  not_met  0.012  0.005  500      default-1-4  1.20%, limit 0.50%",
        golden("cli.criteria_of_settings"),
        golden("cli.criteria_added_header"),
        "fault_share  0.005  default-1-4  2026-11-23T09:00:00.000Z  v2 failed",
    ]
    assert json.loads(command("acceptance", "--json", "--admin", admin.url)[1]) == document()


def test_set_and_remove(command: Command, admin: FakeAdmin) -> None:
    admin.answer("PUT", PATH, document(changed=True))
    admin.answer("DELETE", f"{PATH}/fault_share?dry_run=true", document(changed=True, dry_run=True))
    assert command("acceptance", "--set", "fault_share=0.005", "-m", "seen before", "--admin", admin.url)[0] == 0
    code, out, _ = command("acceptance", "--remove", "fault_share", "-m", "no", "--dry-run", "--admin", admin.url)
    assert (code, out.splitlines()[0]) == (0, golden("cli.dry_run"))
    bodies = [body for method, _, body in admin.received if method != "GET" and body is not None]
    assert [{name: body[name] for name in body if name != "actor"} for body in bodies] == [
        {"metric": "fault_share", "limit": 0.005, "reason": "seen before"},
        {"reason": "no"},
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(("--set", "fault_share=0.005"), "a reason is needed", id="no reason"),
        pytest.param(("--set", "fault_share", "-m", "x"), "METRIC=LIMIT", id="no limit"),
        pytest.param(("--set", "a=1", "--remove", "a", "-m", "x"), "exclude each other", id="both"),
    ],
)
def test_usage(command: Command, admin: FakeAdmin, words: tuple[str, ...], says: str) -> None:
    code, _, err = command("acceptance", *words, "--admin", admin.url)
    assert code == 2
    assert says in err
