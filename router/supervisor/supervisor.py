"""The parent process. It owns the shared memory and the sockets, starts control and the workers,
and restarts a child that died or is silent.

It handles no HTTP and makes no decisions about versions. Its loop waits for a signal, for a message of a take-over, or for the
next tick: after 100 ms while something is under way, else when something is due, after 500 ms at the latest.

    start: control started → control ready → data sockets listen, workers started → all have heartbeats → announced
    stop:  SIGTERM → not ready, but serving, for `shutdown_delay_s` → SIGTERM to workers → all have ended
           → SIGTERM to control → control has ended → exit

The children hold the read end of a pipe, the supervisor its write end. However the supervisor dies, they read its end of file.
"""

from __future__ import annotations

import logging
import signal
from typing import Final

from router import __version__
from router.errors import StartError
from router.runtime import build, clock, logs
from router.runtime.exit_codes import ExitCode
from router.runtime.failpoint import FailPoint
from router.runtime.host import cgroups, memory
from router.runtime.inlets import Inlets
from router.runtime.text.json_log import members
from router.runtime.text.plurals import counted
from router.settings import loader
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.sample_ring import SampleRing
from router.shm.worker_stats import WorkerStats
from router.supervisor import reload
from router.supervisor.child import Child, describe, start_failure
from router.supervisor.pause import TICK_S, pause_s
from router.supervisor.processes import ProcessSet
from router.supervisor.run_options import RunOptions
from router.supervisor.settings_rollout import SettingsRollout
from router.supervisor.signals import Signals
from router.supervisor.sockets import AdminSocket, DataSockets
from router.supervisor.state_directory import StateDirectory
from router.supervisor.systemd import Notifier
from router.supervisor.takeover.new_router import NewRouter
from router.supervisor.takeover.old_router import OldRouter
from router.tls import contexts

log = logging.getLogger(__name__)

LATE_S: Final = 1.0
"""A later tick means that the supervisor, perhaps the whole machine, was suspended: silence counts from this tick on."""
KILL_AFTER_S: Final = 5.0
"""Time of a stopping child beyond its own time limit."""


