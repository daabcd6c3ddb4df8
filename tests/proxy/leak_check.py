"""What a rig must look like once everything has ended: nothing under way, nothing waited for, nothing kept alive.

`Rig` asks for it at the end of every test, so each test of this folder looks for leaks. Objects are counted without a run of
the garbage collector, because on the request path nothing may wait for it; only the two ends of a tunnel, which know each
other, do. `gc.freeze` hides what was alive before, so that counting costs microseconds.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from typing import Any, Self

from router.proxy.data_plane import DataPlane
from router.proxy.deadlines import Deadlines
from router.rollout.model.route import SLOTS
from router.rollout.work import WORK_BUCKETS, WorkEnd
from router.shm import layout as at
from router.shm.worker_stats import WorkerStats
from tests.proxy.waiting import until

COUNTED = ("Exchange", "Attempt", "Upstream", "Chunks", "Tunnel")
"""What lives no longer than a request or its connection."""


class LeakCheck:
    """Made before the first request; `settle` returns once all is as it was, or fails with what is left."""

    def __init__(self) -> None:
        gc.collect(
            1
        )  # a rig is a cycle, and holds its segment open: hundreds of descriptors, which each test would list
        gc.freeze()
        self._before = alive()

    async def settle(self, data_plane: DataPlane, worker_stats: WorkerStats, tasks: Any, within_s: float = 3.0) -> Self:
        """Wait until nothing is left in the data plane: its connections were closed before."""
        for target in targets(data_plane):
            target.close_idle()
        try:
            await until(lambda: not self._left(data_plane, tasks), within_s)
        except TimeoutError:
            raise AssertionError(f"left after {within_s} s: {self._left(data_plane, tasks)}") from None
        finally:
            gc.unfreeze()
        conserved(worker_stats, len(data_plane.services))
        return self

    def _left(self, data_plane: DataPlane, tasks: Any) -> dict[str, Any]:
        found = left(data_plane) | {"tasks": len(tasks)}
        if not any(found.values()) and (objects := alive() - self._before):
            if objects["Tunnel"]:
                gc.collect()
            found |= alive() - self._before
        return {name: what for name, what in found.items() if what}


def alive() -> Counter[str]:
    """Return how many counted objects exist that are not frozen."""
    return Counter(name for one in gc.get_objects() if (name := type(one).__name__) in COUNTED)


def targets(data_plane: DataPlane) -> list[Any]:
    return [target for service in data_plane.services for target in (*service.targets.values(), *service.draining)]


def left(data_plane: DataPlane) -> dict[str, Any]:
    """Return what is under way in a data plane: its connections, its waits, its attempts and what endpoints hold of them."""
    found: dict[str, Any] = {"connections": len(data_plane.limiter.connections)}
    for owner in (
        data_plane.context,
        data_plane.limiter,
        data_plane.reserve,
        *data_plane.services,
        *targets(data_plane),
    ):
        for name in dir(owner):  # a compiled object keeps what is declared outside its __dict__
            table = None if name.startswith("__") else getattr(owner, name, None)
            if isinstance(table, Deadlines) and table.since:
                found[f"{type(owner).__name__}.{name}"] = list(table.since)
    for target in targets(data_plane):
        where = f"slot {target.slot}"
        found[f"{where} open"] = list(target.in_flight)
        found[f"{where} retrying"] = target.retrying
        found[f"{where} pools"] = [pool for pool in target.pools if pool.in_flight or pool.waiting]
    return {name: what for name, what in found.items() if what}


def conserved(worker_stats: WorkerStats, services: int) -> None:
    """Every exchange and every attempt of every worker has ended exactly once, and so have they in the sum."""
    for service in range(services):
        accepted, ends = worker_stats.exchanges(service)
        assert accepted == sum(ends), f"service {service}: {accepted} accepted, ended {ends}"
        for slot in range(SLOTS):
            for worker in range(worker_stats.workers):
                assert worker_stats.slot_in_flight(service, slot, worker) == 0, (service, slot, worker)
                work_conserved(worker_stats, service, slot, worker)
            sums = worker_stats.slot_scalars(service, slot)
            ends = sums[at.L_OUTCOMES : at.L_OUTCOMES + at.OUTCOME_COUNT]
            assert sums[at.L_CLAIMED] == sum(ends), (service, slot)
            unbegun = sums[at.L_CLAIMED] - sums[at.L_BEGUN]
            assert sums[at.L_FAULTS_UNBEGUN] <= unbegun, f"slot {slot}: {sums[at.L_FAULTS_UNBEGUN]} of {unbegun}"
    accepted, ends = worker_stats.unmatched()
    assert accepted == sum(ends), f"without a service: {accepted} accepted, ended {ends}"


def work_conserved(worker_stats: WorkerStats, service: int, slot: int, worker: int) -> None:
    """Every attempt of the worker counts in one work bucket, and has become useful there or ended without use, once."""
    words, row = worker_stats._words, worker_stats._layout.worker_slot(worker, service, slot)
    asked_total = 0
    for bucket in range(WORK_BUCKETS):
        start = row + at.L_WORK + bucket * at.WORK_WORDS
        asked, ends = words[start + at.B_ASKED], words[start + at.B_ENDS : start + at.B_ENDS + len(WorkEnd)].tolist()
        assert asked == sum(ends), f"slot {slot} bucket {bucket}: {asked} asked, ended {ends}"
        times = sum(words[start + at.B_TIMES : start + at.WORK_WORDS].tolist())
        assert times == ends[WorkEnd.USEFUL], f"slot {slot} bucket {bucket}: {times} times, ended {ends}"
        asked_total += asked
    assert asked_total == words[row + at.L_CLAIMED], f"slot {slot}: {asked_total} asked in buckets"


def open_sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:  # the one that listed them
            pass
    return found
