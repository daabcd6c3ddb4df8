"""A control with its cases add-on. Time passes only when a test lets it pass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.control.cases.addon import CasesAddon
from router.control.cases.operations import CaseOperations
from router.rollout.facts.entry import Entry
from router.runtime import clock
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing
from tests.control.cases.test_captures import record
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.waiting import until


class CasesHarness:
    """A control with the cases add-on. `control.now_ns` runs ahead of the real clock by the time that tests let pass."""

    def __init__(self, control: ControlHarness, entries: list[Entry]) -> None:
        self.control = control
        self.control_loop = control.control_loop
        self.operations = control.operations
        self.service_controller = control.service_controller
        self.addon = CasesAddon(control.control_loop, control.settings, control.folder, entries)
        self.case_operations = CaseOperations(self.addon)
        control.control_loop.add_addons(self.addon)

    def fail(self, *records: bytes, worker: int = 0) -> None:
        for one in records or (record(),):
            CaptureRing(self.control.segment, worker, at.CAPTURE_FAILURES).write(clock.now_ns(), 0, one)

    async def rollback(self, reason: str = "broken") -> dict[str, Any]:
        return await self.operations.rollback(service="svc", actor="ann", reason=reason)

    def tick(self, seconds: float = 0.1) -> None:
        self.control.pass_time(seconds)

    async def until(self, condition: Callable[[], object]) -> None:
        """Let time pass, a tenth of a second a turn, until `condition` is true."""
        await until(lambda: condition() or self.tick())

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = self.addon.status("svc")["cases"]
        return document

    async def journal(self, *kinds: str) -> list[dict[str, Any]]:
        await self.settle()
        found = await self.control.journal.entries(0, 1000)
        return [{"type": one.type, "actor": one.actor, **one.fact.to_data()} for one in found if one.type in kinds]

    async def settle(self) -> None:
        await self.control.until_idle()

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in self.control_loop.alarms.listing()]

    async def candidate(self, url: str, version: str = "v3") -> None:
        """Bring in a version whose probes are good."""
        await self.operations.deploy(service="svc", version=version, endpoints=[url], actor="ann")
        self.control.probe(version, times=5)

    async def end(self) -> None:
        await self.control_loop.tasks.close()
        await self.addon.close()
        await self.control.end()


async def harness_over(folder: Path, control: ControlHarness, **service: Any) -> CasesHarness:
    begun = await control.begin()
    return CasesHarness(begun, await begun.journal.entries(0, 1000))


@pytest.fixture
async def start_harness(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Start a control over the same segment and folder. The one before has ended, or was killed (`end` was not called)."""
    segment = new_segment()
    workers = FakeWorkers(segment)
    begun: list[CasesHarness] = []

    async def begin(**service: Any) -> CasesHarness:
        document = settings(tmp_path, **service)
        begun.append(await harness_over(tmp_path, ControlHarness(document, segment, workers, tmp_path)))
        return begun[-1]

    yield begin
    await begun[-1].end()
    workers.close()
    segment.close()


def bodies(suite: list[Any]) -> list[str]:
    return sorted(orjson.loads(stored.case.request.body)["x"] for stored in suite)
