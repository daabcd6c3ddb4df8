"""Offices are told what happened after the services were judged; a broken one costs nobody anything but its alarm."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control import metrics
from router.control.office import Office
from router.rollout.entry import Entry
from tests.control.crew_of_fakes import Life

SECOND_NS = 1_000_000_000


class Listening(Office):
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.ticks: list[int] = []

    def told(self, entry: Entry) -> None:
        self.heard.append(entry.type)

    def tick(self, now_ns: int) -> None:
        self.ticks.append(now_ns)

    def status(self, service: str) -> dict[str, Any]:
        return {"listening": service}

    def metrics(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("rollback_router_heard", "Facts.", len(self.heard))]


class Broken(Office):
    def told(self, entry: Entry) -> None:
        raise RuntimeError("boom")


async def test_every_office_is_told_every_fact_and_a_broken_one_is_alarmed(life: Life) -> None:
    listening = Listening()
    life.controller.offices = (Broken(), listening)
    await life.controller.freeze(service="svc", actor="ann", reason="look")
    assert listening.heard == []
    life.controller.tick(life.now_ns, 0.0)
    assert listening.heard[-1:] == ["frozen"]
    assert {alarm["detail"] for alarm in life.controller.alarms.listing()} >= {"Broken: RuntimeError: boom"}


async def test_offices_tick_about_once_a_second(life: Life) -> None:
    listening = Listening()
    life.controller.offices = (listening,)
    for tenth in range(25):
        life.controller.tick(life.now_ns + tenth * SECOND_NS // 10, 0.0)
    assert listening.ticks == [life.now_ns + second * SECOND_NS for second in range(3)]


async def test_what_offices_say_stands_in_status_and_metrics(life: Life) -> None:
    life.controller.offices = (Listening(),)
    assert life.controller.view.service_status("svc")["listening"] == "svc"
    assert b"rollback_router_heard 0.0" in metrics.render(life.controller)
