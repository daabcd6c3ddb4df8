from __future__ import annotations

import json
from typing import Any

import pytest

from router.cli import output
from router.cli.report import _percent
from tests.cli.conftest import Command
from tests.cli.fake_admin import FakeAdmin, service, status
from tests.texts import golden

REQUEST_PATH = "/v1/services/default/report?since=30d"


def document(**more: Any) -> dict[str, Any]:
    return {
        "service": "default", "since": "2026-10-24T00:00:00.000Z", "until": "2026-11-23T00:00:00.000Z",
        "known_since": "2026-11-20T00:00:00.000Z", "seconds": 2_592_000.0, "journal_complete": True,
        "coverage": {"rows": 25_920, "seconds": 259_200.0, "share": 0.1},
        "uptime": {"share": 0.999, "at_least": 0.995, "requests": 1000, "failed": 1, "rescued": 0, "accepted": 1000},
        "uptime_by_time": {"share": 0.9999, "seconds": 200_000.0, "bad_s": 20.0, "idle_s": 59_180.0, "fault_share_max": 0.02},
        "stability": {"share": 0.998, "within_s": 249_500.0, "outside_s": 500.0, "undecided_s": 9_200.0},
        "deployments": {"count": 3, "per_week": 7.0, "days": 3.0, "back_and_forth": 1},
        "change_failures": {"share": 1 / 3, "failed": 1, "deployments": 3, "unreachable": 0, "between": [0.01, 0.91]},
        "rollbacks": {"automatic": 1, "manual": 0, "incidents": ["default-1-7"]},
        "time_to_detect": {"median_s": 2.5, "p95_s": 2.5, "n": 1, "rollbacks": 1},
        "time_to_restore": {"median_s": None, "p95_s": None, "n": 0, "rollbacks": 1},
        "standby": {"hours": 71.5, "price_per_hour": 2.0, "cost": 143.0, "currency": "EUR"},
        **more,
    }  # fmt: skip


def test_the_report_as_people_read_it(admin: FakeAdmin, command: Command) -> None:
    admin.answer("GET", REQUEST_PATH, document())
    assert command("report", "--admin", admin.url) == (
        0,
        golden("cli.report"),
        "",
    )


def test_the_report_for_a_page(admin: FakeAdmin, command: Command) -> None:
    admin.answer(
        "GET", REQUEST_PATH, document(standby={"hours": 1.0, "price_per_hour": None, "cost": None, "currency": None})
    )
    code, out, _ = command("report", "--markdown", "--admin", admin.url)
    lines = out.splitlines()
    assert code == 0
    assert lines[:6] == [
        "## default", "",
        golden("cli.report_title"),
        "", "| figure | value | based on |", "|---|---|---|",
    ]  # fmt: skip
    assert lines[-2] == golden("cli.report_standby_row")
    assert golden("cli.report_restore_row") in lines


def test_all_services_or_one_and_the_period_that_was_asked_for(command: Command) -> None:
    query = "?since=2026-11-01T00%3A00Z&until=1d"
    with FakeAdmin() as admin:
        admin.answer("GET", "/v1/status", status(service("a"), service("b")))
        for name in "ab":
            admin.answer("GET", f"/v1/services/{name}/report{query}", document(service=name))
        words = ("report", "--since", "2026-11-01T00:00Z", "--until", "1d", "--json", "--admin", admin.url)
        code, out, _ = command(*words)
        assert (code, [one["service"] for one in json.loads(out)["reports"]]) == (0, ["a", "b"])
        code, out, _ = command(*words, "--service", "b")
        assert (code, [one["service"] for one in json.loads(out)["reports"]]) == (0, ["b"])


def test_what_is_no_period_is_refused_with_the_reason(admin: FakeAdmin, command: Command) -> None:
    admin.problem("GET", "/v1/services/default/report?since=soon", 400, "period_invalid", "'soon': write 30d")
    assert command("report", "--since", "soon", "--admin", admin.url)[0::2] == (
        2,
        "rollback-router: 'soon': write 30d\n",
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, ""),
        (1.0, "100.00 %"),
        (0.99996, "99.996 %"),
        (0.9999999, "99.99999 %"),
        (0.5, "50.00 %"),
        (0.0, "0.00 %"),
    ],
)
def test_what_is_not_100_per_cent_is_not_written_so(share: float | None, text: str) -> None:
    assert _percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25 s"), (119, "119 s"), (120, "2.0 min"), (7_200, "2.0 h"), (172_800, "2.0 d")]
)
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert output.long(seconds) == text
