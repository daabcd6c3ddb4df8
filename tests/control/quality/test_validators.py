"""What the workers' validators found stands in status, explain and metrics; one that breaks is alarmed."""

from __future__ import annotations

from router.control import metrics
from router.control.quality.validators import FAULT_ALARM_NS, Validators
from router.shm import layout as at
from tests.control.crew_of_fakes import Life


def found(life: Life, what: str, result: str, count: int, worker: int = 0) -> None:
    row = life.wall.layout.lane_service(worker, 0) + at.LS_VALIDATED
    life.wall.words[row + at.VALIDATED.index((what, result))] += count


async def test_counts_of_all_workers_are_shown(life: Life) -> None:
    life.controller.offices = (Validators(life.controller),)
    found(life, "request", "schema", 2)
    found(life, "request", "schema", 3, worker=1)
    found(life, "stream", "end", 1)

    shown = {"request": {"schema": 5}, "stream": {"end": 1}}
    assert life.controller.view.service_status("svc")["validated"] == shown
    assert life.controller.view.explain("svc")["validated"] == shown
    text = metrics.render(life.controller).decode()
    assert [line for line in text.splitlines() if line.startswith("rollback_router_validated_total")] == [
        'rollback_router_validated_total{result="schema",service="svc",what="request"} 5.0',
        'rollback_router_validated_total{result="end",service="svc",what="stream"} 1.0',
    ]


async def test_a_validator_that_breaks_is_alarmed_until_it_has_worked_for_a_while(life: Life) -> None:
    office = Validators(life.controller)
    found(life, "request", "schema", 9)
    office.tick(life.now_ns)
    assert life.controller.alarms.listing() == []

    found(life, "response", "fault", 2)
    office.tick(life.now_ns)
    (alarm,) = life.controller.alarms.listing()
    assert (alarm["code"], alarm["service"]) == ("validator_fault", "svc")
    assert alarm["detail"].startswith("validators broke at 2 requests")
    office.tick(life.now_ns + FAULT_ALARM_NS)
    assert life.controller.alarms.listing() == [alarm]
    office.tick(life.now_ns + FAULT_ALARM_NS + 1)
    assert life.controller.alarms.listing() == []
