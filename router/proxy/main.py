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
from router.proxy.tap.access_stream import AccessStream
from router.proxy.tap.span_export import SpanExport
from router.runtime import child_args, clock, logs
from router.runtime.child_args import WorkerArgs
from router.runtime.tasks import Tasks
from router.shm import layout as at
from router.shm import segment, settings_memory
from router.tls import kept_files

log = logging.getLogger(__name__)
CONTROL_POLL_S: Final = 0.02
ORPHAN_WAIT_S: Final = 15.0
"""If the supervisor is killed during a take-over, its worker serves until the new workers serve, at most for this long."""


class Outputs:
    """Where the log, the access log and the spans of this worker go."""

    def __init__(self, index: int, data_plane: DataPlane) -> None:
        self._process = f"worker-{index}"
        self._context = data_plane.context
        self._access = AccessStream(self._process, self._lines_dropped)
        self._spans = SpanExport(self._process, self._spans_ended)

    def apply(self, options: proxy_options.Options) -> None:
        """Apply the settings, also the same ones again: a file is then opened again."""
        logs.setup(self._process, options.log_format)
        self._access.send_to(options.access_log_to)
        self._spans.reconfigure(options.tracing)
        self._context.trace(self._spans.tracer)

    def close(self) -> None:
        """Write and send what waits, for a few seconds at most; blocks."""
        self._access.close()
        self._spans.close()

    def _lines_dropped(self, count: int) -> None:
        self._context.words[self._context.row + at.W_ACCESS_LINES_DROPPED] += count

    def _spans_ended(self, sent: int, dropped: int) -> None:
        self._context.words[self._context.row + at.W_SPANS_SENT] += sent
        self._context.words[self._context.row + at.W_TRACES_DROPPED] += dropped


async def serve(args: WorkerArgs) -> None:
    """Serve until SIGTERM, or until the supervisor is gone; then drain and return."""
    loop = asyncio.get_running_loop()
    memory = segment.attach(args.segment_fd)
    tasks = Tasks()
    kept = {} if args.certificates_fd is None else kept_files.decode(settings_memory.read(args.certificates_fd))
    options = proxy_options.from_descriptor(args.settings_fd, kept)
    data_plane = DataPlane(args.index, memory, options, tasks, args.acks_fd)
    row = memory.layout.worker(args.index)
    outputs = Outputs(args.index, data_plane)
    outputs.apply(options)
    memory.words[row + at.W_PID] = os.getpid()
    memory.words[row + at.W_DRAINING] = 0
    stop, orphan = asyncio.Event(), asyncio.Event()

    def wake() -> None:
        os.eventfd_read(args.wake_fd)
        data_plane.refresh()

    def orphaned() -> None:
        log.warning("the supervisor is gone: finishing what is under way")
        loop.remove_reader(args.life_fd)
        orphan.set()
        stop.set()

    def reread() -> None:
        if not settings_memory.receive(args.updates_fd, args.settings_fd):
            log.warning("SIGHUP, but no newer settings have arrived")
        changed = proxy_options.from_descriptor(args.settings_fd, kept)
        outputs.apply(changed)
        data_plane.reconfigure(changed)

    loop.add_reader(args.wake_fd, wake)
    loop.add_reader(args.life_fd, orphaned)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # A terminal sends SIGINT to the whole process group; the supervisor decides.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGHUP, reread)
    # A take-over starts workers before control is ready.
    while not memory.words[at.H_CONTROL_READY] and not stop.is_set():
        await asyncio.sleep(CONTROL_POLL_S)
    data_plane.refresh()
    listener = Listener(data_plane.new_connection, *(socket.socket(fileno=fd) for fd in args.listen_fds))
    await listener.start()
    data_plane.start()
    if args.inlet_fd is not None:
        inlet = socket.socket(fileno=args.inlet_fd)
        handoff.Adoption(data_plane.context, data_plane.limiter, data_plane.tls_acceptor, inlet).start()
    tasks.spawn(data_plane.keep_resolving(), "resolver")
    tasks.spawn(data_plane.tls_acceptor.watch_files(), "certificate files")
    gc.collect()
    gc.freeze()  # these objects live as long as the process, so later collections can skip them
    await stop.wait()
    await leave(data_plane, listener, args, wait_s=ORPHAN_WAIT_S if orphan.is_set() else 0.0)
    await tasks.close()
    await asyncio.to_thread(outputs.close)


async def leave(data_plane: DataPlane, listener: Listener, args: WorkerArgs, *, wait_s: float) -> None:
    """Hand the connections to a successor, if there is one or one comes within `wait_s`; finish the rest here."""
    words = data_plane.context.words
    if words[at.H_DRAINING] and not words[at.H_PORT_SHARED]:
        await listener.close_port()
        await data_plane.drain()
        return
    outlets = await handoff.outlets_of(Path(args.state_dir), words[at.H_INLETS], wait_s)
    until_s = clock.now_s() + data_plane.context.options.shutdown_timeout_s
    listener.stop()  # a successor, or the replacement of a killed supervisor, accepts from the same queue
    if outlets:
        on = handoff.Handoff(data_plane.context, data_plane.limiter, outlets)
        await on.run(until_s)
        await data_plane.drain(until_s)
        await on.end(until_s)
    else:
        await data_plane.drain(until_s)


def main() -> None:
    """Run one worker."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the handler is there: it would end the process
    args = child_args.decode(WorkerArgs, sys.argv[1])
    logs.setup(f"worker-{args.index}", args.log_format)
    uvloop.run(serve(args))


if __name__ == "__main__":
    main()
