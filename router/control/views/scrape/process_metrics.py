"""The metrics of the router's processes, from /proc. Reading them opens files: call `families` in a thread."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector

from router.control.views.metric_table import counter, gauge
from router.shm.worker_stats import WorkerStats

_COUNTER: Final = "process_cpu_seconds"
_GAUGES: Final = (
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
)


def process_ids(worker_stats: WorkerStats) -> dict[str, int]:
    """Return the ids of control, its parent and the workers that have one, by the name of the process."""
    workers = {f"worker-{index}": worker_stats.worker(index).pid for index in range(worker_stats.workers)}
    return {"supervisor": os.getppid(), "control": os.getpid(), **{name: pid for name, pid in workers.items() if pid}}


def families(pids: Mapping[str, int]) -> list[Metric]:
    """Return the families of all processes. What cannot be read is left out, as a process may have ended."""
    cpu = counter(_COUNTER)
    gauges = {name: gauge(name) for name in _GAUGES}
    for process, pid in pids.items():
        for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            family = cpu if metric.name == _COUNTER else gauges[metric.name]
            family.add_metric([process], metric.samples[0].value)
    return [cpu, *gauges.values()]
