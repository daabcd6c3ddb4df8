"""What the processes of one router share, and the places for them: memory, descriptors, the argument each is started with.

Children hold the read end of a pipe of which we hold the other: when we die, however we die, they see its end.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from router import boot, config
from router.children import Child
from router.config import Settings
from router.shm import document, wall
from router.shm import layout as at
from router.sockets import AdminSocket, DataSockets
from router.start import Start
from router.state_directory import StateDirectory


class Staff:
    """Control and the workers of one router, none of them started yet. `resumes`: control starts from the journal although the
    workers live.
    """

    def __init__(
        self,
        settings: Settings,
        start: Start,
        state: StateDirectory,
        data: DataSockets,
        admin: AdminSocket,
        control_argv: Sequence[str],
        worker_argv: Sequence[str],
    ) -> None:
        self.wall = wall.create(settings.workers, len(settings.services))
        self.wall.words[at.H_SETTINGS] = 1
        self.resumes = False
        self._start = start
        self._settings_fd = document.create(config.dump(settings))
        wakes = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(settings.workers)]
        self._acks = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._life, self._life_write = os.pipe()
        self._shared = (self.wall.fd, self._settings_fd, self._acks, self._life)
        admin_fd = admin.sock.fileno()
        self.control = Child(
            "control",
            lambda: (*control_argv, self._control_boot(admin_fd, wakes, str(state.path))),
            (*self._shared, admin_fd, *wakes, state.lock_fd),
            lambda: self.wall.words[at.H_CONTROL_HEARTBEAT_NS],
        )
        self.workers = [
            self._worker(index, worker_argv, [sock.fileno() for sock in data.of_worker(index, settings.workers)], wake)
            for index, wake in enumerate(wakes)
        ]

    def write(self, settings: Settings) -> None:
        """Hand on other settings; who is to read them is told by a signal."""
        document.write(self._settings_fd, config.dump(settings))

    def _control_boot(self, admin_fd: int, wake_fds: list[int], state_dir: str) -> str:
        first = not self.wall.words[at.H_CONTROL_READY]
        return boot.encode(
            boot.ControlBoot(
                wall_fd=self.wall.fd,
                settings_fd=self._settings_fd,
                admin_fd=admin_fd,
                wake_fds=wake_fds,
                acks_fd=self._acks,
                life_fd=self._life,
                state_dir=state_dir,
                settings_origin=self._start.origin,
                assume_active=self._start.assume_active if first else None,
                journal_from=self._start.journal_from if first else None,
                resumes=self.resumes or None,
            )
        )

    def _worker(self, index: int, argv: Sequence[str], listen_fds: list[int], wake_fd: int) -> Child:
        argument = boot.encode(
            boot.WorkerBoot(
                index=index,
                wall_fd=self.wall.fd,
                settings_fd=self._settings_fd,
                listen_fds=listen_fds,
                wake_fd=wake_fd,
                acks_fd=self._acks,
                life_fd=self._life,
            )
        )
        heartbeat = self.wall.layout.lane(index) + at.W_HEARTBEAT_NS
        return Child(
            f"worker {index}",
            lambda: (*argv, argument),
            (*self._shared, *listen_fds, wake_fd),
            lambda: self.wall.words[heartbeat],
            index,
        )
