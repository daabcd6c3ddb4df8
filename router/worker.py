"""Composition root of a data-plane process: `python -m router.worker BOOT_JSON`. No logic."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys

import uvloop

from router import boot as boots
from router import logs
from router.boot import WorkerBoot
from router.proxy import options as proxy_options
from router.proxy.listener import Listener
from router.proxy.plane import Plane
from router.shm import document, wall
from router.shm import layout as at
from router.tasks import Tasks

log = logging.getLogger(__name__)


async def serve(boot: WorkerBoot) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; then drain and return."""
    loop = asyncio.get_running_loop()
    memory = wall.attach(boot.wall_fd)
    tasks = Tasks()
    plane = Plane(boot.index, memory, proxy_options.from_descriptor(boot.settings_fd), tasks, boot.acks_fd)
    row = memory.layout.lane(boot.index)
    memory.words[row + at.W_PID] = os.getpid()
    memory.words[row + at.W_DRAINING] = 0
    stop = asyncio.Event()

    def wake() -> None:
        os.eventfd_read(boot.wake_fd)
        plane.refresh()

    def orphaned() -> None:
        log.warning("the supervisor is gone: finishing what is under way")
        loop.remove_reader(boot.life_fd)
        stop.set()

    def reread() -> None:
        if not document.receive(boot.updates_fd, boot.settings_fd):
            log.warning("told to read the settings again, and there are no newer ones")
        plane.reconfigure(proxy_options.from_descriptor(boot.settings_fd))

    loop.add_reader(boot.wake_fd, wake)
    loop.add_reader(boot.life_fd, orphaned)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(
        signal.SIGINT, lambda: None
    )  # the terminal sends it to the whole group; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, reread)
    plane.refresh()
    listener = Listener(plane, *(socket.socket(fileno=fd) for fd in boot.listen_fds))
    await listener.start()
    plane.start()
    tasks.spawn(plane.keep_resolving(), "resolver")
    tasks.spawn(plane.handshakes.keep_fresh(), "certificate files")
    gc.collect()
    gc.freeze()  # what exists now lives as long as the process: later collections need not look at it
    await stop.wait()
    if memory.words[at.H_DRAINING] and not memory.words[at.H_PORT_SHARED]:
        await listener.close_port()
    else:  # others accept from the same queue: a successor, or who takes the place of a killed supervisor
        listener.stop()
    await plane.drain()
    await tasks.close()


def main() -> None:
    """Run one worker."""
    boot = boots.decode(WorkerBoot, sys.argv[1])
    logs.setup(f"worker-{boot.index}")
    uvloop.run(serve(boot))


if __name__ == "__main__":
    main()
