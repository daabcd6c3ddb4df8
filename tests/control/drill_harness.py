"""Control with the add-on of drills; time passes only when a test lets it pass."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from router.control.drills.addon import DrillsAddon
from router.control.drills.answers import DrillDocument, DrillDryRun
from router.rollout.facts.entry import Entry
from router.rollout.facts.record import Record
from router.rollout.judge.baseline import estimate
from router.rollout.outcome import Outcome
from router.runtime.printable_json import json_bytes
from router.shm.segment import Segment
from tests import entry_types
from tests.control.answer_check import differences
from tests.control.control_harness import ControlHarness, FakeWorkers, settings
from tests.waiting import until

HOLD_S = 3.0


class DrillHarness:
    """`begin` control on a segment that may outlive it; then `play` seconds."""

    def __init__(self, segment: Segment, workers: FakeWorkers, folder: Path, **service: Any) -> None:
        self.workers = workers
        self.told = settings(folder, **{"drill": {"hold_s": HOLD_S}, **service})
        self.control = ControlHarness(self.told, segment, workers, folder)
        self.drills: DrillsAddon
        self.load: Callable[[], None] = lambda: None
        """What happens at every tick for which no test says anything else."""

    async def begin(self, entries: list[Entry] | None = None) -> DrillHarness:
        await self.control.begin()
        control_loop = self.control.control_loop
        self.drills = DrillsAddon(control_loop, self.told, entries or [], lambda: self.control.now_ns)
        control_loop.add_addons(self.drills)
        return self

    async def accept(self) -> DrillHarness:
        """Make the active version an accepted one, and the standby a ready one."""
        data = {"version": "v1", "baseline": estimate(1000, 0, 0.95).as_dict()}
        await self.control.service_controller.executor.append_and_apply(
            Record.of(entry_types.ACCEPTED, "control", data)
        )
        self.control.probe("v1", times=3)
        self.control.probe("v2", times=3)
        await self.play(1)
        return self

    async def play(self, seconds: float, each: Callable[[], None] | None = None) -> None:
        """Let so many seconds pass: a tick each 100 ms, and whatever follows from it."""
        control = self.control
        for _ in range(round(seconds * 10)):
            control.pass_time(0.1, each or self.load)
            await control.until_idle()

    def serve(self, outcome: Outcome = Outcome.OK, count: int = 1) -> Callable[[], None]:
        """Return what has the active version answer so many requests a tick."""

        def each() -> None:
            slot = self.control.service_controller.active_slot
            if slot is not None:
                self.workers.serve(slot, outcome, count)

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

        async def played() -> bool:
            if not asked.done():
                await self.play(0.1)
            return asked.done()

        await until(played)
        document = asked.result()
        assert differences(DrillDocument | DrillDryRun, json.loads(json_bytes(document))) == []
        return document

    @property
    def registry(self) -> Any:
        return self.control.service_controller.registry

    @property
    def active(self) -> str | None:
        found = self.registry.active
        return found.version if found else None
