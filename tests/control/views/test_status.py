from __future__ import annotations

import pytest

from router.control.views import status
from router.rollout.outcome import Outcome
from router.rollout.stats.histogram import index
from router.shm import layout as at
from router.shm.worker_stats import WorkerState
from tests.control.control_harness import ControlHarness
from tests.texts import golden


@pytest.mark.parametrize(
    ("heartbeat_ns", "up", "age_s"), [(0, False, None), (9_500_000_000, True, 0.5), (1, False, 10.0)]
)
def test_a_worker(heartbeat_ns: int, up: bool, age_s: float | None) -> None:
    state = WorkerState(1, 77, heartbeat_ns, 1500, 0, 2, 3, 9, False)
    assert status.worker(state, 10_000_000_001) == {
        "index": 1,
        "pid": 77,
        "up": up,
        "heartbeat_age_s": age_s,
        "loop_lag_s": 0.0015,
        "connections": 3,
        "connections_total": 9,
        "starts": 2,
        "draining": False,
    }


async def test_no_data_is_not_a_number(control: ControlHarness) -> None:
    assert status.window(control.service_controller, 0, 10.0, control.now_ns) is None
    control.tick(30)
    assert status.window(control.service_controller, 0, 2.0, control.now_ns) == {
        "asked": 0,
        "useful": 0,
        "without_use": 0,
        "given_up": 0,
        "requests": 0,
        "faults": 0,
        "fault_rate": None,
        "requests_per_s": 0.0,
        **dict.fromkeys(
            ("p50_ms", "p95_ms", "p99_ms", "useful_p50_ms", "useful_p95_ms", "useful_p99_ms"),
        ),
    }


async def test_a_window_with_its_times(control: ControlHarness) -> None:
    row = control.segment.layout.worker_slot(0, 0, 0) + at.L_FIRST_BYTE + index(2000)
    control.tick(11)
    control.workers.serve(0, Outcome.OK, 9)
    control.workers.serve(0, Outcome.SERVER_ERROR, 1)
    control.segment.words[row] += 9
    control.tick(20)
    document = status.window(control.service_controller, 0, 10.0, control.now_ns)
    assert document is not None
    assert (document["requests"], document["faults"], document["fault_rate"]) == (10, 1, 0.1)
    assert document["p50_ms"] == pytest.approx(2.0, rel=0.07)


async def test_explain_in_one_sentence(control: ControlHarness) -> None:
    assert status.explain(control.service_controller, control.now_ns)["summary"] == (golden("status.too_few_requests"))
    control.probe("v2", times=3)
    control.tick(30, lambda: control.workers.serve(0, Outcome.OK, 5))
    document = status.explain(control.service_controller, control.now_ns)
    assert document["summary"] == golden("status.well")
    assert document["gate"] == {"would_pass": True, "reasons": []}
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    document = status.explain(control.service_controller, control.now_ns)
    assert document["summary"].endswith("no rollback is possible: there is no standby.")
    assert document["gate"] == {"would_pass": False, "reasons": ["there is no standby"]}


async def test_a_rollback_is_under_way_until_the_failed_version_has_drained(control: ControlHarness) -> None:
    control.workers.claim(0)
    await control.operations.rollback(service="svc", reason="bad", actor="ann")
    control.tick()
    document = control.queries.service_status("svc")
    assert (document["state"], document["way_back"]) == ("rolling_back", False)
    assert [(target["version"], target["role"], target["quarantined"]) for target in document["targets"]] == [
        ("v1", "draining", "bad"),
        ("v2", "active", None),
    ]
    control.workers.end(0, Outcome.OK)
    control.tick()
    assert control.queries.service_status("svc")["state"] == "probation"


def test_times_are_for_people() -> None:
    document = status.incident({"id": "svc-1-2", "started_at": None, "detection_at": 0.5})
    assert document == {"id": "svc-1-2", "started_at": None, "detection_at": "1970-01-01T00:00:00.500Z"}
