"""The processes of one router, and the memory, descriptors and arguments that they get.

The children hold the read end of a pipe, the supervisor its write end. However the supervisor dies, they read its end of file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from router.runtime import child_args, interpreter
from router.runtime.inlets import Inlets
from router.settings import loader
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm import segment, settings_memory
from router.shm.settings_memory import DeliveredSettings
from router.supervisor.child import Child
from router.supervisor.kept_certificates import KeptCertificates
from router.supervisor.run_options import RunOptions
from router.supervisor.settings_rollout import first_places
from router.supervisor.sockets import AdminSocket, DataSockets
from router.supervisor.state_directory import StateDirectory


class ProcessSet:
    """Control and the workers of one router, not started yet."""

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        state: StateDirectory,
        data: DataSockets,
        admin: AdminSocket,
        control_argv: Sequence[str],
        worker_argv: Sequence[str],
        inlets: Inlets | None = None,
    ) -> None:
        self.segment = segment.create(settings.workers, at.SERVICES_MAX)
        self.segment.words[at.H_SETTINGS] = 1
        self._resumes = False
        self._log_format = settings.log_format
        self._options = options
        first = DeliveredSettings(1, 1, first_places(settings), b"")
        self._control_document = _Document(first, loader.dump(settings))
        self._worker_document = _Document(first, loader.dump_for_workers(settings))
        self.certificates = KeptCertificates(settings)
        wakes = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(settings.workers)]
        self._acks = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._life, self._life_write = os.pipe()
        self._shared = (self.segment.fd, self._acks, self._life)
        self._channels: dict[str, _Channel] = {}
        admin_fd = admin.sock.fileno()
        self.control = Child(
            "control",
            lambda: (*control_argv, self._control_args(admin_fd, wakes, str(state.path))),
            lambda: (
                *(
                    *self._shared,
                    self._control_document.fd,
                    self.certificates.present("control"),
                    self._updates("control"),
                ),
                *(admin_fd, *wakes, state.lock_fd),
            ),
            lambda: self.segment.words[at.H_CONTROL_HEARTBEAT_NS],
            environment=interpreter.environment(interpreter.OUTWARD),
        )
        self.workers = [
            self._worker(
                index,
                worker_argv,
                str(state.path),
                inlets,
                [sock.fileno() for sock in data.of_worker(index, settings.workers)],
                wake,
            )
            for index, wake in enumerate(wakes)
        ]

    def start_control_from_journal(self) -> None:
        """Let control start from the journal from now on, while the workers run."""
        self._resumes = True

    def write_for_control(self, settings: Settings, delivery: DeliveredSettings) -> None:
        """Replace control's document; `deliver` sends it. `delivery` has no settings yet."""
        self._control_document.replace(delivery, loader.dump(settings))

    def write_for_workers(self, settings: Settings, delivery: DeliveredSettings) -> None:
        """Replace the workers' document; `deliver` sends it. The copies of TLS files are those of `settings` from now on."""
        self._log_format = settings.log_format
        self._worker_document.replace(delivery, loader.dump_for_workers(settings))
        self.certificates.reconfigure(settings)

    def newest_document(self, child: Child) -> int:
        """Return the number of the newest document for a child."""
        return self._document_of(child).delivery.number

    def deliver(self, child: Child) -> bool:
        """Send the newest document to a child; return False if it has not received earlier ones yet."""
        return settings_memory.send(self._channels[child.name].ours, self._document_of(child).fd)

    def _document_of(self, child: Child) -> _Document:
        return self._control_document if child is self.control else self._worker_document

    def _updates(self, name: str, *, renew: bool = False) -> int:
        """Return the child's end of its channel; `renew`: of a new, empty one, for a new process."""
        if renew and name in self._channels:
            self._channels.pop(name).close()
        if name not in self._channels:
            self._channels[name] = _Channel()
        return self._channels[name].theirs.fileno()

    def _control_args(self, admin_fd: int, wake_fds: list[int], state_dir: str) -> str:
        first = not self.segment.words[at.H_CONTROL_READY]
        return child_args.encode(
            child_args.ControlArgs(
                segment_fd=self.segment.fd,
                settings_fd=self._control_document.fd,
                certificates_fd=self.certificates.descriptor("control", control=True),
                updates_fd=self._updates("control", renew=True),
                admin_fd=admin_fd,
                wake_fds=wake_fds,
                acks_fd=self._acks,
                life_fd=self._life,
                state_dir=state_dir,
                settings_origin=self._options.origin,
                log_format=self._log_format,
                assume_active=self._options.assume_active if first else None,
                journal_from=self._options.journal_from if first else None,
                resumes=self._resumes or None,
            )
        )

    def _worker(
        self,
        index: int,
        argv: Sequence[str],
        state_dir: str,
        inlets: Inlets | None,
        listen_fds: list[int],
        wake_fd: int,
    ) -> Child:
        name = f"worker {index}"
        inlet_fds = [inlets.sockets[index].fileno()] if inlets is not None else []

        def argument() -> str:
            return child_args.encode(
                child_args.WorkerArgs(
                    index=index,
                    segment_fd=self.segment.fd,
                    settings_fd=self._worker_document.fd,
                    certificates_fd=self.certificates.descriptor(name, control=False),
                    updates_fd=self._updates(name, renew=True),
                    listen_fds=listen_fds,
                    wake_fd=wake_fd,
                    acks_fd=self._acks,
                    life_fd=self._life,
                    state_dir=state_dir,
                    log_format=self._log_format,
                    inlet_fd=inlet_fds[0] if inlet_fds else None,
                )
            )

        heartbeat = self.segment.layout.worker(index) + at.W_HEARTBEAT_NS
        return Child(
            name,
            lambda: (*argv, argument()),
            lambda: (
                *(*self._shared, self._worker_document.fd, self.certificates.present(name), self._updates(name)),
                *(*listen_fds, *inlet_fds, wake_fd),
            ),
            lambda: self.segment.words[heartbeat],
            index,
            interpreter.environment(),
        )


class _Channel:
    """A pair of sockets over which one child receives newer settings."""

    def __init__(self) -> None:
        self.ours, self.theirs = settings_memory.channel()

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


class _Document:
    """The newest document of control, or of the workers, in memory behind `fd`."""

    def __init__(self, delivery: DeliveredSettings, settings: bytes) -> None:
        self._write(delivery, settings)

    def replace(self, delivery: DeliveredSettings, settings: bytes) -> None:
        """Make new memory with this document. Children that have the old one keep it."""
        before = self.fd
        self._write(delivery, settings)
        os.close(before)

    def _write(self, delivery: DeliveredSettings, settings: bytes) -> None:
        whole = replace(delivery, settings=settings)
        self.fd = settings_memory.create(whole.encode())
        self.delivery = whole
