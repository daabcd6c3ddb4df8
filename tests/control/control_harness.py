"""A real segment, a real journal, a control loop without HTTP; workers and probes are fakes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from router.control.core import recovery
from router.control.core.loop import ControlLoop
from router.control.core.probes import Probes
from router.control.core.service_controller import ServiceController
from router.control.monitors.alarms import Alarms
from router.control.store.journal_file import JournalFile
from router.control.views.queries import Queries
from router.control.wiring import Core, CoreDeps, build_core, open_journal
from router.errors import StartError
from router.rollout.model.events import ProbeCompleted
from router.rollout.outcome import Outcome
from router.runtime import clock
from router.runtime.child_args import ControlArgs
from router.runtime.failpoint import FailPoint
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import segment as segments
from router.shm.route_cell import RouteCell
from router.shm.segment import Segment
from router.shm.settings_memory import Place
from tests.control.hung_disk import Disk
from tests.control.verbs import Verbs
from tests.waiting import until

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

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.wakes = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(segment.layout.workers)]
        self.acks = os.eventfd(0, os.EFD_NONBLOCK)
        self.deaf: set[int] = set()
        for index in range(segment.layout.workers):
            self.live(index)

    def live(self, index: int, pid: int | None = None) -> None:
        row = self.segment.layout.worker(index)
        self.segment.words[row + at.W_PID] = os.getpid() if pid is None else pid
        self.segment.words[row + at.W_HEARTBEAT_NS] = clock.now_ns()

    def listen(self) -> None:
        for index, fd in enumerate(self.wakes):
            asyncio.get_running_loop().add_reader(fd, self._woken, index)

    def _woken(self, index: int) -> None:
        os.eventfd_read(self.wakes[index])
        self.acknowledge(index)

    def acknowledge(self, index: int) -> None:
        if index in self.deaf:
            return
        for service in range(self.segment.layout.services):
            row = self.segment.layout.worker_service(index, service)
            self.segment.words[row + at.LS_ACKNOWLEDGED_NS] = clock.now_ns()
            self.segment.words[row + at.LS_ACKNOWLEDGED] = RouteCell(self.segment, service).word() >> 20
        os.eventfd_write(self.acks, 1)

    def claim(self, slot: int, count: int = 1, worker: int = 0) -> None:
        self.segment.words[self.segment.layout.worker_slot(worker, 0, slot) + at.L_CLAIMED] += count

    def end(self, slot: int, outcome: Outcome, count: int = 1, worker: int = 0, begun: bool = True) -> None:
        row = self.segment.layout.worker_slot(worker, 0, slot)
        self.segment.words[row + at.L_OUTCOMES + outcome] += count
        self.segment.words[row + (at.L_BEGUN if begun else at.L_FAULTS_UNBEGUN)] += count

    def serve(self, slot: int, outcome: Outcome, count: int = 1) -> None:
        self.claim(slot, count)
        self.end(slot, outcome, count, begun=outcome is Outcome.OK)

    def rescue(self, slot: int, *, well: bool = True) -> None:
        """A request that failed on this slot was sent to the other version."""
        row = self.segment.layout.worker_slot(0, 0, slot)
        self.segment.words[row + (at.L_PAIRS_WELL if well else at.L_PAIRS_FAILED)] += 1

    def close(self) -> None:
        for fd in self.wakes:
            asyncio.get_running_loop().remove_reader(fd)
        for fd in (*self.wakes, self.acks):
            os.close(fd)


class FakeProbes(Probes):
    """Probes nothing by itself: tests report the results. A fresh check probes a real server."""

    def watch(self, service: str, version: str, *rest: object, **more: object) -> None:
        pass


class HarnessAlarms(Alarms):
    """Alarms without `journal_unavailable`: time runs ahead in tests, so a busy disk would look like one that hangs.

    `journal_errors` has the details of that alarm, and None for its end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.journal_errors: list[str | None] = []

    def up(self, code: str, detail: str, service: str = "") -> None:
        if code == "journal_unavailable":
            self.journal_errors.append(detail)
        else:
            super().up(code, detail, service)

    def down(self, code: str, service: str = "") -> None:
        if code == "journal_unavailable":
            self.journal_errors.append(None)
        else:
            super().down(code, service)


class HarnessFailPoint(FailPoint):
    """Calls `on_hit` with the name of each point that is passed, on the thread that passes it."""

    on_hit: Callable[[str], None] = staticmethod(lambda name: None)

    def hit(self, name: str) -> None:
        self.on_hit(name)


