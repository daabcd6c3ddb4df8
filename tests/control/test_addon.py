"""Add-ons get entries after the services were judged; a broken add-on costs its alarm and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.views import metrics
from router.rollout.facts.entry import Entry
from router.rollout.units import SECOND_NS
from tests.control.control_harness import ControlHarness


class Listening(Addon):
    def __init__(self) -> None:
        self.journaled_types: list[str] = []
        self.ticks: list[int] = []

    def on_entry(self, entry: Entry) -> None:
        self.journaled_types.append(entry.type)

    def on_second(self, now_ns: int) -> None:
        self.ticks.append(now_ns)

    def status(self, service: str) -> dict[str, Any]:
        return {"listening": service}

    def metrics(self) -> Iterable[Metric]:
        return [GaugeMetricFamily("rollback_router_heard", "Facts.", len(self.journaled_types))]


class Broken(Addon):
    def on_entry(self, entry: Entry) -> None:
        raise RuntimeError("boom")


async def test_every_addon_gets_every_entry_and_a_broken_one_an_alarm(control: ControlHarness) -> None:
    listening = Listening()
    control.control_loop.add_addons(Broken(), listening)
    await control.operations.freeze(service="svc", actor="ann", reason="look")
    assert listening.journaled_types == []
    control.control_loop.tick(control.now_ns, 0.0)
    assert listening.journaled_types[-1:] == ["frozen"]
    assert {alarm["detail"] for alarm in control.control_loop.alarms.listing()} >= {"Broken: RuntimeError: boom"}


async def test_on_second_is_called_once_a_second(control: ControlHarness) -> None:
    listening = Listening()
    control.control_loop.add_addons(listening)
    for tenth in range(25):
        control.control_loop.tick(control.now_ns + tenth * SECOND_NS // 10, 0.0)
    assert listening.ticks == [control.now_ns + second * SECOND_NS for second in range(3)]


async def test_status_and_metrics_include_those_of_addons(control: ControlHarness) -> None:
    control.control_loop.add_addons(Listening())
    assert control.queries.service_status("svc")["listening"] == "svc"
    assert b"rollback_router_heard 0.0" in metrics.render(control.queries)
