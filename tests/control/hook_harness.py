"""Control with the add-on of alerts behind a real admin; versions, workers and probes are fakes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from router.control.admin import app
from router.control.alerts import routes as alert_routes
from router.control.alerts.addon import AlertsAddon
from router.control.store.journal_opening import opened
from router.rollout.facts.entry import Entry
from router.runtime import clock
from router.settings.settings import Settings
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings

TOKEN = {"name": "am", "sha256": hashlib.sha256(b"am-secret").hexdigest()}
BEARER = {"Authorization": "Bearer am-secret"}
QUALITY = {"kind": "quality", "matchers": {"signal": "quality"}}
BUSINESS = {"kind": "business", "matchers": {"signal": "business"}}
OPEN = {"tokens": [TOKEN], "map": [QUALITY, BUSINESS]}


def told(folder: Path, alerts: dict[str, Any], **service: Any) -> Settings:
    plain = settings(folder, **service).model_dump()
    return Settings.model_validate({**plain, "alerts": alerts})


class HookHarness:
    """One run of control, its add-on of alerts, and its admin."""

    def __init__(self, control: ControlHarness, addon: AlertsAddon, application: web.Application, url: str) -> None:
        self.control = control
        self.application = application
        self.addon = addon
        self.url = url
        self.session = aiohttp.ClientSession()

    async def post(self, path: str, body: Any, fields: dict[str, str] | None = None) -> tuple[int, Any]:
        """Return (status, document) of a hook; `body` is JSON, or the bytes as they are."""
        fields = {"Content-Type": "application/json", **(BEARER if fields is None else fields)}
        how = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.session.post(self.url + path, headers=fields, **how) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path) as response:
            return await response.json(content_type=None)

    def warm(self) -> None:
        """The standby's probes are good."""
        self.control.probe("v2", times=3)
        self.control.tick(3)

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in self.control.control_loop.alarms.listing()]


@asynccontextmanager
async def hook_harness(
    folder: Path, alerts: dict[str, Any] | None = None, limits: dict[str, float] | None = None, **service: Any
) -> AsyncIterator[HookHarness]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    settings = told(folder, OPEN if alerts is None else alerts, **service)
    before = await past(folder)
    control = await ControlHarness(settings, segment, workers, folder).begin()
    addon = AlertsAddon(control.control_loop, settings, before, **(limits or {}))
    control.control_loop.add_addons(addon)
    application = app.build(control.queries, control.operations, settings, alert_routes.operations(addon))
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    runner: web.AppRunner = await app.serve(application, sock)
    hooks = HookHarness(control, addon, application, url)
    try:
        yield hooks
    finally:
        await hooks.session.close()
        await runner.cleanup()
        await control.end()
        workers.close()
        segment.close()


async def past(folder: Path) -> list[Entry]:
    """Return the entries of the journal in `folder`, as an add-on gets them at its start."""
    database, entries = opened(folder, clock.wall_s())
    database.close()
    return entries


def firing(fingerprint: str = "f1", ago_s: float = 0.0, **labels: str) -> dict[str, Any]:
    """Return one alert as Alertmanager sends it."""
    return {
        "status": "firing",
        "labels": {"alertname": "Drift", "signal": "quality", "service": "svc", **labels},
        "annotations": {"summary": "PSI 0.41 > 0.25"},
        "startsAt": clock.iso(clock.wall_s() - ago_s),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
    }


def webhook(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a webhook of Alertmanager with these alerts."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="Drift"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rollback-router",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
        **more,
    }
