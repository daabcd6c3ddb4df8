from __future__ import annotations

import json
from typing import Any

from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin
from tests.texts import golden

REQUEST_PATH = "/v1/services/default/advise?days=30&false_alarms_per_month=1"
ALARM = {
    "at_ms": 1_763_900_000_000, "until_ms": 1_763_900_600_000, "version": "v1", "value": 0.1, "limit": 0.02, "samples": 60,
    "reason": "6 faults in 60 requests (10.0%)",
}  # fmt: skip


def trial(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "settings": {}, "alarms": 1, "caught": [0], "leads_s": [12.0], "false": 0, "false_per_month": 0.0,
        "false_per_month_between": [0.0, 6.42], "seconds": 1.2e6, "exhausted_ms": None, "false_alarms": [], **more,
    }  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    strict = trial(
        "twice as strict", settings={"rate_floor": 0.01}, alarms=8, leads_s=[700.0], false=7, false_per_month=15.1,
        false_per_month_between=[7.1, 28.4], false_alarms=[ALARM] * 7, exhausted_ms=1,
    )  # fmt: skip
    return {
        "service": "default", "since": "2026-10-24T00:00:00.000Z", "until": "2026-11-23T00:00:00.000Z", "days": 14.0,
        "rows": 120_960, "rollbacks": [{"at_s": 1_763_900_700.0, "left": "v1", "by": "error_rate"}],
        "kinds": {
            "error_rate": {
                "action": "observe", "proposed": "twice as strict", "why": "1 instead of 1 rollback detected",
                "trials": [trial("as it is"), strict],
            }
        },
        "settings": "[services.default.rules.error_rate]\nrate_floor = 0.01\n",
        "observed": [{"trigger": "error_rate", "version": "v1", "at_ms": 1_763_900_000_000, "until_ms": 1_763_900_060_000}],
        "notes": ["False means: no rollback followed."], "took_s": 7.5, **more,
    }  # fmt: skip


def test_advice_as_people_read_it(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", REQUEST_PATH, document())
    false = "  false alarm 2025-11-23T12:13:20.000Z v1: 6 faults in 60 requests (10.0%)\n"
    assert command("advise", "--admin", admin.url) == (
        0,
        golden("cli.advise", false_windows=false * 5),
        "",
    )


def test_advice_for_programs_and_for_one_service(admin: FakeAdmin, command: Command) -> None:
    path = "/v1/services/fraud/advise?days=7.5&false_alarms_per_month=0.2"
    admin.answer("GET", path, document(service="fraud"))
    words = ("advise", "fraud", "--since", "180h", "--false-alarms-per-month", "0.2", "--json", "--admin", admin.url)
    code, out, _ = command(*words)
    assert (code, json.loads(out)) == (0, document(service="fraud"))
    assert [path for _, path, _ in admin.received] == [path]


def test_nothing_to_change_is_said(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", REQUEST_PATH, document(settings="", observed=[], kinds={}, rollbacks=[]))
    code, out, _ = command("advise", "--admin", admin.url)
    assert (code, out.splitlines()[-2:]) == (0, ["nothing to change", golden("cli.false_means")])
