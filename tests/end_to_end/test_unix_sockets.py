"""A router that needs no port: clients, operators and backends on Unix sockets."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.real_router import until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]


async def test_data_admin_and_backend_on_unix_sockets(tmp_path: Path) -> None:
    async with Backend(backends.ok(b"model")) as backend:
        server = await asyncio.start_unix_server(backend._serve, tmp_path / "model.sock")
        router = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "router", "run", "--workers", "2", "--state-dir", str(tmp_path / "state")),
            *("--listen", f"unix:{tmp_path}/data.sock", "--admin", f"unix:{tmp_path}/admin.sock"),
            *("--blue", f"unix:{tmp_path}/model.sock", "--probe", "/health"),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert router.stderr is not None
        try:
            async with asyncio.timeout(20):
                while b"serving default on unix:" not in await router.stderr.readline():
                    pass
            statuses = {await send(tmp_path / "data.sock") for _ in range(20)}
            assert statuses == {(200, b"model", "blue")}
            status = await said(tmp_path, "status")
            assert f"unix:{tmp_path}/model.sock" in await said(tmp_path, "status", "--json")
            assert "blue" in status
            await until(lambda: doctor_is_content(tmp_path), 10, "the doctor finds the backend well")
        finally:
            if router.returncode is None:
                router.terminate()
            await asyncio.wait_for(router.communicate(), 20)
        assert router.returncode == 0
        assert sorted(os.listdir(tmp_path)) == ["model.sock", "state"]
        server.close()


async def send(path: Path) -> tuple[int, bytes, str | None]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/infer") as response,
    ):
        return response.status, await response.read(), response.headers.get("X-Served-Version")


async def said(folder: Path, *words: str) -> str:
    command = (sys.executable, "-m", "router", *words, "--admin", f"unix:{folder}/admin.sock")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    return (await asyncio.wait_for(process.communicate(), 20))[0].decode()


async def doctor_is_content(folder: Path) -> bool:
    return f"unix:{folder}/model.sock: ok" in "".join((await said(folder, "doctor", "--json")).split("\n"))
