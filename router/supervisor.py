"""The parent process: it owns the memory and the sockets, starts the others, and restarts what died or fell silent.

No HTTP, no decisions. Its loop waits for a signal or for the next tick of 100 ms:

    control started → it is ready → the data sockets listen, workers started → all beat: announced
    SIGTERM → not ready, but serving, for `shutdown_delay_s` →
        workers told to finish → all gone → control told to finish → gone: the end

Children hold the read end of a pipe of which we hold the other: when we die, however we die, they see its end.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from router import __version__, boot, clock, config
from router.children import Child, describe
from router.config import Settings
from router.errors import StartError
from router.sections import Address
from router.shm import document, wall
from router.shm import layout as at
from router.shm.lanes import Lanes
from router.signals import Signals
from router.sockets import AdminSocket, DataSockets
from router.state_directory import PATIENCE_S, StateDirectory
from router.systemd import Notifier

log = logging.getLogger(__name__)

EXIT_INTERNAL: Final = 10
TICK_S: Final = 0.1
LATE_S: Final = 1.0
"""A tick later than this means that we stood still, perhaps with the whole machine: silence is counted from here."""
KILL_AFTER_S: Final = 5.0
"""What a child that was told to leave gets beyond its own time limit."""
CONTROL: Final = (sys.executable, "-m", "router.control.app")
WORKER: Final = (sys.executable, "-m", "router.worker")
FIXED: Final = (
    "listen",
    "listen_mode",
    "admin_listen",
    "admin_listen_mode",
    "workers",
    "state_dir",
    "ready_path",
    "fail_point",
)
"""Settings that only a restart can change."""


@dataclass(frozen=True, slots=True)
class Start:
    """How this run was asked for. `reload` reads the settings again; `announce` shows a line to the person who started us."""

    origin: str
    reload: Callable[[], Settings]
    announce: Callable[[str], None]
    fresh: bool = False
    assume_active: str | None = None
    journal_from: str | None = None


def run(
    settings: Settings, start: Start, control_argv: Sequence[str] = CONTROL, worker_argv: Sequence[str] = WORKER
) -> int:
    """Run the router until it is told to stop; return the exit code. Raise StartError if it cannot start."""
    _raise_file_limit()
    state = StateDirectory(settings.resolved_state_dir().absolute())
    doors: list[DataSockets | AdminSocket] = []
    try:
        if start.fresh and (archive := state.archive(clock.wall_s())):
            start.announce(f"--fresh: the old state is now in {archive}")
        patience_s = PATIENCE_S if state.unclean else 0.0
        doors.append(data := DataSockets(settings.listen, settings.workers, patience_s, settings.listen_mode))
        doors.append(admin := AdminSocket(settings.admin_listen, patience_s, settings.admin_listen_mode))
        bound = settings.model_copy(
            update={"listen": data.address, "admin_listen": admin.address, "state_dir": state.path}
        )
        return Supervisor(bound, start, state, data, admin.sock, control_argv, worker_argv).run()
    finally:
        for door in doors:
            door.close()
        state.close()


def _raise_file_limit() -> None:
    """Every connection is a descriptor: take what we are allowed; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Supervisor:
    """The loop. `settings` names the addresses that were really bound."""

    def __init__(
        self,
        settings: Settings,
        start: Start,
        state: StateDirectory,
        data: DataSockets,
        admin: socket.socket,
        control_argv: Sequence[str],
        worker_argv: Sequence[str],
    ) -> None:
        self._settings = settings
        self._start = start
        self._data = data
        self._wall = wall.create(settings.workers, len(settings.services))
        self._lanes = Lanes(self._wall)
        self._notifier = Notifier(*config.systemd_environment())
        self._notify_due_ns = 0
        self._serving = False
        self._announced = False
        self._close_at_ns: int | None = None  # set: we were told to stop
        self._leave_by_ns: int | None = None  # set: we are draining
        self._control_told = False
        self._cut = 0
        self._exit_code: int | None = None
        self._watched_since_ns = self._ticked_ns = clock.now_ns()
        self._wall.words[at.H_SETTINGS] = 1

        settings_fd = document.create(config.dump(settings))
        self._settings_fd = settings_fd
        wakes = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(settings.workers)]
        acks = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._life_read, self._life_write = os.pipe()
        shared = (self._wall.fd, settings_fd, acks, self._life_read)
        self._control = Child(
            "control",
            lambda: (*control_argv, self._control_boot(admin.fileno(), wakes, acks, str(state.path))),
            (*shared, admin.fileno(), *wakes, state.lock_fd),
            lambda: self._wall.words[at.H_CONTROL_HEARTBEAT_NS],
        )
        self._workers = [
            self._worker(index, worker_argv, data.sockets[index].fileno(), wakes[index], acks, shared)
            for index in range(settings.workers)
        ]

    def _control_boot(self, admin_fd: int, wake_fds: list[int], acks_fd: int, state_dir: str) -> str:
        first = not self._wall.words[at.H_CONTROL_READY]
        return boot.encode(
            boot.ControlBoot(
                wall_fd=self._wall.fd,
                settings_fd=self._settings_fd,
                admin_fd=admin_fd,
                wake_fds=wake_fds,
                acks_fd=acks_fd,
                life_fd=self._life_read,
                state_dir=state_dir,
                settings_origin=self._start.origin,
                assume_active=self._start.assume_active if first else None,
                journal_from=self._start.journal_from if first else None,
            )
        )

    def _worker(
        self, index: int, argv: Sequence[str], listen_fd: int, wake_fd: int, acks_fd: int, shared: tuple[int, ...]
    ) -> Child:
        argument = boot.encode(
            boot.WorkerBoot(
                index=index,
                wall_fd=self._wall.fd,
                settings_fd=self._settings_fd,
                listen_fd=listen_fd,
                wake_fd=wake_fd,
                acks_fd=acks_fd,
                life_fd=self._life_read,
            )
        )
        heartbeat = self._wall.layout.lane(index) + at.W_HEARTBEAT_NS
        return Child(
            f"worker {index}",
            lambda: (*argv, argument),
            (*shared, listen_fd, wake_fd),
            lambda: self._wall.words[heartbeat],
            index,
        )

    # -- the loop
    def run(self) -> int:
        """Start everything, watch it, end it; return the exit code."""
        try:
            with Signals() as signals:
                while self._exit_code is None:
                    self._step(signals)
            return self._exit_code
        finally:
            self._kill_all()

    def _step(self, signals: Signals) -> None:
        try:
            self.tick(clock.now_ns())
            for number in signals.wait(TICK_S):
                self.signalled(number, clock.now_ns())
        except StartError:
            raise
        except Exception:  # the supervisor's guard: children outlive our mistakes
            log.exception("the supervisor's tick failed; the next one tries again")
            clock.sleep_s(TICK_S)

    def signalled(self, number: int, now_ns: int) -> None:
        """Do what a signal asks for."""
        if number == signal.SIGHUP:
            self._reload()
        elif number in (signal.SIGTERM, signal.SIGINT):
            if self._close_at_ns is None:
                self._told_to_stop(now_ns)
            else:
                log.warning("second %s: leaving at once", signal.Signals(number).name)
                self._kill_all()
                self._exit_code = 1 if self._cut else 0

    def tick(self, now_ns: int) -> None:
        """Reap, kill the silent, start what is due, and pass from one phase to the next."""
        if now_ns - self._ticked_ns > LATE_S * 1e9:
            self._watched_since_ns = now_ns
        self._ticked_ns = now_ns
        if self._leave_by_ns is None and self._close_at_ns is not None and now_ns >= self._close_at_ns:
            self._drain(now_ns)
        for child in (self._control, *self._workers):
            self._watch(child, now_ns)
        if self._exit_code is not None:
            return
        if self._leave_by_ns is not None:
            self._leave(now_ns, self._leave_by_ns)
        elif not self._serving and self._wall.words[at.H_CONTROL_READY]:
            self._data.listen()
            self._serving = True
        elif not self._announced and all(worker.up for worker in self._workers):
            self._announced = True
            self._announce()
        self._feed_watchdog(now_ns)

    def _watch(self, child: Child, now_ns: int) -> None:
        if (status := child.ended()) is not None:
            self._ended(child, status, now_ns)
        elif not child.running:
            if self._due(child, now_ns):
                self._launch(child, now_ns)
        elif child.is_silent(now_ns, self._watched_since_ns, self._silent_limit_s(child)):
            log.error(
                "%s (pid %d) has been silent for %.1f s: killed",
                child.name,
                child.pid,
                child.silent_s(now_ns, self._watched_since_ns),
            )
            child.send(signal.SIGKILL)
        elif child.up and child.settings_version != self._wall.words[at.H_SETTINGS]:
            child.settings_version = self._wall.words[at.H_SETTINGS]
            child.send(signal.SIGHUP)  # only once it is up: before, it has no handler, and reads the settings anyway

    def _due(self, child: Child, now_ns: int) -> bool:
        started = child is self._control or self._serving
        return started and self._leave_by_ns is None and now_ns >= child.restart_at_ns

    def _silent_limit_s(self, child: Child) -> float:
        timeouts = self._settings.timeouts
        return timeouts.control_silent_s if child is self._control else timeouts.worker_silent_s

    def _launch(self, child: Child, now_ns: int) -> None:
        words = self._wall.words
        counter = at.H_CONTROL_STARTS if child.index is None else self._wall.layout.lane(child.index) + at.W_STARTS
        words[counter] += 1
        child.start(now_ns, words[at.H_SETTINGS])

    def _ended(self, child: Child, status: int, now_ns: int) -> None:
        cut = self._reap(child)
        if self._leave_by_ns is not None:
            log.info("%s left: %s", child.name, describe(status))
        elif not self._wall.words[at.H_CONTROL_READY]:
            log.error("control ended before it was ready: %s", describe(status))
            self._exit_code = status if status > 0 else EXIT_INTERNAL
        else:
            delay_s = child.restart_after(now_ns)
            log.error("%s died: %s; %d exchanges cut; restart in %.1f s", child.name, describe(status), cut, delay_s)

    def _reap(self, child: Child) -> int:
        """End the exchanges of a dead worker; return how many there were."""
        cut = self._lanes.reap(child.index) if child.index is not None else 0
        if self._leave_by_ns is not None:
            self._cut += cut
        return cut

    def _announce(self) -> None:
        settings = self._settings
        services = ", ".join(sorted(settings.services))
        self._start.announce(
            f"rollback-router {__version__}: serving {services} on {settings.listen.url}, "
            f"admin on {settings.admin_listen.url}, {settings.workers} workers, state in {settings.state_dir}"
        )
        self._notifier.send("READY=1", f"STATUS=serving {services} on {settings.listen}")

    def _feed_watchdog(self, now_ns: int) -> None:
        if self._notifier.watchdog_every_s is not None and now_ns >= self._notify_due_ns:
            self._notify_due_ns = now_ns + round(self._notifier.watchdog_every_s * 1e9)
            self._notifier.send("WATCHDOG=1")

    # -- the settings, again
    def _reload(self) -> None:
        """Read the settings again and hand them on; a bad file changes nothing."""
        self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={clock.now_ns() // 1000}")
        self._read_again()
        self._notifier.send("READY=1")

    def _read_again(self) -> None:
        try:
            new = self._start.reload()
        except StartError as error:
            log.error("settings not reloaded, nothing changed: %s", error.detail)
            return
        old = self._settings
        asked = {name: getattr(new, name) for name in FIXED} | {
            "listen": _where(new.listen, old.listen),
            "admin_listen": _where(new.admin_listen, old.admin_listen),
            "state_dir": new.state_dir.absolute() if new.state_dir else old.state_dir,
        }
        needs_restart = [name for name in FIXED if asked[name] != getattr(old, name)]
        if set(new.services) != set(old.services):
            needs_restart.append("services")
        if needs_restart:
            log.warning("these settings change only with a restart: %s", ", ".join(needs_restart))
        kept = {name: getattr(old, name) for name in FIXED}
        services = {name: new.services.get(name, service) for name, service in old.services.items()}
        self._settings = new.model_copy(update={**kept, "services": services})
        document.write(self._settings_fd, config.dump(self._settings))
        self._wall.words[at.H_SETTINGS] += 1
        log.info("settings reloaded from %s, version %d", self._start.origin, self._wall.words[at.H_SETTINGS])

    # -- the end
    def _told_to_stop(self, now_ns: int) -> None:
        """Readiness first: who balances load sends clients elsewhere while we still take them all."""
        timeouts = self._settings.timeouts
        log.info(
            "told to stop: not ready any more; in %g s the port closes, and what has begun ends within %g s",
            *(timeouts.shutdown_delay_s, timeouts.shutdown_timeout_s),
        )
        self._notifier.send("STOPPING=1")
        self._wall.words[at.H_DRAINING] = 1
        self._close_at_ns = now_ns + round(timeouts.shutdown_delay_s * 1e9)
        if self._close_at_ns <= now_ns:
            self._drain(now_ns)

    def _drain(self, now_ns: int) -> None:
        self._data.close()  # with the workers' own descriptors the port closes, and new clients go elsewhere
        self._leave_by_ns = now_ns + round((self._settings.timeouts.shutdown_timeout_s + KILL_AFTER_S) * 1e9)
        for worker in self._workers:
            worker.send(signal.SIGTERM)

    def _leave(self, now_ns: int, leave_by_ns: int) -> None:
        if now_ns > leave_by_ns:
            self._kill_all()
        if any(worker.running for worker in self._workers):
            return
        if not self._control.running:
            self._exit_code = 1 if self._cut else 0
        elif not self._control_told:
            self._control_told = True
            self._leave_by_ns = now_ns + round(2 * KILL_AFTER_S * 1e9)
            self._control.send(signal.SIGTERM)

    def _kill_all(self) -> None:
        for child in (*self._workers, self._control):
            if child.running:
                child.send(signal.SIGKILL)
                child.wait()
                child.ended()
                self._reap(child)


def _where(asked: Address, bound: Address) -> Address:
    """Return `bound` if `asked` left the port, or the address of the host name, to the system."""
    if asked.unix or bound.unix:
        return asked
    if asked.port in (0, bound.port) and asked.host in (bound.host, "localhost"):
        return bound
    return asked
