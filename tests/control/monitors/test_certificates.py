"""Alarms of certificates: soon over, over, and files that nobody can use."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from router.control.monitors.alarms import Alarms
from router.control.monitors.certificates import CertificateMonitor
from router.runtime import clock
from router.settings.loader import load
from router.settings.settings import Settings
from tests.certificate_authority import CertificateAuthority
from tests.waiting import until


def settings_with(**flags: Any) -> Settings:
    return load(None, flags)


def up(alarms: Alarms) -> dict[str, str]:
    return {alarm["code"]: alarm["detail"] for alarm in alarms.listing()}


def spoil(path: str) -> None:
    Path(path).write_text("broken")


async def test_alarms_come_and_go_with_the_files(tmp_path: Path) -> None:
    authority, alarms = CertificateAuthority(tmp_path), Alarms()
    pair = authority.pair()
    ours = authority.pair("router.test", file="router")
    tls = {"certificate": pair.certificate, "key": pair.key}
    backend = {"certificate": ours.certificate, "key": ours.key}
    monitor = CertificateMonitor(settings_with(tls=tls, services={"a": {"backend_tls": backend}}), alarms)
    now_s = clock.wall_s()
    await monitor.check(now_s)
    places = [("tls", pair.certificate, 29), ("services.a.backend_tls", ours.certificate, 29)]
    assert [(place, certificate.path, days) for place, certificate, days in monitor.found] == places
    assert up(alarms) == {}

    await monitor.check(now_s + 17 * 86_400)
    assert up(alarms)["certificate_expiring"].count(", in 12 days") == 2

    authority.pair(days=-1)
    authority.pair("router.test", file="router", days=60)
    await monitor.check(now_s)
    assert up(alarms)["certificate_expiring"].startswith(f"certificate {pair.certificate} has expired on ")
    assert ";" not in up(alarms)["certificate_expiring"]

    spoil(pair.key)
    await monitor.check(now_s)
    assert set(up(alarms)) == {"certificate_expiring", "certificate_unusable"}
    assert pair.key in up(alarms)["certificate_unusable"]
    assert len(monitor.found) == 2, "what was known before"

    authority.pair()
    await monitor.check(now_s)
    assert up(alarms) == {}


async def test_settings_without_tls_end_the_alarms(tmp_path: Path) -> None:
    pair, alarms = CertificateAuthority(tmp_path).pair(days=3), Alarms()
    monitor = CertificateMonitor(settings_with(tls={"certificate": pair.certificate, "key": pair.key}), alarms)
    await monitor.check(clock.wall_s())
    assert set(up(alarms)) == {"certificate_expiring"}
    monitor.reconfigure(settings_with())
    await monitor.check(clock.wall_s())
    assert (up(alarms), monitor.found) == ({}, [])


async def test_it_looks_again_and_again_until_it_is_cancelled(tmp_path: Path) -> None:
    authority, alarms = CertificateAuthority(tmp_path), Alarms()
    pair = authority.pair(days=3)
    flags = {"tls": {"certificate": pair.certificate, "key": pair.key}, "timeouts": {"certificates_every_s": 0.01}}
    running = asyncio.ensure_future(CertificateMonitor(settings_with(**flags), alarms).run())
    await until(lambda: up(alarms))
    authority.pair()
    await until(lambda: not up(alarms))
    running.cancel()
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
