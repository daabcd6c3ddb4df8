"""Files in the working directory are not run, and processes get no secret that they do not need."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio

from router.shm import sealed
from tests import backends
from tests.backends import Backend
from tests.end_to_end.real_router import Router, children, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]
SCRIPT = str(Path(sys.executable).with_name("rollback-router"))
HOSTILE = (
    "router",
    "typing_extensions",
    "orjson",
    "uvloop",
    "aiohttp",
    "typing",
    "json",
    "sitecustomize",
    "usercustomize",
)
SECRET = "s3cret"
PLANTED = (
    *("ROLLBACK_ROUTER_TOKEN", "AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "LC_PASSWORD", "PYTHONSECRET", "GITHUB_TOKEN"),
    *("https_proxy", "NOTIFY", "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "x"),
)


def plant(folder: Path, marks: Path) -> None:
    """Fill a folder with modules that tell when they are imported."""
    folder.mkdir(exist_ok=True)
    marks.mkdir(exist_ok=True)
    for name in HOSTILE:
        source = f"import os; open({str(marks / name)!r}, 'w').close(); raise SystemExit('imported from the working directory')\n"
        (folder / f"{name}.py").write_text(source)
    (folder / "router").mkdir()
    for name in ("__init__", "worker", "__main__"):
        (folder / "router" / f"{name}.py").write_text((folder / "router.py").read_text())


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[Backend]:
    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        await connection.send(backends.response(200, b"ok"))

    async with Backend(backends.answering(answer)) as made:
        yield made


async def restarted(router: Router) -> None:
    """Kill every child; return when all are there again."""
    before = children(router.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    async def anew() -> bool:
        now = children(router.pid)
        return len(now) == len(before) and not set(now) & set(before) and await router.ready()

    await until(anew, 30.0, f"all children live again\n{router.log[-2000:]}")


async def advised(router: Router) -> dict[str, Any]:
    return await router.call("GET", "/v1/services/default/advise?days=1")


@pytest.mark.parametrize(
    "way",
    [
        "the console script",
        pytest.param("python -m, files come later", marks=pytest.mark.nightly),
        pytest.param("an empty entry of PYTHONPATH", marks=pytest.mark.nightly),
    ],
)
async def test_nothing_is_imported_from_the_working_directory(tmp_path: Path, backend: Backend, way: str) -> None:
    here, marks = tmp_path / "here", tmp_path / "marks"
    here.mkdir()
    router = Router(tmp_path, service_settings(backend.url), cwd=here)
    environment = {}
    if way == "python -m, files come later":
        router.program = (sys.executable, "-m", "router")
    else:
        router.program = (SCRIPT,)
        plant(here, marks)
        if way == "an empty entry of PYTHONPATH":
            # The script itself is Python's: it would import from there before a line of ours has run.
            router.program = (sys.executable, "-P", SCRIPT)
            environment = {"LD_LIBRARY_PATH": ":", "PATH": f":{os.environ['PATH']}"}
    try:
        await router.start(**environment)
        if way == "python -m, files come later":
            plant(here, marks)
        await restarted(router)
        assert "trials" in str(await advised(router))
        assert list(marks.iterdir()) == []
    finally:
        await router.kill()


async def test_processes_are_told_no_secret_that_they_do_not_need(tmp_path: Path, backend: Backend) -> None:
    settings = f'''
notify = [{{ name = "chat", kind = "slack", url = "http://127.0.0.1:9/{SECRET}" }}]
[alerts]
tokens = [{{ name = "ann", sha256 = "{sha256(SECRET.encode()).hexdigest()}" }}]
''' + service_settings(backend.url).replace("/health", f"/?key={SECRET}")
    router = Router(tmp_path, settings)
    try:
        await router.start(**dict.fromkeys(PLANTED, SECRET))
        environments = {pid: process_file(pid, "environ") for pid in children(router.pid)}
        commands = {pid: process_file(pid, "cmdline") for pid in environments}
        workers = [pid for pid, command in commands.items() if "router.proxy.main" in command]
        assert len(workers) == 2
        (control,) = set(environments) - set(workers)
        assert SECRET in process_file(router.pid, "environ"), "it was planted"
        for pid in workers:
            assert SECRET not in environments[pid] + commands[pid]
            assert "PATH=" in environments[pid]
        assert environments[control].count(SECRET) == 1, "the proxy, through which notifications go"
        assert f"https_proxy={SECRET}" in environments[control]
        assert SECRET not in commands[control]
        for pid in (*workers, control):
            seen = memories(pid)
            assert sorted(seen) == [
                "rollback-router-certificates",
                "rollback-router-segment",
                "rollback-router-settings",
            ]
            assert seen["rollback-router-certificates"] == b"{}", "no file of certificates is named"
            assert (SECRET in seen["rollback-router-settings"].decode()) is (pid == control)
            assert (
                sha256(SECRET.encode()).hexdigest().encode() not in seen["rollback-router-settings"] or pid == control
            )
    finally:
        await router.kill()


def memories(pid: int) -> dict[str, bytes]:
    """Return what a process holds in memory without a name, after checking that constant memory is sealed."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            where = os.readlink(link)
        except FileNotFoundError:
            continue
        if not where.startswith("/memfd:"):
            continue
        name = where.removeprefix("/memfd:").split(" ")[0]
        fd = os.open(link, os.O_RDWR)
        seals = sealed.SIZE if "segment" in name else sealed.CONTENTS
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == seals, name
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        found[name] = os.pread(fd, os.fstat(fd).st_size, 0)
        os.close(fd)
    return found