class ControlHarness:
    """One run of control over a segment that may outlive it. `disk` is the database of the journal, which can hang."""

    def __init__(self, told: Settings, segment: Segment, workers: FakeWorkers, folder: Path) -> None:
        self.settings = told
        self.segment = segment
        self.workers = workers
        self.folder = folder
        self.core: Core
        self.journal: JournalFile
        self.disk: Disk
        self.fail_point: HarnessFailPoint
        self.alarms: HarnessAlarms
        self.control_loop: ControlLoop
        self.operations: Verbs
        self.queries: Queries
        self.service_controller: ServiceController
        self.now_ns = clock.now_ns()

    async def begin(
        self,
        journal_from: str | None = None,
        assume: str | None = None,
        places: Mapping[str, Place] = MappingProxyType({}),
        document: int = 1,
    ) -> ControlHarness:
        """Build the core as the control process does, but for the probes."""
        args = ControlArgs(
            segment_fd=self.segment.fd,
            settings_fd=-1,
            updates_fd=-1,
            admin_fd=-1,
            wake_fds=self.workers.wakes,
            acks_fd=self.workers.acks,
            life_fd=-1,
            state_dir=str(self.folder),
            settings_origin="a test",
            assume_active=assume,
            journal_from=journal_from,
        )
        journal_state = recovery.read_journal_state(self.folder, self.segment, journal_from)
        self.disk = Disk(journal_state.database)
        journal_state = replace(journal_state, database=self.disk)  # type: ignore[arg-type]  # it has the same methods
        alarms, fail_point = HarnessAlarms(), HarnessFailPoint()
        self.alarms, self.fail_point = alarms, fail_point
        self.journal = open_journal(journal_state, self.segment, alarms, fail_point)
        self.workers.listen()
        deps = CoreDeps(
            *(args, self.segment, self.settings, alarms, fail_point, journal_state, self.journal, FakeProbes),
            places=places,
            document=document,
        )
        try:
            self.core = await build_core(deps)
        except StartError:
            await self.journal.close()
            raise
        self.control_loop, self.operations = self.core.control_loop, Verbs(self.core.operations)
        self.queries = self.core.queries
        self.service_controller = self.control_loop.services["svc"]
        return self

    async def end(self) -> None:
        """A clean end; the segment stays."""
        self.control_loop.workers.stop_listening()
        for fd in self.workers.wakes:
            asyncio.get_running_loop().remove_reader(fd)
        await self.control_loop.close()

    # -- what happens
    def probe(self, version: str, ok: bool = True, times: int = 1, refused: bool = False) -> None:
        target = self.service_controller.registry.targets[version]
        for _ in range(times):
            for url in target.endpoints:
                self.service_controller.probed(
                    ProbeCompleted("svc", version, url, ok, refused, "" if ok else "bad", 1.0, clock.now_ns(), False)
                )

    def tick(self, times: int = 1, each: Any = lambda: None) -> None:
        """Let 100 ms pass `times`, on the judge's clock; workers keep beating."""
        for _ in range(times):
            each()
            self.now_ns += 100_000_000
            for index in range(self.segment.layout.workers):
                self.segment.words[self.segment.layout.worker(index) + at.W_HEARTBEAT_NS] = self.now_ns
            self.service_controller.tick(self.now_ns, False)

    def pass_time(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass for the whole control: services are judged, add-ons get entries and seconds; workers keep beating."""
        for _ in range(round(seconds * 10)):
            each()
            self.now_ns += 100_000_000
            for index in range(self.segment.layout.workers):
                self.segment.words[self.segment.layout.worker(index) + at.W_HEARTBEAT_NS] = self.now_ns
            self.control_loop.tick(self.now_ns, 0.0)

    def states(self) -> dict[str, str]:
        return {
            version: target.state.value for version, target in sorted(self.service_controller.registry.targets.items())
        }

    async def until_idle(self) -> None:
        """Wait until the controller's own tasks (confirmations, checks) and the journal have nothing left to do."""
        await until(lambda: not (len(self.control_loop.tasks) or self.journal.waiting))


def new_segment(services: int = 1) -> Segment:
    return segments.create(workers=2, services=services)


def first_generation(changes: int = 0) -> int:
    """The generation of a first start after so many changes."""
    return (1 << 24) + 1 + changes


async def journaled_types(control: ControlHarness) -> list[str]:
    """The types of all journal entries, oldest first."""
    return [entry["type"] for entry in (await control.queries.journal(0, 1000))["entries"]]
