"""The figures beside a trigger: unit, clients, nearness, seconds until it acts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from router.control.views import triggers
from router.rollout.judge.verdict import TriggerResult
from router.rollout.outcome import Outcome
from router.rollout.stats.breadth import Distinct, Epoch
from tests.control.control_harness import ControlHarness

RATE = TriggerResult("error_rate", "", "pass", "rollback", "", value=0.01, limit=0.02, samples=900, window_s=60.0)
HANG = TriggerResult("hard_failure", "no_progress", "pass", "rollback", "", value=8.0, limit=10.0, samples=900)


@pytest.mark.parametrize(
    ("result", "changes", "unit", "nearness", "acts_in_s"),
    [
        (RATE, {}, "share", 0.5, None),
        (RATE, {"value": 0.0}, "share", 0.0, None),
        (RATE, {"value": None}, "share", None, None),
        (RATE, {"limit": None}, "share", None, None),
        (RATE, {"limit": 0.0}, "share", None, None),
        (RATE, {"value": 0.5}, "share", 0.99, None),  # above its limit, and not sure yet
        (RATE, {"value": 0.5, "state": "inconclusive"}, "share", None, None),
        (RATE, {"value": 0.5, "state": "fail", "sustained_s": 4.0, "sustained_needed_s": 10.0}, "share", 0.99, 6.0),
        (RATE, {"value": 0.5, "state": "fail", "failing": True}, "share", 1.0, 0.0),
        (RATE, {"state": "not_configured"}, "share", None, None),
        (HANG, {}, "seconds", 0.8, 2.0),
        (HANG, {"state": "inconclusive"}, "seconds", 0.8, 2.0),
        (HANG, {"value": 12.0}, "seconds", 0.99, 0.0),
        (HANG, {"value": None}, "seconds", None, None),
        (HANG, {"detail": "useful_share", "value": 1.0, "limit": 0.25}, "share", 0.25, None),
        (HANG, {"detail": "useful_share", "value": 0.2, "limit": 0.25}, "share", 0.99, None),
        (HANG, {"detail": "useful_share", "value": 0.0, "limit": 0.25}, "share", 0.99, None),
        (HANG, {"detail": "errors", "value": 4.0, "limit": 5.0}, "count", 0.8, None),
        (RATE, {"kind": "business", "detail": "alert", "value": 1.0, "limit": 1.0}, "count", 0.99, None),
    ],
)  # fmt: skip
def test_how_near_a_trigger_is(
    result: TriggerResult, changes: dict[str, Any], unit: str, nearness: float | None, acts_in_s: float | None
) -> None:
    document = triggers.document(replace(result, **changes), 7)
    assert (document["unit"], document["nearness"], document["acts_in_s"]) == (unit, nearness, acts_in_s)
    assert document["clients"] == 7


async def test_the_clients_of_the_window(control: ControlHarness) -> None:
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 5))
    epoch = control.now_ns // 10**10
    known = {
        epoch: Epoch(epoch, useful_clients=Distinct.of([1, 2]), fault_clients=Distinct.of([2]), lost_clients=Distinct.of([3])),
        epoch - 7: Epoch(epoch - 7, useful_clients=Distinct.of([9])),
    }  # fmt: skip
    control.service_controller.judge._work[0].epochs._epochs = known
    found = {(t["kind"], t["detail"]): t for t in triggers.explained(control.service_controller, control.now_ns)}
    assert found["error_rate", ""]["window_s"] == 60.0
    assert found["error_rate", ""]["clients"] == 3
    assert found["hard_failure", "no_progress"]["clients"] is None
