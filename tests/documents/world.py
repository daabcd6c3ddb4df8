"""The machine on which a page's commands run: model servers and, unless the page starts one, a router.

Everything lies in a network namespace of its own, so the pages use real ports, and pages run beside each other.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import socket
import struct
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Self

import aiohttp
from aiohttp import web

from router.runtime import interpreter
from tests.waiting import until

MODEL_SERVERS: Final = {"v1": 9001, "v2": 9002, "v3": 9003}
FACTORS: Final = {"v1": 1.0, "v2": 2.0, "v3": 1.0}
INFERENCES_MAX: Final = {"v3": 100}
"""What the models of the tutorial do: their answer by the sum of their inputs, and after how many they fail."""
DATA_PORT: Final = 8080
ADMIN_PORT: Final = 8081
SETTINGS: Final = """\
[services.fraud]
active = { version = "v2", endpoints = ["http://127.0.0.1:9002"] }
standby = { version = "v1", endpoints = ["http://127.0.0.1:9001"] }
probe = { path = "/health", every_s = 0.2 }
"""
"""The router.toml that a page finds."""

READY_WITHIN_S: Final = 60.0
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


def namespace() -> list[str]:
    """Return the command line that runs a program in a network namespace (util-linux)."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise RuntimeError("the program unshare (Debian package util-linux) is needed to run the commands of a page")
    return [unshare, "--map-root-user", "--net", "--"]


def loopback_up() -> None:
    """Bring up the loopback device, which is down in a new namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def environment(folder: Path, programs: Path | None = None) -> dict[str, str]:
    """Return the environment of a page's commands: a home of its own, the commands of this installation, and before them those
    of `programs`.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ROLLBACK_ROUTER_", "XDG_", "PYTEST_"))
    }
    home = folder / "home"
    home.mkdir(exist_ok=True)
    folders = (*filter(None, (programs,)), Path(sys.executable).parent, os.environ.get("PATH", os.defpath))
    path = ":".join(map(str, folders))
    return kept | {
        "HOME": str(home),
        "PATH": path,
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "USER": "operator",
        "TERM": "dumb",
    }


class World:
    """Model servers, and a router. The page works in `folder`/page. Everything ends with it.

    `with_router` false: the page starts its own; `with_models` false: it starts its own model servers.
    """

    def __init__(self, folder: Path, with_router: bool, with_models: bool = True) -> None:
        self._folder = folder
        self._with_router = with_router
        self._servers = MODEL_SERVERS if with_models else {}

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:  # closed here if the start fails or is cancelled
            for version, port in self._servers.items():
                runner = web.AppRunner(_model_server(version))
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.TCPSite(runner, "127.0.0.1", port).start()
            (self._folder / "page" / "router.toml").write_text(SETTINGS, "utf-8")
            if self._with_router:
                await self._start_router(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.__aexit__(None, None, None)

    async def _start_router(self, stack: AsyncExitStack) -> None:
        log = stack.enter_context((self._folder / "router.log").open("wb"))
        router = await asyncio.create_subprocess_exec(
            *interpreter.command("router"),
            *("run", "--config", "router.toml", "--workers", "1"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self._folder / "page",
            env=environment(self._folder),
        )
        stack.push_async_callback(_stop, router)
        if not await ready(READY_WITHIN_S, standby=True):
            raise RuntimeError(f"the router is not ready:\n{(self._folder / 'router.log').read_text()[-3000:]}")


async def ready(within_s: float, *, standby: bool = False) -> bool:
    """Return whether a router takes traffic, as soon as it does; `standby`: and the standby of `fraud` is fit as well."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

        async def is_ready() -> bool:
            try:
                return await _answers(session) and (not standby or await _standby_is_fit(session))
            except (aiohttp.ClientError, TimeoutError):
                return False

        try:
            await until(is_ready, within_s)
        except TimeoutError:
            return False
    return True


async def models_ready(within_s: float) -> None:
    """Wait until every model server of the page is ready (Open Inference Protocol); raise TimeoutError after `within_s`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:

        async def all_are() -> bool:
            try:
                for port in MODEL_SERVERS.values():
                    async with session.get(f"http://127.0.0.1:{port}/v2/health/ready") as response:
                        if response.status != 200:
                            return False
            except (aiohttp.ClientError, TimeoutError):
                return False
            return True

        await until(all_are, within_s)


async def _answers(session: aiohttp.ClientSession) -> bool:
    async with session.get(f"http://127.0.0.1:{DATA_PORT}/-/ready") as response:
        return response.status == 200


async def _standby_is_fit(session: aiohttp.ClientSession) -> bool:
    async with session.get(f"http://127.0.0.1:{ADMIN_PORT}/v1/services/fraud") as response:
        return response.status == 200 and bool((await response.json())["way_back"])


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


def _model_server(version: str) -> web.Application:
    inferences = 0

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": version})

    async def predict(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"model_version": version, "score": 0.5})

    async def infer(request: web.Request) -> web.Response:
        """The Open Inference Protocol, as MLServer answers it."""
        nonlocal inferences
        inferences += 1
        if inferences > INFERENCES_MAX.get(version, inferences):
            return web.json_response({"error": "out of memory"}, status=500)
        numbers = (await request.json())["inputs"][0]["data"]
        score = {"name": "score", "datatype": "FP32", "shape": [1], "data": [sum(numbers) * FACTORS[version]]}
        answer = {"model_name": request.match_info["model"], "outputs": [score]}
        return web.json_response(answer, dumps=lambda found: json.dumps(found, separators=(",", ":")))

    app = web.Application()
    app.router.add_post("/v2/models/{model}/infer", infer)
    app.router.add_get("/{path:.*}", health)
    app.router.add_post("/{path:.*}", predict)
    return app
