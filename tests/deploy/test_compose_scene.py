"""What the compose file starts, as processes of this machine, and the commands of the page that goes with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.test_compose import ROOT, SERVICES, SETUP
from tests.end_to_end.real_router import free_port
from tests.waiting import until

PREFIX: Final = "docker compose -f deploy/compose.yaml "
PYTHON: Final = Path(sys.executable)


class Scene:
    """Each service of the compose file under its name; addresses of services are replaced by ports of loopback."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._ports = {name: free_port() for name in ("model-v1:9000", "model-v2:9000", "router:8080", "router:8081")}
        self._processes: dict[str, asyncio.subprocess.Process] = {}

    def words(self, name: str) -> list[str]:
        """Return what the container of a service runs."""
        entry = SERVICES[name].get("entrypoint", ["rollback-router"])
        words = [*entry, *SERVICES[name]["command"]]
        if f"{name}:9000" in self._ports:
            words[words.index("--port") + 1] = str(self._ports[f"{name}:9000"])
        return [str(PYTHON.with_name(self._here(words[0]))), *(self._here(word) for word in words[1:])]

    def _here(self, text: str) -> str:
        for address, port in self._ports.items():
            text = text.replace(address, f"127.0.0.1:{port}")
        return text.replace("/settings", str(self._folder))

    def prepare(self) -> list[str]:
        """Return the setup's command; its template listens on the ports of this scene."""
        template = (ROOT / "deploy/compose/router.toml").read_text()
        for kind in ("8080", "8081"):
            template = template.replace(f"0.0.0.0:{kind}", f"0.0.0.0:{self._ports[f'router:{kind}']}")
        (file := self._folder / "template.toml").write_text(self._here(template))
        return [str(PYTHON), "-I", str(SETUP), str(file), str(self._folder)]

    async def start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self.words(name),
                env=os.environ | self._variables(name) | {"STATE_DIRECTORY": str(self._folder / "state")},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes[name] = process
        self._stack.push_async_callback(end, process)

    def _variables(self, name: str) -> dict[str, str]:
        return {key: self._here(value) for key, value in SERVICES[name].get("environment", {}).items()}

    async def run(self, *words: str) -> str:
        """Return what a command prints, which has to exit with 0."""
        admin = {"ROLLBACK_ROUTER_ADMIN_URL": f"http://127.0.0.1:{self._ports['router:8081']}"}
        process = await asyncio.create_subprocess_exec(
            *words,
            env=os.environ | self._variables("router") | admin | {"COLUMNS": "120"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output = (await process.communicate())[0].decode()
        finally:
            await end(process)
        assert process.returncode == 0, f"{words}: {output}"
        return output

    async def page_command(self, text: str) -> str:
        """Run a command of the page that docker compose would pass on; return what it prints."""
        kind, *words = shlex.split(text.removeprefix(PREFIX))
        if kind == "exec":
            return await self.run(str(PYTHON.with_name("rollback-router")), *(self._here(word) for word in words[2:]))
        assert (kind, words[0]) == ("kill", "--signal"), text
        self._processes[words[2]].send_signal(signal.Signals[f"SIG{words[1]}"])
        return ""


async def end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 30)
    if process.returncode is None:
        process.kill()
        await process.wait()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        made = Scene(folder, stack)
        assert "token: " in await made.run(*made.prepare())
        for name in ("model-v1", "model-v2", "router", "clients"):
            await made.start(name)
        yield made


def commands() -> list[str]:
    """Return the commands of the page that reach a service, in their order."""
    page = (ROOT / "docs/operations/containers.md").read_text()
    found = re.findall(rf"^{re.escape(PREFIX)}(?:exec|kill) .*$", page, re.MULTILINE)
    assert len(found) == 5
    return [str(line) for line in found]


@pytest.mark.end_to_end
@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_the_page_leads_from_the_start_to_an_incident(tmp_path: Path) -> None:
    deploy, promote, fault, status, incidents = commands()
    async with scene(tmp_path) as made:

        async def shows(command: str, text: str) -> bool:
            with contextlib.suppress(AssertionError):  # the router starts
                return text in await made.page_command(command)
            return False

        await until(lambda: shows(status, "fraud-v1"), 120)
        await made.page_command(deploy)
        await made.page_command(promote)
        answered = tmp_path / "clients.log"
        await until(lambda: '"fraud-v2"' in answered.read_text(), 120)
        await made.page_command(fault)
        await until(lambda: shows(incidents, "fraud-v2"), 120)
        assert "fraud-v1" in await made.page_command(status)
