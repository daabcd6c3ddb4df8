"""The control process: `python -m router.control.main ARGS_JSON`.

It reads the settings from the memfd that the supervisor has written, opens the journal, reconciles every service, sets the
ready word in shared memory, and then ticks. It exits on SIGTERM, and when the supervisor has died (end of file on the life
pipe). `wiring` builds the parts; the classes of `core` do the work.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import select
import signal
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Final

import uvloop
from aiohttp import web

from router.control.admin import app as admin
from router.control.admin.sessions.sessions import opened as open_sessions
from router.control.core import recovery
from router.control.core.loop import TICK_S, ControlLoop
from router.control.core.probes import Probes
from router.control.monitors.alarms import Alarms
from router.control.start_heartbeat import StartHeartbeat
from router.control.wiring import AddonDeps, Core, CoreDeps, add_addons, build_core, open_journal
from router.errors import Refusal, StartError
from router.rollout.facts.entry import Entry
from router.runtime import clock, fd_limits, logs
from router.runtime.child_args import ControlArgs, decode
from router.runtime.exit_codes import exit_code
from router.runtime.failpoint import FailPoint
from router.settings import loader
from router.settings.sections.service import Service
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import settings_memory
from router.shm.segment import Segment, attach
from router.shm.settings_memory import DeliveredSettings
from router.tls import contexts, kept_files

log = logging.getLogger(__name__)
_LAG_TICKS: Final = 10
_LOCK_POLL_S: Final = 0.005
_FREED_AT_ONCE: Final = 10_000
EXIT_UNWRITTEN: Final = 11
"""Exit code of a control that was stopped and left entries which the disk did not take."""


class Control:
    """One run of the control process. `all_written` is true after `run` if the disk has taken every entry."""

    def __init__(self, args: ControlArgs, segment: Segment, delivery: DeliveredSettings) -> None:
        self._args = args
        self._segment = segment
        self._delivery = delivery
        self._settings = settings_of(delivery)
        self._applying = asyncio.Lock()
        self._state_dir = Path(args.state_dir)
        self._stopping = False
        self._pause: asyncio.Future[None] | None = None
        self.all_written = True
        self._lags: deque[float] = deque(maxlen=_LAG_TICKS)

    async def run(self) -> None:
        """Start, serve until stopped, stop; raise StartError if control cannot start."""
        if not await self._state_locked():
            return
        with StartHeartbeat(self._beat):
            control_loop, runner = await self._start()
        try:
            await self._keep_ticking(control_loop)
        finally:
            await runner.cleanup()
            for addon in control_loop.addons:
                await addon.close()
            self.all_written = await control_loop.close()

    # -- start
    async def _start(self) -> tuple[ControlLoop, web.AppRunner]:
        """Return control built from the journal, and its admin port. The entries are forgotten: what is needed was folded."""
        gc.disable()  # a long journal makes millions of objects, and each full collection would look at all of them
        journal_state = recovery.read_journal_state(self._state_dir, self._segment, self._args.journal_from)
        alarms = Alarms()
        fail_point = FailPoint(self._settings.fail_point)
        journal = open_journal(journal_state, self._segment, alarms, fail_point)
        kept = self._args.certificates_fd
        files = {} if kept is None else kept_files.decode(settings_memory.read(kept))
        probes = functools.partial(Probes, kept=files)
        delivery = self._delivery
        core = await build_core(
            CoreDeps(
                *(self._args, self._segment, self._settings, alarms, fail_point, journal_state, journal, probes),
                *(delivery.places, tuple(delivery.leaving), delivery.number),
            )
        )
        control_loop = core.control_loop
        loop = asyncio.get_running_loop()
        routes = add_addons(AddonDeps(core, self._settings, self._state_dir))
        sessions = open_sessions(self._state_dir)
        application = admin.build(core.queries, core.operations, self._settings, routes, sessions=sessions)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_sighup, core, application)
        loop.add_reader(self._args.life_fd, self._on_life_pipe)
        tls = contexts.server_of(self._settings.admin.tls.model_dump(), files.get(kept_files.ADMIN))
        context = kept_files.server_context(tls) if tls is not None else None
        admin.apply_fd_limit(application, fd_limits.left())
        runner = await admin.serve(application, socket.socket(fileno=self._args.admin_fd), context)
        _free(journal_state.entries)
        _free(core.entries)
        gc.enable()
        gc.collect()
        gc.freeze()  # these objects live as long as the process; a full collection over them would block the loop
        words = self._segment.words
        if words[at.H_CONTROL_REFUSED] != delivery.number:
            words[at.H_CONTROL_DOCUMENT] = delivery.number
        words[at.H_CONTROL_READY] = 1
        self._on_sighup(core, application)  # a SIGHUP during the start was ignored, and its document waits
        control_loop.tasks.spawn(control_loop.certificates.run(), "certificates")
        control_loop.tasks.spawn(control_loop.keep_resolving(), "resolver")
        return control_loop, runner

    def _beat(self) -> None:
        self._segment.words[at.H_CONTROL_HEARTBEAT_NS] = clock.now_ns()

    async def _state_locked(self) -> bool:
        """Wait, with a heartbeat, until this router owns the state directory: the old router of a take-over may still write.

        Return False if the supervisor ends before.
        """
        words = self._segment.words
        while not words[at.H_STATE_LOCKED]:
            self._beat()
            if select.select([self._args.life_fd], [], [], 0)[0]:
                return False
            await asyncio.sleep(_LOCK_POLL_S)
        return True

    # -- run
    async def _keep_ticking(self, control_loop: ControlLoop) -> None:
        """Tick every 100 ms. After a late tick the next ticks keep their distance; missed ticks are skipped."""
        due_ns = clock.now_ns()
        while not self._stopping:
            now_ns = clock.now_ns()
            lag_s = max(0.0, (now_ns - due_ns) / 1e9)
            self._lags.append(lag_s)
            self._segment.words[at.H_CONTROL_HEARTBEAT_NS] = now_ns
            self._segment.words[at.H_CONTROL_LAG_US] = int(max(self._lags) * 1e6)
            control_loop.tick(now_ns, lag_s)
            due_ns = max(due_ns + int(TICK_S * 1e9), clock.now_ns())
            await self._until(due_ns)

    async def _until(self, due_ns: int) -> None:
        """Return at `due_ns`, or as soon as control is stopped."""
        loop = asyncio.get_running_loop()
        self._pause = loop.create_future()
        timer = loop.call_later(max(0.0, (due_ns - clock.now_ns()) / 1e9), self._end_pause)
        try:
            await self._pause
        finally:
            timer.cancel()

    def _end_pause(self) -> None:
        if self._pause is not None and not self._pause.done():
            self._pause.set_result(None)

    def _stop(self) -> None:
        self._stopping = True
        self._end_pause()

    def _on_life_pipe(self) -> None:
        """The supervisor has ended: nothing is ever written to the life pipe."""
        if not os.read(self._args.life_fd, 1):
            log.warning("the supervisor is gone: stopping")
            asyncio.get_running_loop().remove_reader(self._args.life_fd)
            self._stop()

    def _on_sighup(self, core: Core, application: web.Application) -> None:
        core.control_loop.tasks.spawn(self._apply_newest(core, application), "settings")

    async def _apply_newest(self, core: Core, application: web.Application) -> None:
        """Apply the newest settings that the supervisor has validated and sent; report that they are in force, or refused."""
        async with self._applying:
            settings_memory.receive(self._args.updates_fd, self._args.settings_fd)
            delivery = settings_memory.decode(settings_memory.read(self._args.settings_fd))
            if delivery.number <= self._delivery.number:
                return
            added = delivery.places.keys() - core.control_loop.services.keys()
            try:
                await self._apply(delivery, core, application)
            except Exception:  # it broke off half-way: a replacement is whole, as it starts with the newest document
                if added:
                    self._segment.words[at.H_CONTROL_REFUSED] = delivery.number
                self._stop()
                raise

    async def _apply(self, delivery: DeliveredSettings, core: Core, application: web.Application) -> None:
        settings, words = settings_of(delivery), self._segment.words
        version = delivery.version if delivery.version != self._delivery.version else None
        try:
            await core.service_set.change(settings, delivery.places, version, tuple(delivery.leaving))
        except (Refusal, StartError) as error:
            log.error("settings refused, nothing changed: %s", error.detail)
            words[at.H_CONTROL_REFUSED] = delivery.number
            return
        self._settings, self._delivery = settings, delivery
        logs.setup("control", settings.log_format)
        admin.reconfigure(application, settings)
        words[at.H_CONTROL_DOCUMENT] = delivery.number
        log.info("settings version=%d are in force", delivery.version)


def settings_of(delivery: DeliveredSettings) -> Settings:
    """Return the settings of a document, with the services that are leaving."""
    settings = loader.parse(delivery.settings)
    leaving = {name: Service.model_validate_json(text) for name, text in delivery.leaving.items()}
    return settings.model_copy(update={"services": {**settings.services, **leaving}})


def _free(entries: list[Entry]) -> None:
    """Empty a list. In one step, a million entries would block every thread for seconds, also that of the heartbeat."""
    while entries:
        del entries[-_FREED_AT_ONCE:]


def main(argument: str) -> int:
    """Run one control process; return its exit code (runtime/exit_codes.py), after logging the reason to stderr."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the handler is there: it would end the process
    args = decode(ControlArgs, argument)
    logs.setup("control", args.log_format)
    segment = attach(args.segment_fd)
    delivery = settings_memory.decode(settings_memory.read(args.settings_fd))

    async def run() -> int:
        control = Control(args, segment, delivery)
        await control.run()
        return 0 if control.all_written else EXIT_UNWRITTEN

    try:
        return uvloop.run(run())
    except StartError as error:
        log.error("%s: %s", error.code, error.detail)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
