"""The control process: `python -m router.control.app BOOT_JSON`. The composition root; no decision is made here.

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

from router import certificates, clock, config, descriptors, logs
from router.boot import ControlBoot, decode
from router.config import Settings
from router.control import doubts, recovery
from router.control.admin import app as admin
from router.control.alarms import Alarms
from router.control.bench import Bench, limits
from router.control.conductor import Conductor, Desk
from router.control.controller import TICK_S, Controller
from router.control.crew import Crew
from router.control.doubts import DoubtAlarm
from router.control.offices import Premises, open_offices
from router.control.recovery import Past
from router.control.store.journal import Journal
from router.errors import OperatorError, StartError
from router.failpoint import FailPoint
from router.rollout.entry import Entry
from router.rollout.machine import Machine
from router.shm import document
from router.shm import layout as at
from router.shm.lanes import Lanes
from router.shm.samples import SampleRing
from router.shm.wall import Wall, attach

log = logging.getLogger(__name__)
_LAG_TICKS: Final = 10
_LOCK_LOOK_S: Final = 0.005
EXIT_UNWRITTEN: Final = 11
"""Of a control that was told to leave, and left facts behind that the disk did not take."""


class Control:
    """One life of the control process."""

    def __init__(self, boot: ControlBoot, wall: Wall, settings: Settings) -> None:
        self._boot = boot
        self._wall = wall
        self._settings = settings
        self._state_dir = Path(boot.state_dir)
        self._leave = asyncio.Event()
        self.all_written = True
        self._lags: deque[float] = deque(maxlen=_LAG_TICKS)

    async def run(self) -> None:
        """Start, serve until told to leave, leave; raise StartError if it cannot start."""
        if not await self._locked():
            return
        past = recovery.read_past(self._state_dir, self._wall, self._boot.journal_from)
        journal, controller, entries = await self._built(past)
        loop = asyncio.get_running_loop()
        controller.offices, operations = open_offices(Premises(controller, self._settings, self._state_dir, entries))
        application = admin.build(controller, self._settings, operations)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave.set)
        loop.add_signal_handler(signal.SIGHUP, self._reread, controller, application)
        loop.add_reader(self._boot.life_fd, self._supervisor_gone)
        tls = certificates.server_of(self._settings.admin.tls.model_dump())
        context = certificates.server_context(tls) if tls is not None else None
        admin.fit(application, descriptors.left())
        runner = await admin.serve(application, socket.socket(fileno=self._boot.admin_fd), context)
        gc.collect()
        gc.freeze()  # what lives as long as the process: a collection that looks at all of it holds the loop
        self._wall.words[at.H_CONTROL_READY] = 1
        controller.tasks.spawn(controller.expiry.keep_looking(), "certificates")
        try:
            await self._keep_ticking(controller)
        finally:
            await runner.cleanup()
            for office in controller.offices:
                await office.close()
            await controller.probes.close()
            await controller.tasks.close()
            self.all_written = await journal.close()

    # -- start
    async def _locked(self) -> bool:
        """Wait until the state is ours, beating: another router may still write to it. False if the supervisor goes first."""
        words = self._wall.words
        while not words[at.H_STATE_LOCKED]:
            words[at.H_CONTROL_HEARTBEAT_NS] = clock.now_ns()
            if select.select([self._boot.life_fd], [], [], 0)[0]:
                return False
            await asyncio.sleep(_LOCK_LOOK_S)
        return True

    async def _built(self, past: Past) -> tuple[Journal, Controller, list[Entry]]:
        wall, settings, boot = self._wall, self._settings, self._boot
        lanes, alarms, fail_point = Lanes(wall), Alarms(), FailPoint(settings.fail_point)
        crew = Crew(lanes, boot.wake_fds, boot.acks_fd)
        last_seq = past.entries[-1].seq if past.entries else 0
        said = (_alarm(alarms), _mark_alarm(alarms), DoubtAlarm(alarms).told)
        journal = Journal(past.database, last_seq, fail_point, *said)
        entries = [*past.entries, *await self._begin_boot(past, journal)]
        found = recovery.registries(settings, wall, entries, self._state_dir, warm=past.warm)
        stored = recovery.stored(settings, wall) if past.warm else {}
        if not past.warm and not boot.resumes:
            recovery.refuse_moved(settings, found)
        assumed = recovery.assumed_by_service(boot.assume_active, settings, found) if past.begun_from else {}
        crew.listen()
        controller = Controller(settings, wall, lanes, crew, journal, alarms, boot.settings_origin)
        desk = Desk(wall, lanes, journal, crew, alarms, controller.broadcast, fail_point, past.boot, controller.told)
        ring = SampleRing(wall)
        for index, (name, registry) in enumerate(found.items()):
            service = settings.services[name]
            machine = Machine(registry, limits(settings, service))
            conductor = Conductor(name, index, machine, desk, controller.check(name))
            await recovery.settle(conductor, service, entries, warm=past.warm, assume=assumed.get(name))
            bench = Bench(conductor, settings, lanes, ring, alarms, controller.switched)
            if past.warm:
                bench.restore()
            bench.watch(controller.probes)
            controller.benches[name] = bench
            controller.confirm_left(bench)
        conductors = {name: bench.conductor for name, bench in controller.benches.items()}
        doubts.settle(journal, past.entries, conductors, stored)
        controller.view.differences = recovery.differences(settings, found)
        for line in controller.view.differences:
            log.warning("%s", line)
        return journal, controller, entries

    async def _begin_boot(self, past: Past, journal: Journal) -> list[Entry]:
        """Journal the boot counter before anything else: with it, no generation is ever issued twice."""
        if past.warm:
            return []
        entries = recovery.boot_entries(past)
        try:
            numbers = await journal.append(*entries)
        except OperatorError as error:
            raise StartError(error.code, f"{error.detail}; a start needs a journal", recovery.EXIT_STATE) from None
        self._wall.words[at.H_BOOT] = past.boot
        return [replace(entry, seq=seq) for entry, seq in zip(entries, numbers, strict=True)]

    # -- life
    async def _keep_ticking(self, controller: Controller) -> None:
        """Tick every 100 ms. A tick that was late is not made up for: its successors keep their distance."""
        due_ns = clock.now_ns()
        while not self._leave.is_set():
            now_ns = clock.now_ns()
            lag_s = max(0.0, (now_ns - due_ns) / 1e9)
            self._lags.append(lag_s)
            self._wall.words[at.H_CONTROL_HEARTBEAT_NS] = now_ns
            self._wall.words[at.H_CONTROL_LAG_US] = int(max(self._lags) * 1e6)
            controller.tick(now_ns, lag_s)
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

    def _reread(self, controller: Controller, application: web.Application) -> None:
        """SIGHUP: the supervisor has validated and written other settings; services themselves need a restart."""
        if not document.receive(self._boot.updates_fd, self._boot.settings_fd):
            log.warning("told to read the settings again, and there are no newer ones")
        settings = config.parse(document.read(self._boot.settings_fd))
        self._settings = settings
        controller.reconfigure(settings)
        admin.reconfigure(application, settings)
        log.info("settings version=%d are in force", self._wall.words[at.H_SETTINGS])


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
    boot = decode(ControlBoot, argument)
    wall = attach(boot.wall_fd)
    settings = config.parse(document.read(boot.settings_fd))

    async def live() -> int:
        control = Control(boot, wall, settings)
        await control.run()
        return 0 if control.all_written else EXIT_UNWRITTEN

    try:
        return uvloop.run(live())
    except StartError as error:
        log.error("%s: %s", error.code, error.detail)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
