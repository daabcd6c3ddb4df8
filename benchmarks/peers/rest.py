"""CPU and wake-ups of peers that are asked nothing: what a router costs at rest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from benchmarks.peers.peer import Started
from benchmarks.program import BenchmarkError, cpu_s, tree, wakes
from benchmarks.subject import Router

SETTLE_S: Final = 5.0
"""After the last of them has started: imports, the first probes and caches are no work at rest."""


def run(started: Mapping[str, Started], seconds: float) -> dict[str, dict[str, float]]:
    """Return per peer the CPU in ms/s and the wake-ups/s of all processes; a router's by kind, too.

    All rest at the same time, on the same core. A peer that has replaced a process ends the run.
    """
    kinds = {name: processes(one) for name, one in started.items()}
    time.sleep(SETTLE_S)
    everyone = {name: tree(one.program.pid) for name, one in started.items()}
    begun = time.monotonic()
    before = {name: _used(pids) for name, pids in kinds.items()}
    time.sleep(seconds)
    after = {name: _used(pids) for name, pids in kinds.items()}
    took_s = time.monotonic() - begun
    for name, one in started.items():
        if tree(one.program.pid) != everyone[name] or set(kinds[name]["all"]) != set(everyone[name]):
            raise BenchmarkError(f"{name}: a process was replaced while it rested")
    return {name: values(before[name], after[name], took_s) for name in started}


def processes(started: Started) -> dict[str, list[int]]:
    """Return the process ids by kind: `all`; of a router also `control`, `supervisor`, `worker`."""
    if not isinstance(started, Router):
        return {"all": tree(started.program.pid)}
    found = started.pids()
    started.admin.close()
    return {**found, "supervisor": [started.program.pid]}


def values(
    before: Mapping[str, tuple[float, int]], after: Mapping[str, tuple[float, int]], took_s: float
) -> dict[str, float]:
    """Return the figures of one peer from (CPU s, wake-ups) by kind before and after `took_s`."""
    found = {}
    for kind in before:
        cpu_ms = (after[kind][0] - before[kind][0]) * 1e3
        name = "" if kind == "all" else f"{kind}_"
        found[f"{name}ms_per_s"] = round(cpu_ms / took_s, 3)
        found[f"{name}wakes_per_s"] = round((after[kind][1] - before[kind][1]) / took_s, 2)
    return {"figure": found["ms_per_s"], **found}


def _used(kinds: Mapping[str, list[int]]) -> dict[str, tuple[float, int]]:
    return {kind: (cpu_s(pids), wakes(pids)) for kind, pids in kinds.items()}
