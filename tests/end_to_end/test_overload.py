"""A worker without descriptors: no spin, control and readiness answer, an alarm names the cause, it recovers by itself."""

from __future__ import annotations

import asyncio
import os
import resource
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, stays, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

ROOM = 12
GET = b"GET /infer HTTP/1.1\r\nHost: t\r\n\r\n"


async def test_a_worker_without_descriptors_backs_off_says_so_and_recovers(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as backend:
        router = await start_router(service_settings(backend.url), workers=1)
        pid = (await router.status())["workers"][0]["pid"]
        first = await asyncio.open_connection("127.0.0.1", router.data_port)
        assert await answered(*first)
        held = len(os.listdir(f"/proc/{pid}/fd"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held + ROOM, hard))
        connections = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", router.data_port) for _ in range(100))
        )
        spent_s = cpu_s(pid)
        alarm = await until(lambda: overload(router), 10, "the alarm is up")
        assert "descriptors " in alarm["detail"]
        assert (await router.status())["limited"]["descriptors"] > 0
        assert await answered(*first), "who is there is served"
        await stays(lambda: frugal(pid, spent_s), 1.0, "it spends less than a second of processor time")
        for _, writer in connections:
            writer.transport.abort()
        await until(lambda: serves(router), 10, "it serves new clients again")
        first[1].close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(GET)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    await reader.readexactly(2)
    return head.startswith(b"HTTP/1.1 200 ")


async def frugal(pid: int, since_s: float) -> bool:
    return cpu_s(pid) - since_s < 1.0


async def overload(router: Router) -> dict[str, Any] | None:
    alarms = (await router.status())["alarms"]
    return next((alarm for alarm in alarms if alarm["code"] == "overloaded"), None)


async def serves(router: Router) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{router.url}/infer") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
