"""A real wall, a real journal, a controller without HTTP; workers and probes are played."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from router import clock
from router.config import Settings
from router.control import doubts, recovery
from router.control.alarms import Alarms
from router.control.bench import Bench, limits
from router.control.conductor import Conductor, Desk
from router.control.controller import Controller
from router.control.crew import Crew
from router.control.doubts import DoubtAlarm
from router.control.probes import Probes
from router.control.store.journal import Journal
from router.errors import StartError
from router.failpoint import FailPoint
from router.rollout.events import ProbeCompleted
from router.rollout.machine import Machine
from router.rollout.outcome import Outcome
from router.shm import layout as at
from router.shm import wall as walls
from router.shm.lanes import Lanes
from router.shm.route_cell import RouteCell
from router.shm.samples import SampleRing
from router.shm.wall import Wall

DEAD = 2**22 + 1
"""No process has this pid: pid_max is at most 2^22."""


def settings(state_dir: Path, **service: Any) -> Settings:
    """Two versions, v1 active and v2 standby, probed by connection only, far from any real server."""
    told = {
        "active": {"version": "v1", "endpoints": ["http://127.0.0.1:1"]},
        "standby": {"version": "v2", "endpoints": ["http://127.0.0.1:2"]},
        "probe": "none",
        **service,
    }
    return Settings.model_validate({"workers": 2, "state_dir": state_dir, "services": {"svc": told}})


class FakeWorkers:
    """Two workers that live in this process; those in `deaf` acknowledge nothing."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(wall.layout.workers)]
        self.acks = os.eventfd(0, os.EFD_NONBLOCK)
        self.deaf: set[int] = set()
        for index in range(wall.layout.workers):
            self.live(index)

    def live(self, index: int, pid: int | None = None) -> None:
        row = self.wall.layout.lane(index)
        self.wall.words[row + at.W_PID] = os.getpid() if pid is None else pid
        self.wall.words[row + at.W_HEARTBEAT_NS] = clock.now_ns()

    def listen(self) -> None:
        for index, fd in enumerate(self.wakes):
            asyncio.get_running_loop().add_reader(fd, self._woken, index)

    def _woken(self, index: int) -> None:
        os.eventfd_read(self.wakes[index])
        self.acknowledge(index)

    def acknowledge(self, index: int) -> None:
        if index in self.deaf:
            return
        for service in range(self.wall.layout.services):
            row = self.wall.layout.lane_service(index, service)
            self.wall.words[row + at.LS_ACKNOWLEDGED_NS] = clock.now_ns()
            self.wall.words[row + at.LS_ACKNOWLEDGED] = RouteCell(self.wall, service).word() >> 20
        os.eventfd_write(self.acks, 1)

    def claim(self, slot: int, count: int = 1, worker: int = 0) -> None:
        self.wall.words[self.wall.layout.lane_slot(worker, 0, slot) + at.L_CLAIMED] += count

    def end(self, slot: int, outcome: Outcome, count: int = 1, worker: int = 0, begun: bool = True) -> None:
        row = self.wall.layout.lane_slot(worker, 0, slot)
        self.wall.words[row + at.L_OUTCOMES + outcome] += count
        self.wall.words[row + (at.L_BEGUN if begun else at.L_FAULTS_UNBEGUN)] += count

    def serve(self, slot: int, outcome: Outcome, count: int = 1) -> None:
        self.claim(slot, count)
        self.end(slot, outcome, count, begun=outcome is Outcome.OK)

    def close(self) -> None:
        for fd in self.wakes:
            asyncio.get_running_loop().remove_reader(fd)
        for fd in (*self.wakes, self.acks):
            os.close(fd)


class QuietProbes(Probes):
    """Watches nothing by itself: the tests play what the probes say. A fresh check asks a real server."""

    def watch(self, service: str, slot: int, *rest: object) -> None:
        pass


