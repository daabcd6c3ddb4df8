"""The figures of processes are those of /proc; a process that has ended has none."""

from __future__ import annotations

import os
import resource

import psutil
import pytest

from router.control.views.scrape.process_metrics import families, process_ids
from router.shm import layout as at
from tests.control.fake_control import FakeControl


def test_the_figures_are_those_of_the_process() -> None:
    process = psutil.Process()
    found = {sample.name: sample for family in families({"control": os.getpid()}) for sample in family.samples}
    values = {name.removeprefix("rollback_router_process_"): sample.value for name, sample in found.items()}
    assert {sample.labels["process"] for sample in found.values()} == {"control"}
    assert values["cpu_seconds_total"] == pytest.approx(sum(process.cpu_times()[:2]), abs=0.5)
    assert values["resident_memory_bytes"] == pytest.approx(process.memory_info().rss, rel=0.1)
    assert values["open_fds"] == pytest.approx(process.num_fds(), abs=2)
    assert values["max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert values["start_time_seconds"] == pytest.approx(process.create_time(), abs=2)


def test_a_process_that_has_ended_has_none() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    assert [sample for family in families({"worker-0": pid}) for sample in family.samples] == []


def test_the_ids_are_those_of_all_processes_that_run() -> None:
    control = FakeControl()
    try:
        control.segment.words[control.segment.layout.worker(1) + at.W_PID] = 77
        assert process_ids(control.worker_stats) == {
            "supervisor": os.getppid(),
            "control": os.getpid(),
            "worker-1": 77,
        }
    finally:
        control.close()
