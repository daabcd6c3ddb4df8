"""The row of a service in the list: short, and with figures that change only when it matters."""

from __future__ import annotations

from typing import Any

import pytest

from router.control.admin.live.merge_patch import difference
from router.control.views import rows
from router.control.views.headline import headline
from router.control.views.situation import situation
from router.rollout.outcome import Outcome
from router.runtime.printable_json import json_bytes
from tests.control.control_harness import ControlHarness
from tests.texts import golden


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, None), (0.0, 0.0), (211.234, 211.0), (12.345, 12.3), (0.012345, 0.0123), (1234.5, 1230.0), (-0.5, -0.5)],
)
def test_three_digits_are_shown(value: float | None, shown: float | None) -> None:
    assert rows.rounded(value) == shown


async def test_a_row_is_of_the_active_version(control: ControlHarness) -> None:
    control.probe("v2", times=3)
    control.tick(11)
    control.workers.serve(0, Outcome.OK, 9)
    control.workers.serve(0, Outcome.SERVER_ERROR, 1)
    control.tick(20)
    row = row_of(control)
    assert (row["active"], row["standby"], row["way_back"], row["fault_rate"]) == ("v1", "v2", True, 0.1)
    assert (row["level"], row["state"], row["line"]) == ("look", "probation", golden("headline.line_of_probation"))
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    row = row_of(control)
    assert (row["active"], row["standby"], row["way_back"], row["requests_per_s"]) == ("v2", None, False, 0.0)
    assert row["level"] == "warn"


def row_of(control: ControlHarness) -> dict[str, Any]:
    now = headline(situation(control.service_controller, control.now_ns))
    return rows.row(control.service_controller, now, control.now_ns)


async def test_64_rows_are_short(control: ControlHarness) -> None:
    """A second in which every figure of 64 services changes is less than 6 kB."""
    figures = [
        {**row_of(control), "requests_per_s": 211.0 + n, "useful_per_s": 211.0 + n, "p99_ms": 91.2} for n in range(2)
    ]
    (before, after) = ({f"service-{number}": row for number in range(64)} for row in figures)
    assert len(json_bytes(difference(before, after))) < 6_000
