"""The control process: `python -m router.control.main BOOT_JSON`. The composition root; no decision is made here.

It reads the settings that the supervisor has put into a memfd, opens the journal, brings every service to what is true,
says that it is ready, and then ticks. It leaves on SIGTERM and when the supervisor is gone (end of file on the life pipe).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web

from router.control.admin import app as admin
from router.control.core import doubts, recovery
from router.control.core.doubts import DoubtAlarm
from router.control.core.executor import CommandExecutor, ExecutorDeps
from router.control.core.loop import TICK_S, ControlLoop
from router.control.core.operations import Operations
from router.control.core.recovery import JournalState
from router.control.core.service_controller import ServiceController, limits
from router.control.core.workers import Workers
from router.control.monitors.alarms import Alarms
from router.control.store.journal import Journal
from router.control.views.queries import Queries
from router.control.wiring import AddonDeps, build_addons
from router.errors import OperatorError, StartError
from router.rollout.machine.machine import Machine
from router.rollout.model.entry import Entry
from router.runtime import clock, fd_limits, logs
from router.runtime.child_args import ControlArgs, decode
from router.runtime.failpoint import FailPoint
from router.settings import loader
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import settings_memory
from router.shm.sample_ring import SampleRing
from router.shm.segment import Segment, attach
from router.shm.worker_stats import WorkerStats
from router.tls import contexts

log = logging.getLogger(__name__)
_LAG_TICKS: Final = 10
_LOCK_LOOK_S: Final = 0.005
EXIT_UNWRITTEN: Final = 11
"""Of a control that was told to leave, and left facts behind that the disk did not take."""


class Control:
    """One life of the control process."""

    def __init__(self, boot: ControlArgs, segment: Segment, settings: Settings) -> None:
        self._boot = boot
        self._segment = segment
        self._settings = settings
        self._state_dir = Path(boot.state_dir)
        self._leave = asyncio.Event()
        self.all_written = True
        self._lags: deque[float] = deque(maxlen=_LAG_TICKS)

    async def run(self) -> None:
        """Start, serve until told to leave, leave; raise StartError if it cannot start."""
        if not await self._locked():
            return
        past = recovery.read_journal_state(self._state_dir, self._segment, self._boot.journal_from)
        journal, control_loop, entries = await self._built(past)
        loop = asyncio.get_running_loop()
        operations = Operations(control_loop)
        queries = Queries(control_loop, journal, self._boot.settings_origin)
        control_loop.addons, routes = build_addons(
            AddonDeps(control_loop, operations, self._settings, self._state_dir, entries)
        )
        application = admin.build(queries, operations, self._settings, routes)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread, control_loop, application)
        loop.add_reader(self._boot.life_fd, self._supervisor_gone)
        tls = contexts.server_of(self._settings.admin.tls.model_dump())
        context = contexts.server_context(tls) if tls is not None else None
        admin.fit(application, fd_limits.left())
        runner = await admin.serve(application, socket.socket(fileno=self._boot.admin_fd), context)
        gc.collect()
        gc.freeze()  # what lives as long as the process: a collection that looks at all of it holds the loop
        self._segment.words[at.H_CONTROL_READY] = 1
        control_loop.tasks.spawn(control_loop.certificates.keep_looking(), "certificates")
        try:
            await self._keep_ticking(control_loop)
        finally:
            await runner.cleanup()
            for addon in control_loop.addons:
                await addon.close()
            await control_loop.probes.close()
            await control_loop.tasks.close()
            self.all_written = await journal.close()

    # -- start
    async def _locked(self) -> bool:
        """Wait until the state is ours, beating: another router may still write to it. False if the supervisor goes first."""
        words = self._segment.words
        while not words[at.H_STATE_LOCKED]:
            words[at.H_CONTROL_HEARTBEAT_NS] = clock.now_ns()
            if select.select([self._boot.life_fd], [], [], 0)[0]:
                return False
            await asyncio.sleep(_LOCK_LOOK_S)
        return True

    async def _built(self, past: JournalState) -> tuple[Journal, ControlLoop, list[Entry]]:
        segment, settings, boot = self._segment, self._settings, self._boot
        worker_stats, alarms, fail_point = WorkerStats(segment), Alarms(), FailPoint(settings.fail_point)
        crew = Workers(worker_stats, boot.wake_fds, boot.acks_fd)
        last_seq = past.entries[-1].seq if past.entries else 0
        said = (_alarm(alarms), _mark_alarm(alarms), DoubtAlarm(alarms).told)
        journal = Journal(past.database, last_seq, fail_point, *said)
        entries = [*past.entries, *await self._begin_boot(past, journal)]
        found = recovery.registries(settings, segment, entries, self._state_dir, warm=past.warm)
        stored = recovery.stored(settings, segment) if past.warm else {}
        if not past.warm and not boot.resumes:
            recovery.refuse_moved(settings, found)
        assumed = recovery.assumed_by_service(boot.assume_active, settings, found) if past.begun_from else {}
        crew.listen()
        control_loop = ControlLoop(settings, segment, worker_stats, crew, journal, alarms)
        desk = ExecutorDeps(
            segment,
            worker_stats,
            journal,
            crew,
            alarms,
            control_loop.broadcast,
            fail_point,
            past.boot,
            control_loop.entry_applied,
        )
        ring = SampleRing(segment)
        for index, (name, registry) in enumerate(found.items()):
            service = settings.services[name]
            machine = Machine(registry, limits(settings, service))
            executor = CommandExecutor(name, index, machine, desk, control_loop.check(name))
            await recovery.reconcile(executor, service, entries, warm=past.warm, assume=assumed.get(name))
            service_controller = ServiceController(
                executor, settings, worker_stats, ring, alarms, control_loop.switched
            )
            if past.warm:
                service_controller.restore()
            service_controller.watch(control_loop.probes)
            control_loop.services[name] = service_controller
            control_loop.confirm_left(service_controller)
        conductors = {name: service_controller.executor for name, service_controller in control_loop.services.items()}
        doubts.settle(journal, past.entries, conductors, stored)
        control_loop.differences = recovery.differences(settings, found)
        for line in control_loop.differences:
            log.warning("%s", line)
        return journal, control_loop, entries

    async def _begin_boot(self, past: JournalState, journal: Journal) -> list[Entry]:
        """Journal the boot counter before anything else: with it, no generation is ever issued twice."""
        if past.warm:
            return []
        entries = recovery.boot_entries(past)
        try:
            numbers = await journal.append(*entries)
        except OperatorError as error:
            raise StartError(error.code, f"{error.detail}; a start needs a journal", recovery.EXIT_STATE) from None
        self._segment.words[at.H_BOOT] = past.boot
        return [replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True)]

    # -- life
    async def _keep_ticking(self, control_loop: ControlLoop) -> None:
        """Tick every 100 ms. A tick that was late is not made up for: its successors keep their distance."""
        due_ns = clock.now_ns()
        while not self._leave.is_set():
            now_ns = clock.now_ns()
            lag_s = max(0.0, (now_ns - due_ns) / 1e9)
            self._lags.append(lag_s)
            self._segment.words[at.H_CONTROL_HEARTBEAT_NS] = now_ns
            self._segment.words[at.H_CONTROL_LAG_US] = int(max(self._lags) * 1e6)
            control_loop.tick(now_ns, lag_s)
            due_ns = max(due_ns + int(TICK_S * 1e9), clock.now_ns())
            try:
                await asyncio.wait_for(self._leave.wait(), max(0.0, (due_ns - clock.now_ns()) / 1e9))
            except TimeoutError:
                pass

    def _supervisor_gone(self) -> None:
        """The life pipe has ended (nothing is ever written to it)."""
        if not os.read(self._boot.life_fd, 1):
            log.warning("the supervisor is gone: leaving")
            asyncio.get_running_loop().remove_reader(self._boot.life_fd)
            self._leave.set()

    def _reread(self, control_loop: ControlLoop, application: web.Application) -> None:
        """SIGHUP: the supervisor has validated and written other settings; services themselves need a restart."""
        if not settings_memory.receive(self._boot.updates_fd, self._boot.settings_fd):
            log.warning("told to read the settings again, and there are no newer ones")
        settings = loader.parse(settings_memory.read(self._boot.settings_fd))
        self._settings = settings
        control_loop.reconfigure(settings)
        admin.reconfigure(application, settings)
        log.info("settings version=%d are in force", self._segment.words[at.H_SETTINGS])


def _alarm(alarms: Alarms) -> Callable[[str | None], None]:
    def tell(why: str | None) -> None:
        if why is None:
            alarms.down("journal_unavailable")
        else:
            alarms.up("journal_unavailable", f"the journal cannot be written: {why}; automatic rollback goes on")

    return tell


def _mark_alarm(alarms: Alarms) -> Callable[[str | None], None]:
    def tell(why: str | None) -> None:
        if why is None:
            alarms.down("journal_mark_unwritable")
        else:
            alarms.up("journal_mark_unwritable", f"{why}; a start would not see that the journal's end is missing")

    return tell


def main(argument: str) -> int:
    """Run one control process; return its exit code (README lists them), having said why on stderr."""
    logs.setup("control")
    boot = decode(ControlArgs, argument)
    segment = attach(boot.segment_fd)
    settings = loader.parse(settings_memory.read(boot.settings_fd))

    async def live() -> int:
        control = Control(boot, segment, settings)
        await control.run()
        return 0 if control.all_written else EXIT_UNWRITTEN

    try:
        return uvloop.run(live())
    except StartError as error:
        log.error("%s: %s", error.code, error.detail)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
