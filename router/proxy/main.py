"""Composition root of a worker process: `python -m router.proxy.main ARGS_JSON`. No logic."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

import uvloop

from router.proxy import options as proxy_options
from router.proxy.accept import handoff
from router.proxy.accept.listener import Listener
from router.proxy.data_plane import DataPlane
from router.runtime import child_args as boots
from router.runtime import clock, logs
from router.runtime.child_args import WorkerArgs
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm import segment, settings_memory

log = logging.getLogger(__name__)
ROUTE_LOOK_S: Final = 0.02
ORPHAN_WAIT_S: Final = 15.0
"""A worker whose supervisor was killed within a take-over serves on until the new workers serve, at most for so long."""


async def serve(boot: WorkerArgs) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; then drain and return."""
    loop = asyncio.get_running_loop()
    memory = segment.attach(boot.segment_fd)
    tasks = Tasks()
    data_plane = DataPlane(boot.index, memory, proxy_options.from_descriptor(boot.settings_fd), tasks, boot.acks_fd)
    row = memory.layout.worker(boot.index)
    memory.words[row + at.W_PID] = os.getpid()
    memory.words[row + at.W_DRAINING] = 0
    stop, orphan = asyncio.Event(), asyncio.Event()

    def wake() -> None:
        os.eventfd_read(boot.wake_fd)
        data_plane.refresh()

    def orphaned() -> None:
        log.warning("the supervisor is gone: finishing what is under way")
        loop.remove_reader(boot.life_fd)
        orphan.set()
        stop.set()

    def reread() -> None:
        if not settings_memory.receive(boot.updates_fd, boot.settings_fd):
            log.warning("told to read the settings again, and there are no newer ones")
        data_plane.reconfigure(proxy_options.from_descriptor(boot.settings_fd))

    loop.add_reader(boot.wake_fd, wake)
    loop.add_reader(boot.life_fd, orphaned)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(
        signal.SIGINT, lambda: None
    )  # the terminal sends it to the whole group; the supervisor decides
    loop.add_signal_handler(signal.SIGHUP, reread)
    while not memory.words[at.H_CONTROL_READY] and not stop.is_set():  # started early, to take over
        await asyncio.sleep(ROUTE_LOOK_S)
    data_plane.refresh()
    listener = Listener(data_plane.new_connection, *(socket.socket(fileno=fd) for fd in boot.listen_fds))
    await listener.start()
    data_plane.start()
    if boot.inlet_fd is not None:
        inlet = socket.socket(fileno=boot.inlet_fd)
        handoff.Adoption(data_plane.context, data_plane.limiter, data_plane.tls_acceptor, inlet).start()
    tasks.spawn(data_plane.keep_resolving(), "resolver")
    tasks.spawn(data_plane.tls_acceptor.watch_files(), "certificate files")
    gc.collect()
    gc.freeze()  # what exists now lives as long as the process: later collections need not look at it
    await stop.wait()
    await leave(data_plane, listener, boot, wait_s=ORPHAN_WAIT_S if orphan.is_set() else 0.0)
    await tasks.close()


async def leave(data_plane: DataPlane, listener: Listener, boot: WorkerArgs, *, wait_s: float) -> None:
    """Hand on the connections to a successor, if there is one or comes within `wait_s`; finish what is left."""
    words = data_plane.context.words
    if words[at.H_DRAINING] and not words[at.H_PORT_SHARED]:
        await listener.close_port()
        await data_plane.drain()
        return
    outlets = await handoff.outlets_of(Path(boot.state_dir), words[at.H_INLETS], wait_s)
    until_s = clock.now_s() + data_plane.context.options.shutdown_timeout_s
    listener.stop()  # others accept from the same queue: a successor, or who takes the place of a killed supervisor
    if outlets:
        on = handoff.Handoff(data_plane.context, data_plane.limiter, outlets)
        await on.run(until_s)
        await data_plane.drain(until_s)
        await on.end(until_s)
    else:
        await data_plane.drain(until_s)


def main() -> None:
    """Run one worker."""
    boot = boots.decode(WorkerArgs, sys.argv[1])
    logs.setup(f"worker-{boot.index}")
    uvloop.run(serve(boot))


if __name__ == "__main__":
    main()
