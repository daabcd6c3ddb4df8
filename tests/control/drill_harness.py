"""A life of control with the office of drills, whose seconds pass when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.control.drills.addon import DrillsAddon
from router.rollout.judge.baseline import estimate
from router.rollout.model import entry as kinds
from router.rollout.model.commands import Record
from router.rollout.model.entry import Entry
from router.rollout.outcome import Outcome
from router.shm import layout as at
from router.shm.segment import Segment
from tests.control.control_harness import ControlHarness, FakeWorkers, settings

HOLD_S = 3.0


class Stage:
    """`begin` a life on a wall that may outlive it; then `play` seconds of it."""

    def __init__(self, segment: Segment, workers: FakeWorkers, folder: Path, **service: Any) -> None:
        self.workers = workers
        self.told = settings(folder, **{"drill": {"hold_s": HOLD_S}, **service})
        self.life = ControlHarness(self.told, segment, workers, folder)
        self.drills: DrillsAddon
        self.load: Callable[[], None] = lambda: None
        """What happens at every tick for which no test says anything else."""

    async def begin(self, entries: list[Entry] | None = None) -> Stage:
        await self.life.begin()
        control_loop = self.life.control_loop
        self.drills = DrillsAddon(control_loop, self.told, entries or [], lambda: self.life.now_ns)
        control_loop.addons = (self.drills,)
        return self

    async def accept(self) -> Stage:
        """Make the active version an accepted one, and the standby a ready one."""
        data = {"version": "v1", "baseline": estimate(1000, 0, 0.95).as_dict()}
        await self.life.service_controller.executor.append_and_apply(Record(kinds.ACCEPTED, "control", data))
        self.life.probe("v1", times=3)
        self.life.probe("v2", times=3)
        await self.play(1)
        return self

    async def play(self, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Let so many seconds pass: a tick each 100 ms, and whatever follows from it."""
        life = self.life
        for _ in range(round(seconds * 10)):
            (each or self.load)()
            life.now_ns += 100_000_000
            for index in range(life.segment.layout.workers):
                life.segment.words[life.segment.layout.worker(index) + at.W_HEARTBEAT_NS] = life.now_ns
            life.control_loop.tick(life.now_ns, 0.0)
            await life.until_idle()

    def serve(self, outcome: Outcome = Outcome.OK, count: int = 1) -> Callable[[], None]:
        """Return what has the active version answer so many requests a tick."""

        def each() -> None:
            active = self.life.service_controller.registry.active
            if active is not None and active.slot is not None:
                self.workers.serve(active.slot, outcome, count)

        return each

    async def ask(self, mode: str = "real", **how: Any) -> dict[str, Any]:
        """Ask for a drill, and let time pass until it is answered."""
        told = {
            "service": "svc",
            "mode": mode,
            "hold_s": None,
            "force": False,
            "actor": "ann",
            "reason": "",
            "dry_run": False,
        }
        asked = asyncio.ensure_future(self.drills.drill(**(told | how)))
        while not asked.done():
            await asyncio.sleep(0.002)
            await self.play(0.1)
        return asked.result()

    @property
    def registry(self) -> Any:
        return self.life.service_controller.registry

    @property
    def active(self) -> str | None:
        found = self.registry.active
        return found.version if found else None
