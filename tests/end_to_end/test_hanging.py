"""Everything around the swap hangs at once: the swap waits for none of it, and each raises an alarm."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests import backends
from tests.backends import Backend
from tests.control.receiver import receiving
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, until
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

FILES = ("journal", "history", "cases", "outbox")
NOISE_S = 0.75
"""What two rollbacks of the same kind may differ by on a busy machine: the trigger looks ten times a second, for a second."""
LAG_S = 0.2
INCIDENT = f"{SERVICE}-1-7"
"""The second rollback. Each round takes three generations: deployed, promoted, rolled back."""
ALARMS = {
    "journal_unavailable",
    "history_unavailable",
    "outbox_unavailable",
    "incident_files_unwritable",
    "mlflow_unreachable",
    "notification_failing",
}
CASES = {"cases_unavailable", "cases_not_kept", "cases_not_deleted"}


@asynccontextmanager
async def mlflow() -> AsyncIterator[str]:
    """A tracking server that has fraud/3 and fraud/4, and hangs at every write."""
    gone = asyncio.Event()

    async def known(request: web.Request) -> web.Response:
        tags = [{"key": "rollback_router.version", "value": f"v{request.query['version']}"}]
        version = {
            "name": "fraud",
            "version": request.query["version"],
            "source": "s3://x",
            "status": "READY",
            "tags": tags,
        }
        return web.json_response({"model_version": version})

    async def hang(_: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    application = web.Application()
    application.router.add_get("/api/2.0/mlflow/model-versions/get", known)
    application.router.add_route("*", "/{tail:.*}", hang)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        gone.set()
        await runner.cleanup()


@contextmanager
def hanging_disk(state: Path, disk: Path) -> Iterator[None]:
    """Another process locks every database of the router; a writer of the files of INCIDENT waits for the FIFO `disk`."""
    locked = [sqlite3.connect(state / f"{name}.sqlite", isolation_level=None, timeout=20) for name in FILES]
    try:
        for database in locked:
            database.execute("BEGIN IMMEDIATE")
        yield
    finally:
        for database in locked:
            database.close()
        os.close(os.open(disk, os.O_RDONLY | os.O_NONBLOCK))  # the waiting writer goes on


async def lag_s(router: Router) -> float:
    """Return the worst lateness of control's loop in the last second."""
    async with aiohttp.ClientSession() as session, session.get(f"{router.admin_url}/metrics") as response:
        found = re.search(r'loop_lag_seconds\{process="control"\} (\S+)', await response.text())
    assert found is not None
    return float(found[1])


async def crashed(router: Router, failing: Backend) -> tuple[float, float]:
    """Have the active version's servers vanish; return (seconds until v1 is active, worst lag of control's loop meanwhile)."""
    lags: list[float] = []

    async def watch() -> None:
        while True:
            lags.append(await lag_s(router))
            await asyncio.sleep(0.2)

    async with Traffic(router.url, per_s=40) as traffic:
        await traffic.more(40)
        began = time.monotonic()
        await failing.stop()
        watching = asyncio.create_task(watch())
        await router.wait_active("v1", 10)
        took_s = time.monotonic() - began
        await traffic.more(60)
        watching.cancel()
    assert set(traffic.endings()) == {200}, "every request was rescued"
    assert traffic.versions(since=began + took_s + 0.3) == {"v1"}
    return took_s, max(lags)


def settings(url: str, tracking_uri: str, **channels: tuple[str, str]) -> str:
    tables = "".join(
        f'[[notify]]\nname = "{name}"\nkind = "{kind}"\nurl = "{where}"\ntimeout_s = 0.5\n'
        for name, (kind, where) in channels.items()
    )
    return f'{tables}[mlflow]\ntracking_uri = "{tracking_uri}"\ntimeout_s = 0.5\n' + service_settings(
        url, more=f'replay = "always"\n[services.{SERVICE}.cases]\nbodies = true\n'
    )


async def test_nothing_waits_for_what_hangs_and_all_of_it_is_told(start_router: StartRouter, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    os.mkfifo(disk)
    async with (
        mlflow() as tracking_uri,
        receiving(None) as hook,
        receiving(None) as chat,
        Backend(backends.ok()) as old,
        Backend(backends.ok()) as first,
        Backend(backends.ok()) as second,
    ):
        channels = {"hook": ("webhook", hook.url), "chat": ("slack", chat.url)}
        channels["pager"] = ("apprise", hook.url.replace("http://", "json://"))
        point = f"incident.{INCIDENT}:1:{disk}"
        router = await start_router(settings(old.url, tracking_uri, **channels), ROLLBACK_ROUTER_FAIL_POINT=point)

        async def promoted(number: int, backend: Backend) -> None:
            await router.verb("deploy", version=f"models:/fraud/{number}", endpoints=[backend.url])
            await router.wait_ready(f"v{number}")
            await router.verb("promote", version=f"v{number}")
            await router.wait_ready("v1")

        await promoted(3, first)
        plain_s, plain_lag_s = await crashed(router, first)
        await promoted(4, second)
        assert f"{SERVICE}-1-{(await router.service())['generation'] % (1 << 24) + 1}" == INCIDENT
        with hanging_disk(router.state, disk):
            hung_s, hung_lag_s = await crashed(router, second)
            assert (await router.call("GET", f"/v1/incidents/{INCIDENT}"))["from"] == "v4"
            assert hung_s <= plain_s + NOISE_S, (plain_s, hung_s)
            assert hung_lag_s < max(LAG_S, 2 * plain_lag_s), (plain_lag_s, hung_lag_s)

            async def alarms_up() -> bool:
                codes = {alarm["code"] for alarm in (await router.status())["alarms"]}
                return codes >= ALARMS and bool(codes & CASES)

            await until(alarms_up, 25, "each is an alarm")
            assert not (router.state / "incidents" / f"{INCIDENT}.json").exists()
            assert await lag_s(router) < max(LAG_S, 2 * plain_lag_s)

        async def recovered() -> bool:
            codes = {alarm["code"] for alarm in (await router.status())["alarms"]}
            files = (router.state / "incidents" / f"{INCIDENT}.json").exists()
            return files and not codes & (CASES | ALARMS - {"mlflow_unreachable", "notification_failing"})

        await until(recovered, 25, "what was owed to the disk is on it")
        assert [entry["data"]["from"] for entry in await router.journal("rolled_back")] == ["v3", "v4"]
