"""A real Prometheus scrapes a real router that rolls a version back: it takes every metric, rule and query of deploy/."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from docs.generate.grafana_dashboard import dashboard
from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, free_port, service_settings, until
from tests.end_to_end.traffic import Traffic
from tests.monitoring.programs import program

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(90)]

DEPLOY: Final = Path(__file__).parent.parent.parent / "deploy" / "prometheus"
VARIABLES: Final = {
    "$instance": ".*",
    "$service": ".*",
    "$__rate_interval": "60s",
    "$__interval": "60s",
    "$__range": "60s",
}
EMPTY: Final = {
    "Limits that act A": "no client meets a limit",
    "Last 30 days B": "the record is computed every five minutes, and at the start there was no traffic",
    "Last 30 days C": "the same",
    "Last 30 days A": "the same",
    "Times to detect and to restore A": "the same",
    "Times to detect and to restore B": "the same",
    "Open matters C": "there is no candidate whose cases could fail",
    "Time since the last drill A": "there was no drill",
    "Input drift A": "the inputs are not watched",
}
"""Queries that have no data in this scene, and why."""
MALFORMED: Final = backends.sending(b"HTTP/1.1 2OO OK\r\nContent-Length: 2\r\n\r\nok")


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running server."""

    url: str

    async def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/{path}", params=query) as response,
        ):
            document = await response.json()
            assert document["status"] == "success", document
            return document["data"]

    async def values(self, expr: str) -> list[dict[str, Any]]:
        """Return what an instant query finds now."""
        return list((await self.get("query", query=expr))["result"])


@asynccontextmanager
async def prometheus(folder: Path, router: Router) -> AsyncIterator[Prometheus]:
    """Start a server with the project's settings and rules, which scrapes `router` each second."""
    settings = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(DEPLOY / name) for name in settings["rule_files"]]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{router.admin_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log,
        )  # fmt: skip
    server = Prometheus(f"http://127.0.0.1:{port}")

    async def scraped() -> bool:
        try:
            return any(sample["value"][1] == "1" for sample in await server.values("up"))
        except aiohttp.ClientError:
            return False

    try:
        await until(scraped, 20, "Prometheus has scraped the router")
        yield server
    finally:
        process.terminate()
        await process.wait()


async def fire(server: Prometheus, alert: str) -> None:
    """Return when the alert fires."""

    async def fires() -> bool:
        alerts = (await server.get("alerts"))["alerts"]
        return any(one["labels"]["alertname"] == alert and one["state"] == "firing" for one in alerts)

    await until(fires, 15, f"{alert} fires", every_s=0.2)


async def three_scrapes(server: Prometheus) -> None:
    """Return when the router was scraped three times."""

    async def enough() -> bool:
        found = await server.values("count_over_time(rollback_router_build_info[1m])")
        return bool(found) and int(found[0]["value"][1]) >= 3

    await until(enough, 15, "three scrapes", every_s=0.2)


async def checked(router: Router) -> tuple[int, bytes]:
    """Return the exit code and the complaints of `promtool check metrics` about the metrics of the router."""
    async with aiohttp.ClientSession() as session, session.get(router.admin_url + "/metrics") as response:
        exposed = await response.read()
    done = await asyncio.to_thread(
        subprocess.run, [program("promtool"), "check", "metrics"], input=exposed, capture_output=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def queries() -> dict[str, str]:
    """Return the queries of the dashboard by panel and letter, with values for Grafana's variables."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }
    found["Switches"] = dashboard()["annotations"]["list"][0]["expr"]
    for name, value in VARIABLES.items():
        found = {panel: expr.replace(name, value) for panel, expr in found.items()}
    return found


async def test_it_takes_every_metric_rule_and_query(start_router: StartRouter, tmp_path: Path) -> None:
    async with Backend(backends.ok()) as one, Backend(backends.ok()) as other, Backend(backends.ok()) as new:
        settings = service_settings(
            None,
            new.url,
            f'active = {{ version = "v1", endpoints = ["{one.url}", "{other.url}"] }}\n'
            'replay = "always"\nrescue_on = ["broken"]\n',
        )
        notify = f'[[notify]]\nname = "on-call"\nkind = "webhook"\nurl = "{one.url}/hook"\nevents = ["rollback"]\n'
        router = await start_router(notify + settings)
        await router.wait_ready("v2")
        async with prometheus(tmp_path, router) as server, Traffic(router.url, clients=4, pause_s=0.02):
            await router.verb("switch", to="v2")
            new.behaviour = MALFORMED
            await router.wait_active("v1", 30)
            await fire(server, "RollbackRouterRolledBack")
            await three_scrapes(server)

            assert await checked(router) == (0, b"")
            found = {panel: await server.values(expr) for panel, expr in queries().items()}
            assert {panel for panel, samples in found.items() if not samples} == set(EMPTY)
            assert {sample["metric"]["version"] for sample in found["Active version A"]} == {"v1"}
            assert {sample["metric"]["reason"] for sample in found["Switches"]} >= {"switch"}
            assert {sample["metric"]["endpoint"] for sample in found["Attempts by endpoint A"]} == {
                one.url, other.url, new.url,
            }  # fmt: skip

            groups = (await server.get("rules"))["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
            recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
            assert len(recorded) == 11
            assert [name for name in recorded if not await server.values(name)] == []
