"""A real router in processes of its own: started on a settings file, used over HTTP, checked by its log and its counts."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import re
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from router.runtime import interpreter

SERVICE = "default"
_BAD_LOG = re.compile(r"Traceback|crashed|never retrieved|was never awaited|RuntimeWarning")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_ROUTER_")}


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago.

    It lies below the range from which the kernel takes the ports of outgoing connections (ip_local_port_range, 32768 to 60999
    by default): a router that is started again needs the same port, and a connection of a test beside it must not have it.
    """
    while True:
        with socket.socket() as bound:
            try:
                bound.bind(("127.0.0.1", random.randrange(16_384, 32_768)))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return int(bound.getsockname()[1])


async def until(condition: Callable[[], Awaitable[Any]], within_s: float, what: str, every_s: float = 0.05) -> Any:
    """Return the first true result of `condition`; fail after `within_s`, naming `what` and the last result."""
    end = time.monotonic() + within_s
    while True:
        result = await condition()
        if result:
            return result
        if time.monotonic() > end:
            pytest.fail(f"not within {within_s} s: {what} (last: {result!r})")
        await asyncio.sleep(every_s)


async def stays(condition: Callable[[], Awaitable[Any]], for_s: float, what: str) -> None:
    """Fail as soon as `condition` is false within `for_s`: what must not happen has no event to wait for."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        if not await condition():
            pytest.fail(f"not for {for_s} s: {what}")
        await asyncio.sleep(0.05)


def children(pid: int) -> list[int]:
    """Return the process ids of the children of `pid`, as the operating system lists them."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def alive(pid: int) -> bool:
    """Return whether `pid` runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def gone(pids: list[int], within_s: float = 15.0) -> None:
    """Return when none of the processes runs any more."""

    async def none_left() -> bool:
        return not any(alive(pid) for pid in pids)

    await until(none_left, within_s, f"processes {pids} are gone")


class RefusedError(Exception):
    """The admin API said no: `status` and the problem document."""

    def __init__(self, status: int, document: dict[str, Any]) -> None:
        super().__init__(f"{status} {document}")
        self.status = status
        self.document = document
        self.code = document.get("code")


@dataclass
class Router:
    """One router. `settings` is TOML for the service and below; addresses, workers and the state folder are added here."""

    folder: Path
    settings: str = ""
    workers: int = 2
    data_port: int = field(default_factory=free_port)
    admin_port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None
    successors: list[asyncio.subprocess.Process] = field(default_factory=list)
    """Routers that were started to take over from this one."""
    cwd: Path | None = None
    program: tuple[str, ...] = tuple(interpreter.command("router"))
    tls: ssl.SSLContext | None = None
    """What its clients trust; None: they speak plain HTTP."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.data_port}"

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> str:
        path = self.folder / "router.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        """Write the settings file; return the command that runs with it."""
        return [*self.program, *self.arguments()]

    def arguments(self) -> list[str]:
        """Write the settings file; return what follows the program's name in the command that runs with it."""
        file = self.folder / "router.toml"
        file.write_text(
            f'listen = "127.0.0.1:{self.data_port}"\nadmin_listen = "127.0.0.1:{self.admin_port}"\n'
            f'workers = {self.workers}\nstate_dir = "{self.state}"\n{self.settings}',
            "utf-8",
        )
        return ["run", "--config", str(file)]

    async def start(self, *, within_s: float = 40.0, **environment: str) -> Router:
        """Start it; return when it takes traffic."""
        with (self.folder / "router.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT | environment,
                cwd=self.cwd,
            )
        await until(self.ready, within_s, f"the router is ready\n{self.log[-2000:]}")
        return self

    async def ready(self) -> bool:
        """Return whether the data port takes traffic and all workers live."""
        assert self.process is not None
        if self.process.returncode is not None:
            pytest.fail(f"the router left with {self.process.returncode}:\n{self.log[-4000:]}")
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{self.url}/-/ready", ssl=self.tls or True) as response:
                    if response.status != 200 or "degraded" in await response.text():
                        return False
                async with session.get(f"{self.admin_url}/v1/status") as response:
                    return response.status == 200 and all(worker["up"] for worker in (await response.json())["workers"])
        except aiohttp.ClientError:
            return False

    async def stop(self, within_s: float = 40.0) -> int:
        """Send SIGTERM; return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), within_s)

    async def kill(self, pids: list[int] | None = None) -> None:
        """kill -9 the processes `pids`, or all of this router; return when they are gone."""
        assert self.process is not None
        struck = pids if pids is not None else [self.pid, *children(self.pid)]
        for pid in struck:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.pid in struck:
            await self.process.wait()
        await gone(struck)

    # -- the admin API
    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """Return the answer's document; raise RefusedError for a status of 400 or more."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            async with session.request(method, self.admin_url + path, json=body, headers=headers) as response:
                document = orjson.loads(await response.read() or b"{}")
                if response.status >= 400:
                    raise RefusedError(response.status, document)
                return document

    async def verb(self, verb: str, **body: Any) -> dict[str, Any]:
        """Perform a change of the service."""
        return await self.call("POST", f"/v1/services/{SERVICE}/{verb}", body)

    async def service(self) -> dict[str, Any]:
        return await self.call("GET", f"/v1/services/{SERVICE}")

    async def target(self, version: str) -> dict[str, Any] | None:
        """Return the target of `version`, None if no slot holds it."""
        found = [target for target in (await self.service())["targets"] if target["version"] == version]
        return found[0] if found else None

    async def journal(self, kind: str | None = None) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        while page := (await self.call("GET", f"/v1/journal?after={entries[-1]['seq'] if entries else 0}&limit=500"))[
            "entries"
        ]:
            entries += page
        return [entry for entry in entries if kind in (None, entry["type"])]

    async def wait_ready(self, version: str, within_s: float = 15.0) -> None:
        """Return when the target of `version` is ready: as candidate or standby, it may be promoted."""

        async def ready() -> bool:
            target = await self.target(version)
            return target is not None and target["ready"] and target["state"] in ("ready", "standby")

        await until(ready, within_s, f"{version} is ready")

    async def wait_active(self, version: str, within_s: float) -> dict[str, Any]:
        """Return the service's document as soon as `version` is active."""

        async def active() -> dict[str, Any] | None:
            document = await self.service()
            return document if document["active"] == version else None

        return await until(active, within_s, f"{version} is active")

    async def promote_new(self, version: str, url: str) -> dict[str, Any]:
        """Deploy `version`, wait until it is ready, promote it."""
        await self.verb("deploy", version=version, endpoints=[url])
        await self.wait_ready(version)
        return await self.promote(version)

    async def promote(self, version: str) -> dict[str, Any]:
        """Promote `version`; some seconds after a rollback its cases are still made and checked."""

        async def promoted() -> dict[str, Any] | None:
            try:
                return await self.verb("promote", version=version)
            except RefusedError as refused:
                if refused.code != "cases_pending":
                    raise
                return None

        return await until(promoted, 20, f"{version} may be promoted")

    # -- what must hold at the end of every test
    async def check(self) -> None:
        """Fail on a traceback in the log, and on exchanges that are neither ended nor in flight."""

        async def quiet() -> bool:
            return all(service["exchanges"]["in_flight"] == 0 for service in (await self.status())["services"].values())

        await until(quiet, 10, "nothing is in flight")
        for name, service in (await self.status())["services"].items():
            exchanges = service["exchanges"]
            assert exchanges["accepted"] == sum(exchanges["ended"].values()), f"{name}: {exchanges}"
            assert all(target["in_flight"] == 0 for target in service["targets"]), f"{name}: {service['targets']}"
        self.check_log()

    def check_log(self) -> None:
        bad = [line for line in self.log.splitlines() if _BAD_LOG.search(line)]
        assert bad == [], self.log[-6000:]

    async def status(self) -> dict[str, Any]:
        return await self.call("GET", "/v1/status")


def service_settings(active: str | None = None, standby: str | None = None, more: str = "") -> str:
    """Return the TOML of one service whose versions v1 and v2 are at these URLs. Probes are ten a second: tests are short."""
    lines = [f"[services.{SERVICE}]"]
    if active:
        lines.append(f'active = {{ version = "v1", endpoints = ["{active}"] }}')
    if standby:
        lines.append(f'standby = {{ version = "v2", endpoints = ["{standby}"] }}')
    lines.append('probe = { path = "/health", every_s = 0.1 }')
    return "\n".join(lines) + "\n" + more