class Life:
    """One life of control over a wall that may outlive it."""

    def __init__(self, told: Settings, wall: Wall, workers: FakeWorkers, folder: Path) -> None:
        self.settings = told
        self.wall = wall
        self.workers = workers
        self.folder = folder
        self.journal: Journal
        self.controller: Controller
        self.bench: Bench
        self.now_ns = clock.now_ns()

    async def begin(self, journal_from: str | None = None, assume: str | None = None) -> Life:
        wall, told = self.wall, self.settings
        past = recovery.read_past(self.folder, wall, journal_from)
        lanes, alarms = Lanes(wall), Alarms()
        crew = Crew(lanes, self.workers.wakes, self.workers.acks)
        last_seq = past.entries[-1].seq if past.entries else 0
        self.journal = Journal(past.database, last_seq, FailPoint(), on_doubt=DoubtAlarm(alarms).told)
        try:
            entries = list(past.entries)
            if not past.warm:
                begun = recovery.boot_entries(past)
                numbers = await self.journal.append(*begun)
                wall.words[at.H_BOOT] = past.boot
                entries += [replace(entry, seq=seq) for entry, seq in zip(begun, numbers, strict=True)]
            found = recovery.registries(told, wall, entries, self.folder, warm=past.warm)
            stored = recovery.stored(told, wall) if past.warm else {}
            if not past.warm:
                recovery.refuse_moved(told, found)
            assumed = recovery.assumed_by_service(assume, told, found)
        except StartError:
            await self.journal.close()
            raise
        crew.listen()
        self.workers.listen()
        self.crew = crew
        self.controller = Controller(told, wall, lanes, crew, self.journal, alarms, "a test")
        await self.controller.probes.close()
        self.controller.probes = QuietProbes(told, self.controller.tasks, lambda event: None)
        broadcast, hand_on = self.controller.broadcast, self.controller.told
        desk = Desk(wall, lanes, self.journal, crew, alarms, broadcast, FailPoint(), past.boot, hand_on)
        machine = Machine(found["svc"], limits(told, told.services["svc"]))
        conductor = Conductor("svc", 0, machine, desk, self.controller.check("svc"))
        await recovery.settle(conductor, told.services["svc"], entries, warm=past.warm, assume=assumed.get("svc"))
        self.bench = Bench(conductor, told, lanes, SampleRing(wall), alarms, self.controller.switched)
        if past.warm:
            self.bench.restore()
        self.controller.benches["svc"] = self.bench
        self.controller.confirm_left(self.bench)
        doubts.settle(self.journal, past.entries, {"svc": conductor}, stored)
        self.controller.view.differences = recovery.differences(told, found)
        return self

    async def end(self) -> None:
        """A clean end; the wall stays."""
        self.crew.deafen()
        for fd in self.workers.wakes:
            asyncio.get_running_loop().remove_reader(fd)
        await self.controller.probes.close()
        await self.controller.tasks.close()
        await self.journal.close()

    # -- play
    def probe(self, version: str, ok: bool = True, times: int = 1, refused: bool = False) -> None:
        target = self.bench.registry.targets[version]
        for _ in range(times):
            for url in target.endpoints:
                slot = target.slot if target.slot is not None else -1
                self.bench.probed(
                    ProbeCompleted(
                        "svc", slot, version, url, ok, refused, "" if ok else "bad", 1.0, clock.now_ns(), False
                    )
                )

    def tick(self, times: int = 1, each: Any = lambda: None) -> None:
        """Let 100 ms pass `times`, on the judge's clock; workers keep beating."""
        for _ in range(times):
            each()
            self.now_ns += 100_000_000
            for index in range(self.wall.layout.workers):
                self.wall.words[self.wall.layout.lane(index) + at.W_HEARTBEAT_NS] = self.now_ns
            self.bench.tick(self.now_ns, False)

    def states(self) -> dict[str, str]:
        return {version: target.state.value for version, target in sorted(self.bench.registry.targets.items())}

    async def until_idle(self) -> None:
        """Wait until the controller's own tasks (confirmations, checks) and the journal have nothing left to do."""
        async with asyncio.timeout(10):
            while len(self.controller.tasks) or self.journal.waiting:
                await asyncio.sleep(0.002)


def new_wall() -> Wall:
    return walls.create(workers=2, services=1)
