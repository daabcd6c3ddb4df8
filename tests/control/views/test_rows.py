"""The row of a service in the list: short, and with figures that change only when it matters."""

from __future__ import annotations

import pytest

from router.control.views import rows
from router.rollout.outcome import Outcome
from tests.control.control_harness import ControlHarness


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
    row = rows.row(control.service_controller, control.now_ns)
    assert (row["active"], row["standby"], row["way_back"], row["fault_rate"]) == ("v1", "v2", True, 0.1)
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    row = rows.row(control.service_controller, control.now_ns)
    assert (row["active"], row["standby"], row["way_back"], row["requests_per_s"]) == ("v2", None, False, 0.0)
