"""Shows the results of the workers' validators in status and metrics, and raises an alarm if a validator itself fails.

It judges nothing: an invalid answer is a fault of its version like a 500 (rollout/outcome.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from router.control.addon import Addon
from router.control.core.loop import ControlLoop
from router.control.monitors.alarms import Alarms
from router.control.views.metric_table import counter
from router.rollout.facts.entry import Entry
from router.rollout.units import SECOND_NS
from router.runtime.text.plurals import counted
from router.shm.worker_stats import WorkerStats

FAULT_ALARM_NS: Final = 60 * SECOND_NS
"""How long after its last fault a validator counts as broken."""


class ValidatorsAddon(Addon):
    """The validators of all services. Only non-zero counts are shown."""

    def __init__(self, control_loop: ControlLoop) -> None:
        self._control_loop = control_loop
        self._alarms: Alarms = control_loop.alarms
        self._worker_stats: WorkerStats = control_loop.worker_stats
        self._indices = {
            name: service_controller.executor.index for name, service_controller in control_loop.services.items()
        }
        self._faults = dict.fromkeys(self._indices, 0)
        self._broke_ns: dict[str, int] = {}

    def service_added(self, service: str, entries: Sequence[Entry]) -> None:
        """Show the validators of one more service."""
        self._indices[service], self._faults[service] = self._control_loop.services[service].executor.index, 0

    def service_removed(self, service: str) -> None:
        """Forget a service."""
        for known in (self._indices, self._faults, self._broke_ns):
            known.pop(service, None)

    def on_second(self, now_ns: int) -> None:
        """Raise the alarm of a service if a validator failed lately, else clear it."""
        for name, index in self._indices.items():
            faults = sum(
                count for (_, result), count in self._worker_stats.validated(index).items() if result == "fault"
            )
            if faults > self._faults[name]:
                self._faults[name], self._broke_ns[name] = faults, now_ns
                failed = f"validators failed at {counted(faults, 'request')}, which passed unchecked"
                detail = f"{failed}; the workers' log has the reason"
                self._alarms.up("validator_fault", detail, name)
            elif name in self._broke_ns and now_ns - self._broke_ns[name] > FAULT_ALARM_NS:
                del self._broke_ns[name]
                self._alarms.down("validator_fault", name)

    def status(self, service: str) -> dict[str, Any]:
        """Return the member `validated`: counts by subject and result."""
        found: dict[str, dict[str, int]] = {}
        for (what, result), count in self._worker_stats.validated(self._indices[service]).items():
            if count:
                found.setdefault(what, {})[result] = count
        return {"validated": found}

    explain = status

    def metrics(self) -> Iterable[Metric]:
        """Return the counter of validations."""
        family = counter("validated")
        for name, index in self._indices.items():
            for (what, result), count in self._worker_stats.validated(index).items():
                if count:
                    family.add_metric([name, what, result], count)
        return [family]
