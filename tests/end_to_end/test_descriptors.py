"""A router with few descriptors runs with smaller limits and logs them, or it refuses to start and names its needs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end.real_router import Router, until
from tests.texts import golden

pytestmark = pytest.mark.end_to_end
SETTINGS = """
[services.default]
active = { version = "v1", endpoints = ["http://127.0.0.1:9"] }
"""


class Limited(Router):
    """It may have `files` descriptors a process."""

    files = 64

    def command(self) -> list[str]:
        return ["prlimit", f"--nofile={self.files}:{self.files}", *super().command()]


def router(folder: Path, files: int) -> Limited:
    made = Limited(folder, SETTINGS)
    made.files = files
    return made


@pytest.mark.parametrize(
    "files", [pytest.param(16, marks=pytest.mark.nightly), pytest.param(32, marks=pytest.mark.nightly), 51]
)
async def test_with_too_few_it_does_not_start_and_says_why(tmp_path: Path, files: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *router(tmp_path, files).command(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 3, said
    assert golden("limits.router_needs", files=files).encode() in said
    assert b"ulimit -Hn" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize("files", [52, *(pytest.param(files, marks=pytest.mark.nightly) for files in (64, 100, 256))])
async def test_with_few_it_runs_and_its_admin_port_takes_a_crowd(tmp_path: Path, files: int) -> None:
    running = router(tmp_path, files)
    connections: list[asyncio.StreamWriter] = []
    try:
        await running.start(within_s=60)
        for port in (running.admin_port, running.data_port):
            for _ in range(files):
                with suppress(OSError):
                    connections.append((await asyncio.open_connection("127.0.0.1", port))[1])

        async def answered() -> bool:
            try:
                async with aiohttp.ClientSession() as session:
                    body = {"reason": "few descriptors"}
                    async with session.post(f"{running.admin_url}/v1/services/default/freeze", json=body) as response:
                        return response.status == 200
            except aiohttp.ClientError:
                return False

        await until(answered, 10, f"the admin port answers\n{running.log[-3000:]}")
        taken = min(256, files - 44)
        assert (golden("limits.admin_connections", files=files) in running.log) == (taken < 256)
        assert golden("limits.worker_needs") in running.log
        assert "Traceback" not in running.log
        assert "unable to open" not in running.log
    finally:
        for writer in connections:
            writer.close()
        await running.stop()
