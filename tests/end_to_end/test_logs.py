"""The logs of a real router: JSON for every event, and an access log of its own that logrotate may rename under load."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, until
from tests.end_to_end.traffic import Traffic
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]


def lines(*paths: Path) -> list[dict[str, Any]]:
    """Return the lines of all files; a cut one fails here."""
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


async def test_every_line_is_json_and_no_request_is_missing_after_a_rotation(
    start_router: StartRouter, tmp_path: Path
) -> None:
    access, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    settings = f'log_format = "json"\naccess_log = true\naccess_log_to = "{access}"\n'
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(settings + service_settings(old.url, new.url))
        await router.wait_ready("v2")
        async with Traffic(router.url, clients=4, pause_s=0.002) as traffic:
            await traffic.more(200)
            access.rename(rotated)
            router.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
            await until(settings_version(router, 2), 10, "the settings are read again")
            await traffic.more(200)
            await router.verb("switch", to="v2")
        assert {seen.ending for seen in traffic.seen} == {200}
        await until(written_are(len(traffic.seen), rotated, access), 10, "each request has its line")
        await kill_worker(router)
        assert await router.stop() == 0
    written = posts(rotated, access)
    assert {line["process"] for line in written} == {"worker-0", "worker-1"}
    assert lines(rotated)
    assert lines(access)
    assert written[0].keys() >= {"time", "level", "process", "logger", "message", "client", "status", "request_id"}

    log = lines(router.folder / "router.log")
    assert all(line.keys() >= {"time", "level", "process", "logger", "message"} for line in log)
    assert {line["process"] for line in log} >= {"supervisor", "control"}
    assert "router.access" not in {line["logger"] for line in log}
    events = {line["event"]: line for line in log if "event" in line}
    assert (events["switched"]["service"], events["switched"]["data"]["to"]) == (SERVICE, "v2")
    assert events["died"]["died"] == "worker 1"
    assert any(line["message"].startswith("rollback-router ") and "serving" in line["message"] for line in log)


def posts(*paths: Path) -> list[dict[str, Any]]:
    return [line for line in lines(*paths) if line["method"] == "POST"]


def written_are(count: int, *paths: Path) -> Any:
    async def reached() -> bool:
        return len(posts(*paths)) == count

    return reached


def settings_version(router: Router, number: int) -> Any:
    async def reached() -> bool:
        return bool((await router.status())["settings"]["version"] == number)

    return reached


async def kill_worker(router: Router) -> None:
    """kill -9 worker 1; return once its successor is up."""
    before = (await router.status())["workers"][1]["pid"]
    await router.kill([before])

    async def is_back() -> bool:
        worker = (await router.status())["workers"][1]
        return bool(worker["up"] and worker["pid"] != before)

    await until(is_back, 20, "worker 1 is back")


async def test_a_full_disk_delays_no_request_and_is_counted(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as backend:
        full = 'access_log = true\naccess_log_to = "/dev/full"\n'
        router = await start_router(full + service_settings(backend.url), workers=1)
        long = "/" + "a" * 7_000
        async with aiohttp.ClientSession() as session:

            async def ask() -> int:
                async with session.get(router.url + long) as response:
                    return response.status

            assert set(await asyncio.gather(*(ask() for _ in range(700)))) == {200}

            async def counted() -> bool:
                async with session.get(router.admin_url + "/metrics") as response:
                    text = await response.text()
                (line,) = [
                    line
                    for line in text.splitlines()
                    if line.startswith("rollback_router_access_log_lines_dropped_total ")
                ]
                return float(line.split()[1]) > 0

            await until(counted, 10, "dropped lines are counted")
        assert golden("access_log.disk_full", path="/dev/full") in router.log
