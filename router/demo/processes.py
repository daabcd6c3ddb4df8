"""The processes of the demo: two model servers and the router. Each is ended by its process id."""

from __future__ import annotations

import asyncio
import ctypes
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from router.errors import CommandError
from router.errors.codes import CommandCode
from router.runtime import interpreter
from router.runtime.tasks import Tasks

_START_WITHIN_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_END_WITHIN_S: Final = 10.0
_OWN_GROUP: Final = 0
"""A process leads a group of its own: Ctrl-C on the terminal reaches the demo alone, which ends its processes in order."""


async def end(process: Process) -> int:
    """Terminate `process`, and kill it if it does not end in time; return its exit code."""
    if process.returncode is None:
        process.terminate()
        try:
            return await asyncio.wait_for(process.wait(), _END_WITHIN_S)
        except TimeoutError:
            process.kill()
    return await process.wait()


class ModelProcess:
    """A model server of the demo, and the events that it writes."""

    def __init__(self, process: Process, tasks: Tasks) -> None:
        self._process = process
        self._events: dict[str, asyncio.Future[dict[str, Any]]] = {}
        tasks.spawn(self._listen(), f"notes of model server {process.pid}")

    @classmethod
    async def start(cls, arguments: list[str], tasks: Tasks) -> ModelProcess:
        """Start a model server with these arguments; return when it listens."""
        command = interpreter.command("router.demo.model_server", "--until-stdin-ends", *arguments)
        environment = interpreter.environment()
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment, process_group=_OWN_GROUP
        )
        server = cls(process, tasks)
        await server.wait_event("listening")
        return server

    async def wait_event(self, event: str) -> dict[str, Any]:
        """Return an event of the server, once it has been written; raise StartError after a timeout."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._expected(event)), _START_WITHIN_S)
        except TimeoutError:
            raise CommandError(
                CommandCode.DEMO_MODEL_SILENT, f"the model server noted no {event} in {_START_WITHIN_S:g} s"
            ) from None

    async def url(self) -> str:
        """Return the URL of the server."""
        return f"http://127.0.0.1:{(await self.wait_event('listening'))['port']}"

    async def begin_fault(self) -> int:
        """Start the fault; return its monotonic time in ns, as the server has recorded it."""
        self._process.send_signal(signal.SIGUSR1)
        return int((await self.wait_event("fault_begun"))["monotonic_ns"])

    async def end(self) -> int:
        """End the server; return its exit code."""
        return await end(self._process)

    def _expected(self, event: str) -> asyncio.Future[dict[str, Any]]:
        return self._events.setdefault(event, asyncio.get_running_loop().create_future())

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            event = orjson.loads(line)
            if not (expected := self._expected(event["event"])).done():
                expected.set_result(event)


def _end_with_parent() -> Callable[[], None]:
    """Return a function for the child to call before exec: the kernel then ends it when this process dies, even by kill -9."""
    prctl = ctypes.CDLL(None).prctl

    def set_death_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)

    return set_death_signal


async def start_router(settings: Path, log: Path) -> Process:
    """Start the router with a settings file; its output goes to `log`. It does not outlive the demo."""
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *interpreter.command("router", "run", "--config", str(settings)),
            env=interpreter.whole_environment(),
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_end_with_parent(),
            process_group=_OWN_GROUP,
        )