class Supervisor:
    """The loop. `settings` has the addresses that were really bound."""

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        state: StateDirectory,
        data: DataSockets,
        admin: AdminSocket,
        processes: ProcessSet,
        old: NewRouter | None = None,
        inlets: Inlets | None = None,
    ) -> None:
        self._options = options
        self._data = data
        self._admin = admin
        self._state = state
        self._old = old  # set: this router is taking over
        self._inlets = inlets
        self._old_router: OldRouter | None = None
        self._halted = False
        self._control_status: int | None = None
        self._failure: StartError | None = None
        self._notifier = Notifier(*loader.systemd_environment())
        self._notify_due_ns = 0
        self._serving = False
        self._announced = False
        self._served = ""
        self._close_at_ns: int | None = None  # set: stopping
        self._leave_by_ns: int | None = None  # set: draining
        self._control_notified = False
        self._cut = 0
        self._exit_code: int | None = None
        self._watched_since_ns = self._ticked_ns = clock.now_ns()
        self._processes = processes
        self._segment = processes.segment
        self._worker_stats = WorkerStats(self._segment)
        self._rollout = SettingsRollout(settings, processes, self._segment, options.origin)
        self._control, self._workers = processes.control, processes.workers
        self._segment.words[at.H_STATE_LOCKED] = old is None
        self._segment.words[at.H_PORT_SHARED] = self._segment.words[at.H_TAKING_OVER] = old is not None

    # -- the loop
    def run(self) -> int:
        """Start the children, watch them, end them; return the exit code."""
        try:
            with Signals() as signals:
                self._processes.certificates.start()
                while self._exit_code is None:
                    self._step(signals)
            if self._failure is not None:
                raise self._failure
            return self._exit_code
        finally:
            self._processes.certificates.stop()
            self._kill_all()
            if self._old_router is not None:
                self._old_router.close()

    def _step(self, signals: Signals) -> None:
        # Each part on its own: signals are handled also while the tick fails again and again.
        for part in (self._tick, self._wait):
            try:
                part(signals)
            except StartError:
                raise
            except Exception:  # the supervisor's guard: the children survive a bug here
                log.exception("the supervisor's tick failed; the next one tries again")
                clock.sleep_s(TICK_S)

    def _tick(self, _signals: Signals) -> None:
        self.tick(clock.now_ns())

    def _wait(self, signals: Signals) -> None:
        takeover = self._old_router or self._old
        for number in signals.wait(self._pause_s(clock.now_ns()), takeover.descriptors if takeover else ()):
            self.signalled(number, clock.now_ns())

    def _pause_s(self, now_ns: int) -> float:
        """Return the longest wait for the next tick: short while something is under way."""
        if self._old_router is None or not self._old_router.is_idle or self._close_at_ns is not None:
            return TICK_S
        if not self._rollout.settled:
            return TICK_S
        newest, limit_s = self._processes.newest_document, self._silent_limit_s
        children = [(child, limit_s(child), newest(child)) for child in (self._control, *self._workers)]
        ping_ns = self._notify_due_ns if self._notifier.watchdog_every_s is not None else None
        return pause_s(children, now_ns, self._watched_since_ns, ping_ns)

    def signalled(self, number: int, now_ns: int) -> None:
        """Handle a signal."""
        if number == signal.SIGHUP:
            self._reload()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._close_at_ns is None:
                self._stopping(now_ns)
            else:
                log.warning("second %s: leaving at once", signal.Signals(number).name)
                self._kill_all()
                self._exit_code = 1 if self._cut else 0

    def tick(self, now_ns: int) -> None:
        """Reap dead children, kill silent ones, start those that are due, and pass from one phase to the next."""
        if now_ns - self._ticked_ns > LATE_S * 1e9:
            self._watched_since_ns = now_ns
        self._ticked_ns = now_ns
        if self._leave_by_ns is None and self._close_at_ns is not None and now_ns >= self._close_at_ns:
            self._drain(now_ns)
        self._rollout.tick(now_ns)
        for child in (self._control, *self._workers):
            self._watch(child, now_ns)
        if self._exit_code is not None:
            return
        if self._leave_by_ns is not None:
            self._leave(now_ns, self._leave_by_ns)
        elif not self._serving and self._segment.words[at.H_CONTROL_READY]:
            if self._old is None:
                self._data.listen()
            self._serving = True
            self._watched_since_ns = now_ns  # workers that were started earlier have heartbeats from now on
        elif not self._announced and self._old is None and self.serving():
            self._announce()
        self._step_takeover(now_ns)
        self._report_services()
        self._ping_watchdog(now_ns)

    def _watch(self, child: Child, now_ns: int) -> None:
        if (status := child.ended()) is not None:
            self._ended(child, status, now_ns)
        elif not child.running:
            if self._due(child, now_ns):
                self._launch(child, now_ns)
        elif self._must_beat(child) and child.is_silent(now_ns, self._watched_since_ns, self._silent_limit_s(child)):
            log.error(
                "%s (pid %d) has been silent for %.1f s: killed",
                child.name,
                child.pid,
                child.silent_s(now_ns, self._watched_since_ns),
            )
            child.send(signal.SIGKILL)
        elif child.up and child.document != self._processes.newest_document(child) and self._processes.deliver(child):
            # Only once it is up: before, it has no handler, and reads the newest settings anyway.
            child.announce_settings(self._processes.newest_document(child))

    def _must_beat(self, child: Child) -> bool:
        """Return whether `child` should have heartbeats. In a take-over a worker starts early and waits for a route."""
        return self._serving or child is self._control

    def _due(self, child: Child, now_ns: int) -> bool:
        started = not self._halted if child is self._control else self._serving or self._inlets is not None
        return started and self._leave_by_ns is None and now_ns >= child.restart_at_ns

    def _silent_limit_s(self, child: Child) -> float:
        timeouts = self._rollout.settings.timeouts
        return timeouts.control_silent_s if child is self._control else timeouts.worker_silent_s

    def _launch(self, child: Child, now_ns: int) -> None:
        words = self._segment.words
        counter = at.H_CONTROL_STARTS if child.index is None else self._segment.layout.worker(child.index) + at.W_STARTS
        words[counter] += 1
        try:
            child.start(now_ns, self._processes.newest_document(child))
        except OSError as error:  # no memory, no process left, no right to execute
            self._unstartable(child, error, now_ns)

    def _unstartable(self, child: Child, error: OSError, now_ns: int) -> None:
        if child is self._control and not self._segment.words[at.H_CONTROL_READY]:
            log.error("control cannot be started: %s", start_failure(error))
            self._exit_code = ExitCode.INTERNAL
            return
        delay_s = child.restart_after(now_ns)
        log.error("%s cannot be started: %s; next try in %.1f s", child.name, start_failure(error), delay_s)

    def _ended(self, child: Child, status: int, now_ns: int) -> None:
        cut = self._reap(child)
        if child is self._control and self._halted:
            log.info("control left: %s", describe(status))
            self._control_status = status
        elif self._leave_by_ns is not None:
            log.info("%s left: %s", child.name, describe(status))
        elif child is self._control and not self._segment.words[at.H_CONTROL_READY]:
            log.error("control ended before it was ready: %s", describe(status))
            self._exit_code = status if status > 0 else ExitCode.INTERNAL
        else:
            delay_s = child.restart_after(now_ns)
            about = members(event="died", died=child.name, exchanges_cut=cut, restart_s=delay_s)
            text = "%s died: %s; %d exchanges cut; restart in %.1f s"
            log.error(text, child.name, describe(status), cut, delay_s, extra=about)

    def _reap(self, child: Child) -> int:
        """Count the exchanges of a dead worker as ended; return how many there were."""
        cut = self._worker_stats.close_dead_worker(child.index, self._places) if child.index is not None else 0
        if self._leave_by_ns is not None:
            self._cut += cut
        return cut

    @property
    def _places(self) -> list[int]:
        """The numbers of the places in use."""
        return [place.number for place in self._rollout.places.values()]

    def _announce(self) -> None:
        self._announced = True
        settings = self._rollout.settings
        self._old_router = OldRouter(self._state.path, self, FailPoint(settings.fail_point))
        services = ", ".join(sorted(settings.services))
        data_url = settings.listen.url(settings.tls.certificate is not None)
        admin_url = settings.admin_listen.url(settings.admin.tls.certificate is not None)
        self._options.announce(
            f"rollback-router {__version__} ({build.flavour()}): serving {services} on {data_url}, admin on {admin_url}, "
            f"{counted(settings.workers, 'worker')}, state in {settings.state_dir}"
        )
        self._served = services
        self._notifier.send("READY=1", f"STATUS=serving {services} on {settings.listen}")

    def _report_services(self) -> None:
        """Tell systemd which services are served, when that has changed."""
        settings = self._rollout.settings
        services = ", ".join(sorted(settings.services))
        if self._announced and services != self._served:
            self._served = services
            self._notifier.send(f"STATUS=serving {services} on {settings.listen}")

    def _ping_watchdog(self, now_ns: int) -> None:
        if self._notifier.watchdog_every_s is not None and now_ns >= self._notify_due_ns:
            self._notify_due_ns = now_ns + round(self._notifier.watchdog_every_s * 1e9)
            self._notifier.send("WATCHDOG=1")

    # -- hot restart: the methods of takeover's OldSupervisor and NewSupervisor
    def _step_takeover(self, now_ns: int) -> None:
        if self._old_router is not None:
            self._old_router.tick(now_ns)
        elif self._old is not None and self._close_at_ns is None:
            try:
                self._old.tick(self, now_ns)
            except StartError as error:
                if not self._serving:
                    raise
                self._failure = error  # the workers have accepted connections: they finish them
                self._stopping(now_ns)

    def refusal(self) -> str | None:
        """Return why this router cannot be taken over now; None if it can."""
        return "it is being stopped" if self._close_at_ns is not None else None

    def offer(self, inlets: int) -> tuple[dict[str, object], list[int]]:
        """Return the details for the successor, and the sockets, which are shared from now on."""
        self._segment.words[at.H_INLETS] = inlets
        self._segment.words[at.H_PORT_SHARED] = 1
        return {"version": __version__}, [sock.fileno() for sock in (*self._data.sockets, self._admin.sock)]

    def halt_control(self) -> None:
        """Stop control, for a while at least."""
        self._halted = True
        self._control_status = None if self._control.running else ExitCode.INTERNAL
        self._control.send(signal.SIGTERM)

    def control_ended(self) -> int | None:
        """Return the exit code of the control that was halted."""
        return self._control_status

    def release(self) -> None:
        """Release the lock of the state."""
        self._state.give_up()

    def retake(self) -> bool:
        """Try to lock the state again."""
        return self._state.take()

    def resume(self, *, from_journal: bool) -> None:
        """Continue as the only router.

        `from_journal`: the other router may have journalled something, so control starts from the journal while workers run.
        """
        log.warning("going on; control %s", "starts from the journal" if from_journal else "goes on from shared memory")
        self._segment.words[at.H_PORT_SHARED] = self._segment.words[at.H_INLETS] = 0
        self._halted = False
        if from_journal:
            self._processes.start_control_from_journal()
            SampleRing(self._segment).clear(self._places)
            self._segment.words[at.H_BOOT] = 0

    def hand_over(self, successor: int) -> None:
        """Finish the requests in flight and exit; the successor owns everything else."""
        self._notifier.send(f"MAINPID={successor}")
        self._close_at_ns = now_ns = clock.now_ns()
        for sock in (self._data, self._admin):
            sock.disown()
            sock.close()
        self._stop_workers(now_ns)

    def workers_drained(self) -> bool:
        """Return whether every worker has stopped starting requests."""
        draining = (self._segment.layout.worker(index) + at.W_DRAINING for index in range(len(self._workers)))
        pairs = zip(self._workers, draining, strict=True)
        return all(not worker.running or self._segment.words[offset] == 2 for worker, offset in pairs)

    def control_ready(self) -> bool:
        """Return whether control waits for the lock."""
        return self._control.up

    def lock(self) -> bool:
        """Try to lock the state; control continues then."""
        if self._state.take():
            self._segment.words[at.H_STATE_LOCKED] = 1
        return bool(self._segment.words[at.H_STATE_LOCKED])

    def serving(self) -> bool:
        """Return whether every worker has a heartbeat."""
        return self._serving and all(worker.up for worker in self._workers)

    def open_inlets(self) -> None:
        """Receive client connections of the old router from now on."""
        if self._inlets is not None:
            self._inlets.open()

    def take_ownership(self) -> None:
        """Become the only router."""
        self._data.own()
        self._admin.own()
        self._segment.words[at.H_PORT_SHARED] = self._segment.words[at.H_TAKING_OVER] = 0
        self._old = None
        self._announce()

    # -- reload of the settings
    def _reload(self) -> None:
        """Read the settings again and send them to the children; a bad file changes nothing."""
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={clock.now_ns() // 1000}")
        self._load_settings()
        self._notifier.send("READY=1")

    def _load_settings(self) -> None:
        try:
            new = self._options.reload()
            for warning in contexts.check(new.model_dump(), clock.wall_s()):
                log.warning("%s", warning)
            settings, needs_restart = reload.merged(self._rollout.settings, new)
            self._rollout.begin(settings, clock.now_ns())
        except StartError as error:
            log.error("settings not reloaded, nothing changed: %s", error.detail)
            return
        if shortage := memory.shortage(settings.workers, len(settings.services), cgroups.memory_limit_bytes()):
            log.warning("%s", shortage)
        if needs_restart:
            log.warning("these settings change only with a restart: %s", ", ".join(needs_restart))
        logs.setup("supervisor", settings.log_format)

    # -- the end
    def _stopping(self, now_ns: int) -> None:
        """Report "not ready" first: load balancers then send clients elsewhere while this router still accepts connections."""
        timeouts = self._rollout.settings.timeouts
        log.info(
            "stopping: not ready; port closes in %g s; requests in flight have %g s",
            *(timeouts.shutdown_delay_s, timeouts.shutdown_timeout_s),
        )
        self._notifier.send("STOPPING=1")
        self._segment.words[at.H_DRAINING] = 1
        if self._old_router is not None:
            self._old_router.abort("it is being stopped")
            self._segment.words[at.H_PORT_SHARED] = self._segment.words[at.H_INLETS] = 0  # a successor stops, too
        self._close_at_ns = now_ns + round(timeouts.shutdown_delay_s * 1e9)
        if self._close_at_ns <= now_ns:
            self._drain(now_ns)

    def _drain(self, now_ns: int) -> None:
        self._data.close()  # the port closes once the workers have closed their descriptors, and new clients go elsewhere
        self._stop_workers(now_ns)

    def _stop_workers(self, now_ns: int) -> None:
        self._leave_by_ns = now_ns + round((self._rollout.settings.timeouts.shutdown_timeout_s + KILL_AFTER_S) * 1e9)
        for worker in self._workers:
            worker.send(signal.SIGTERM)

    def _leave(self, now_ns: int, leave_by_ns: int) -> None:
        if now_ns > leave_by_ns:
            self._kill_all()
        if any(worker.running for worker in self._workers):
            return
        if not self._control.running:
            self._exit_code = 1 if self._cut else 0
        elif not self._control_notified:
            self._control_notified = True
            self._leave_by_ns = now_ns + round(2 * KILL_AFTER_S * 1e9)
            self._control.send(signal.SIGTERM)

    def _kill_all(self) -> None:
        for child in (*self._workers, self._control):
            if child.running:
                child.send(signal.SIGKILL)
                child.wait()
                child.ended()
                self._reap(child)
