"""What the workers' validators found, for people: in status and metrics, and an alarm when a validator itself breaks.

What is judged by it is judged elsewhere: an invalid answer is a fault of its version like a 500 (rollout/outcome.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from router.control.alarms import Alarms
from router.control.controller import Controller
from router.control.office import Office
from router.rollout.window import SECOND_NS
from router.shm.lanes import Lanes

FAULT_ALARM_NS: Final = 60 * SECOND_NS
"""How long after its last fault a validator counts as broken."""


class Validators(Office):
    """Of all services; only those with counts are shown."""

    def __init__(self, controller: Controller) -> None:
        self._alarms: Alarms = controller.alarms
        self._lanes: Lanes = controller.lanes
        self._indices = {name: bench.conductor.index for name, bench in controller.benches.items()}
        self._faults = dict.fromkeys(self._indices, 0)
        self._broke_ns: dict[str, int] = {}

    def tick(self, now_ns: int) -> None:
        """Say whether a validator broke lately."""
        for name, index in self._indices.items():
            faults = sum(count for (_, result), count in self._lanes.validated(index).items() if result == "fault")
            if faults > self._faults[name]:
                self._faults[name], self._broke_ns[name] = faults, now_ns
                told = f"validators broke at {faults} requests, which passed unchecked; the workers' log says why"
                self._alarms.up("validator_fault", told, name)
            elif name in self._broke_ns and now_ns - self._broke_ns[name] > FAULT_ALARM_NS:
                del self._broke_ns[name]
                self._alarms.down("validator_fault", name)

    def status(self, service: str) -> dict[str, Any]:
        """Return `validated`: counts by what was looked at and what came of it."""
        found: dict[str, dict[str, int]] = {}
        for (what, result), count in self._lanes.validated(self._indices[service]).items():
            if count:
                found.setdefault(what, {})[result] = count
        return {"validated": found}

    explain = status

    def metrics(self) -> Iterable[Metric]:
        """Return the counter of everything that was looked at."""
        family = CounterMetricFamily(
            "rollback_router_validated", "Requests, responses and streams held against the service's rules.",
            labels=["service", "what", "result"],
        )  # fmt: skip
        for name, index in self._indices.items():
            for (what, result), count in self._lanes.validated(index).items():
                if count:
                    family.add_metric([name, what, result], count)
        return [family]