@pytest.mark.nightly
async def test_advice_is_made_without_secrets(tmp_path: Path, backend: Backend) -> None:
    router = Router(tmp_path, service_settings(backend.url))
    try:
        await router.start(**dict.fromkeys(PLANTED, SECRET))
        asking = asyncio.create_task(advised(router))
        seen: list[bytes] = []
        while not asking.done():
            seen += await asyncio.to_thread(advising, router.pid)
        await asking
        assert any(b"PATH=" in one for one in seen)
        assert not any(SECRET.encode() in one for one in seen)
    finally:
        await router.kill()


def advising(router: int) -> list[bytes]:
    """Return environment and command of the processes that make advice now."""
    found = []
    for process in psutil.Process(router).children(recursive=True):
        try:
            shown = [Path(f"/proc/{process.pid}/{name}").read_bytes() for name in ("environ", "cmdline")]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"advice_process" in shown[1]:
            found.append(b"".join(shown))
    return found


def process_file(pid: int, what: str) -> str:
    """Return `environ` or `cmdline` of a process."""
    return Path(f"/proc/{pid}/{what}").read_text()


@pytest.mark.nightly
async def test_settings_that_are_read_again_reach_every_process_sealed(tmp_path: Path, backend: Backend) -> None:
    router = Router(
        tmp_path, 'ready_path = "/-/ready"\n[limits]\nbody_bytes_max = 10\n' + service_settings(backend.url)
    )
    try:
        await router.start()
        async with aiohttp.ClientSession() as session:

            async def status() -> int:
                async with session.post(f"{router.url}/", data=b"x" * 11) as response:
                    return response.status

            assert await status() == 413
            router.settings = router.settings.replace("body_bytes_max = 10", "body_bytes_max = 11")
            router.command()
            os.kill(router.pid, signal.SIGHUP)

            async def taken() -> bool:
                return b'"body_bytes_max":11' in b"".join(
                    memories(pid)["rollback-router-settings"] for pid in children(router.pid)
                )

            await until(taken, 10.0, "the new settings are everywhere")
            await until(lambda: _is(status, 200), 10.0, "the new limit is in force")
        await restarted(router)
    finally:
        await router.kill()


async def _is(status: Any, wanted: int) -> bool:
    return all([await status() == wanted for _ in range(8)])
