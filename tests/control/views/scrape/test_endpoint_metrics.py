"""The metrics of endpoints: of versions with several addresses, with one, in two slots, and too many."""

from __future__ import annotations

from typing import Any

from router.control.views.scrape.endpoint_metrics import ENDPOINTS_MAX, endpoint_metrics
from tests.control.fake_control import target


def figures(*targets: dict[str, Any]) -> dict[tuple[str, str, str], float]:
    """Return the values by (metric, version, endpoint)."""
    return {
        (sample.name.removeprefix("rollback_router_"), sample.labels.get("version", ""), sample.labels.get("endpoint", "")):
        sample.value
        for family in endpoint_metrics({"fraud": {"targets": list(targets)}})
        for sample in family.samples
    }  # fmt: skip


def one_address(version: str, slot: int = 0, role: str = "active") -> dict[str, Any]:
    outcomes = {"ok": 30, "server_error": 3, "timed_out": 2, "client_gone": 4}
    totals = {"attempts": 42, "begun": 40, "rescued": 0, "outcomes": outcomes}
    return target(version, slot, role) | {"replicas": [], "totals": totals}


def test_each_address_of_a_version_with_several() -> None:
    found = figures(target("v2", 0, "active"))
    assert [found["endpoint_attempts_total", "v2", f"http://127.0.0.{number}:9001"] for number in (1, 2, 3)] == [20] * 3
    assert [found["endpoint_ejected", "v2", f"http://127.0.0.{number}:9001"] for number in (1, 2, 3)] == [0, 0, 1]
    assert found["endpoint_ready", "v2", "http://127.0.0.1:9000"] == 1
    assert ("endpoint_attempts_total", "v2", "http://127.0.0.1:9000") not in found


def test_one_address_has_the_counters_of_its_version() -> None:
    found = figures(one_address("v2"))
    url = "http://127.0.0.1:9000"
    assert {name: value for (name, _, endpoint), value in found.items() if endpoint} == {
        "endpoint_attempts_total": 42,
        "endpoint_faults_total": 5,
        "endpoint_in_flight_requests": 2,
        "endpoint_ejected": 0,
        "endpoint_ready": 1,
    }
    assert found["endpoint_faults_total", "v2", url] == 5


def test_a_version_in_two_slots_is_added() -> None:
    again = one_address("v2", 0, "draining")
    again["endpoints"] = [again["endpoints"][0] | {"ready": False}]
    found = figures(one_address("v2"), again)
    assert found["endpoint_attempts_total", "v2", "http://127.0.0.1:9000"] == 84
    assert found["endpoint_ready", "v2", "http://127.0.0.1:9000"] == 1


def test_the_active_version_comes_first_if_there_are_too_many() -> None:
    replica = target("v1", 1, "standby")["replicas"][0]
    standby = target("v1", 1, "standby")
    standby["replicas"] = [replica | {"name": f"http://10.0.0.1:{port}"} for port in range(1, ENDPOINTS_MAX + 1)]
    standby["endpoints"] = []
    found = figures(standby, one_address("v2"))
    assert found["endpoints_left_out", "", ""] == 1
    assert found["endpoint_attempts_total", "v2", "http://127.0.0.1:9000"] == 42
    assert sum(name == "endpoint_attempts_total" for name, _, _ in found) == ENDPOINTS_MAX


def test_label_values_are_printable_and_bounded() -> None:
    one = one_address("v\x1b2")
    one["endpoints"] = [one["endpoints"][0] | {"url": "unix:/" + "a" * 300}]
    found = figures(one)
    assert found["endpoint_attempts_total", "v\\u001b2", ("unix:/" + "a" * 300)[:128]] == 42
