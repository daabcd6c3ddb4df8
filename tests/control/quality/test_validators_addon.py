"""What the workers' validators found stands in status, explain and metrics; one that breaks is alarmed."""

from __future__ import annotations

from router.control.quality.validators_addon import FAULT_ALARM_NS, ValidatorsAddon
from router.control.views import metrics
from router.shm import layout as at
from tests.control.control_harness import ControlHarness


def found(life: ControlHarness, what: str, result: str, count: int, worker: int = 0) -> None:
    row = life.segment.layout.worker_service(worker, 0) + at.LS_VALIDATED
    life.segment.words[row + at.VALIDATED.index((what, result))] += count


async def test_counts_of_all_workers_are_shown(life: ControlHarness) -> None:
    life.control_loop.addons = (ValidatorsAddon(life.control_loop),)
    found(life, "request", "schema", 2)
    found(life, "request", "schema", 3, worker=1)
    found(life, "stream", "end", 1)

    shown = {"request": {"schema": 5}, "stream": {"end": 1}}
    assert life.queries.service_status("svc")["validated"] == shown
    assert life.queries.explain("svc")["validated"] == shown
    text = metrics.render(life.queries).decode()
    assert [line for line in text.splitlines() if line.startswith("rollback_router_validated_total")] == [
        'rollback_router_validated_total{result="schema",service="svc",what="request"} 5.0',
        'rollback_router_validated_total{result="end",service="svc",what="stream"} 1.0',
    ]


async def test_a_validator_that_breaks_is_alarmed_until_it_has_worked_for_a_while(life: ControlHarness) -> None:
    office = ValidatorsAddon(life.control_loop)
    found(life, "request", "schema", 9)
    office.on_second(life.now_ns)
    assert life.control_loop.alarms.listing() == []

    found(life, "response", "fault", 2)
    office.on_second(life.now_ns)
    (alarm,) = life.control_loop.alarms.listing()
    assert (alarm["code"], alarm["service"]) == ("validator_fault", "svc")
    assert alarm["detail"].startswith("validators broke at 2 requests")
    office.on_second(life.now_ns + FAULT_ALARM_NS)
    assert life.control_loop.alarms.listing() == [alarm]
    office.on_second(life.now_ns + FAULT_ALARM_NS + 1)
    assert life.control_loop.alarms.listing() == []
