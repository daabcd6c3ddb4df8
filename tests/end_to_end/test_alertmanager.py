"""A real Alertmanager sends a real router an alert about the new version."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, free_port, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(90)]

TOKEN = "alertmanager-secret"
ALERTS = f"""
[alerts]
tokens = [{{ name = "alertmanager", sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}" }}]
[[alerts.map]]
kind = "quality"
matchers = {{ severity = "critical" }}
patterns = {{ alertname = "(Input|Output)Drift" }}
service_label = "model"
"""


@asynccontextmanager
async def alertmanager(folder: Path, router: Router) -> AsyncIterator[str]:
    """Start an Alertmanager that sends to `router`; return the address of its API."""
    config = folder / "alertmanager.yml"
    config.write_text(
        "route: {receiver: router, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1s}\n"
        "receivers:\n- name: router\n  webhook_configs:\n"
        f"  - url: {router.admin_url}/v1/hooks/alertmanager\n    send_resolved: true\n    max_alerts: 100\n"
        f"    http_config: {{authorization: {{credentials: {TOKEN}}}}}\n"
    )
    port = free_port()
    with (folder / "alertmanager.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus-alertmanager", f"--config.file={config}", f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    async def ready() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    try:
        await until(ready, 15, "the Alertmanager is ready")
        yield url
    finally:
        process.terminate()
        await process.wait()


async def raise_alert(url: str, labels: dict[str, str], began: datetime, ended: datetime | None = None) -> None:
    alert: dict[str, Any] = {
        "labels": {"severity": "critical", "model": SERVICE, **labels},
        "annotations": {"summary": "PSI 0.41 above 0.25"},
        "startsAt": began.isoformat(),
        **({"endsAt": ended.isoformat()} if ended else {}),
    }
    async with aiohttp.ClientSession() as session, session.post(f"{url}/api/v2/alerts", json=[alert]) as response:
        assert response.status == 200, await response.text()


async def fates(router: Router) -> dict[str, str]:
    return {alert["name"]: alert["fate"] for alert in (await router.call("GET", "/v1/alerts"))["alerts"]}


async def test_an_alert_about_the_new_version_rolls_it_back(start_router: StartRouter, tmp_path: Path) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url) + ALERTS)
        await router.promote_new("v2", new.url)
        await router.wait_ready("v1")
        async with alertmanager(tmp_path, router) as url:
            began = datetime.now(UTC)
            await raise_alert(url, {"alertname": "InputDrift", "version": "v1"}, began)
            await raise_alert(url, {"alertname": "OutputDrift", "version": "v2"}, began - timedelta(hours=1))

            async def both() -> bool:
                return len(await fates(router)) == 2

            await until(both, 10, "both alerts have come")
            assert await fates(router) == {"InputDrift": "version_inactive", "OutputDrift": "stale"}
            assert (await router.service())["active"] == "v2"

            await raise_alert(url, {"alertname": "OutputDrift", "version": "v2", "part": "eu"}, began)
            service = await router.wait_active("v1", 10)
            assert service["last_switch"]["cause"] == "verdict"
            (entry,) = await router.journal("rolled_back")
            assert (entry["data"]["trigger"]["kind"], entry["data"]["from"]) == ("quality", "v2")
            assert entry["data"]["reason"] == "alert OutputDrift: PSI 0.41 above 0.25"

            # It repeats itself each second; then it is over. Neither moves anything.
            await raise_alert(
                url, {"alertname": "OutputDrift", "version": "v2", "part": "eu"}, began, datetime.now(UTC)
            )

            async def over() -> bool:
                found = (await router.call("GET", "/v1/alerts"))["alerts"]
                return any(alert["status"] == "resolved" for alert in found)

            await until(over, 15, "the alert is resolved")
            assert (await router.service())["active"] == "v1"
            assert len(await router.journal("rolled_back")) == 1
            assert len([entry for entry in await router.journal("alert") if entry["data"]["fate"] == "counts"]) == 1


async def test_too_many_alerts_and_a_long_text_lose_none(start_router: StartRouter, tmp_path: Path) -> None:
    """Alertmanager repeats the webhook after each 503 until every alert is taken; annotations that are missing are empty."""
    limits = "[alerts]\nalerts_max = 3\n"
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url) + ALERTS.replace("[alerts]\n", limits))
        async with alertmanager(tmp_path, router) as url:
            began = datetime.now(UTC).isoformat()
            labels = {"severity": "critical", "model": SERVICE, "alertname": "InputDrift", "version": "v0"}
            alerts = [{"labels": {**labels, "part": str(number)}, "startsAt": began} for number in range(10)]
            alerts[1]["annotations"] = {"summary": "x" * 9000}
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/api/v2/alerts", json=alerts) as response,
            ):
                assert response.status == 200, await response.text()

            async def all_taken() -> bool:
                return bool((await router.call("GET", "/v1/alerts"))["remembered"] == len(alerts))

            await until(all_taken, 20, "every alert is taken")
            assert len(await router.journal("alert")) == len(alerts)
