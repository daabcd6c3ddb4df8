"""The traffic of an endpoint is that of its addresses, and of a version with one address its own."""

from __future__ import annotations

from typing import Any

from router.control.monitors.replica_monitor import ReplicaState
from router.rollout.outcome import Outcome
from router.shm.address_rows import AddressRow
from tests.control.control_harness import ControlHarness

MEMBERS = ("share", "requests_per_s", "fault_rate", "in_flight", "ejected_until")


def endpoints(control: ControlHarness) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control.queries.service_status("svc")["targets"][0]["endpoints"]
    return found


async def test_one_address_has_the_traffic_of_its_version(control: ControlHarness) -> None:
    assert [endpoints(control)[0][name] for name in MEMBERS] == [None, None, None, 0, None]
    control.tick(11)
    control.workers.serve(0, Outcome.OK, 9)
    control.workers.serve(0, Outcome.SERVER_ERROR, 1)
    control.workers.claim(0)
    control.tick(20)
    (found,) = endpoints(control)
    assert found["url"] == "http://127.0.0.1:1"
    assert (found["share"], found["fault_rate"], found["in_flight"]) == (1.0, 0.1, 1)
    assert found["requests_per_s"] > 0


async def test_several_addresses_of_several_endpoints(control: ControlHarness, monkeypatch: Any) -> None:
    """An endpoint is ejected if all its addresses are."""
    urls = ["http://a:1", "http://a:11", "http://b:1"]
    rows = [AddressRow(open=number) for number in range(4)]
    states = (
        ReplicaState(f"{urls[0]} (10.0.0.1)", rows[1], False, 0.0, 30, 3, 10.0),
        ReplicaState(f"{urls[0]} (10.0.0.2)", rows[2], False, 5.0, 10, 1, 10.0),
        ReplicaState(urls[1], rows[3], False, 4.0, 60, 0, 10.0),
        ReplicaState(urls[2], rows[0], False, 0.0, 0, 0, 10.0),
    )
    probed = [{"url": url, "ready": True, "last_probe": None} for url in urls]
    monkeypatch.setattr(control.service_controller.replica_monitor, "states", lambda slot: states)
    monkeypatch.setattr(control.control_loop.probes, "targets", lambda service, slot: probed)
    found = endpoints(control)
    assert [[one[name] for name in MEMBERS[:4]] for one in found] == [
        [0.4, 4.0, 0.1, 3],
        [0.6, 6.0, 0.0, 3],
        [0.0, 0.0, None, 0],
    ]
    assert [one["ejected_until"] is not None for one in found] == [False, True, False]
