"""What the workers' validators found stands in status, explain and metrics; one that breaks is alarmed."""

from __future__ import annotations

from router.control.quality.validators_addon import FAULT_ALARM_NS, ValidatorsAddon
from router.control.views import metrics
from router.shm import layout as at
from tests.control.control_harness import ControlHarness


def found(control: ControlHarness, what: str, result: str, count: int, worker: int = 0) -> None:
    row = control.segment.layout.worker_service(worker, 0) + at.LS_VALIDATED
    control.segment.words[row + at.VALIDATED.index((what, result))] += count


async def test_counts_of_all_workers_are_shown(control: ControlHarness) -> None:
    control.control_loop.add_addons(ValidatorsAddon(control.control_loop))
    found(control, "request", "schema", 2)
    found(control, "request", "schema", 3, worker=1)
    found(control, "stream", "end", 1)

    shown = {"request": {"schema": 5}, "stream": {"end": 1}}
    assert control.queries.service_status("svc")["validated"] == shown
    assert control.queries.explain("svc")["validated"] == shown
    text = metrics.render(control.queries).decode()
    assert [line for line in text.splitlines() if line.startswith("rollback_router_validated_total")] == [
        'rollback_router_validated_total{result="schema",service="svc",what="request"} 5.0',
        'rollback_router_validated_total{result="end",service="svc",what="stream"} 1.0',
    ]


async def test_a_validator_that_breaks_is_alarmed_until_it_has_worked_for_a_while(control: ControlHarness) -> None:
    addon = ValidatorsAddon(control.control_loop)
    found(control, "request", "schema", 9)
    addon.on_second(control.now_ns)
    assert control.control_loop.alarms.listing() == []

    found(control, "response", "fault", 2)
    addon.on_second(control.now_ns)
    (alarm,) = control.control_loop.alarms.listing()
    assert (alarm["code"], alarm["service"]) == ("validator_fault", "svc")
    assert alarm["detail"].startswith("validators failed at 2 requests")
    addon.on_second(control.now_ns + FAULT_ALARM_NS)
    assert control.control_loop.alarms.listing() == [alarm]
    addon.on_second(control.now_ns + FAULT_ALARM_NS + 1)
    assert control.control_loop.alarms.listing() == []
