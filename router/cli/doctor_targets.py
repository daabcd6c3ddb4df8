"""What `doctor` finds at the model servers of the settings before the start: each is asked what the router will ask it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.cli.doctor_check import DoctorCheck
from router.cli.doctor_surroundings import CONNECT_TIMEOUT_S
from router.rollout.model.endpoint import parse_endpoint
from router.rollout.model.rewrite import SentRewrite, parse_fields

if TYPE_CHECKING:
    from router.control.core.probe import ProbeResult
    from router.settings.sections.service import TargetSeed
    from router.settings.settings import Settings

ENDPOINTS_MAX: Final = 16
"""Endpoints of a version that are asked; further ones are of the same kind."""
_START: Final = "start that model server, or correct its URL"
_REQUEST: Final = "correct probe to a request that this server answers: docs/behaviour/probes.md"


def targets(settings: Settings) -> Iterator[DoctorCheck]:
    """Yield for each endpoint whether it accepts connections and, if it does, whether its probe passes."""
    for name, service in sorted(settings.services.items()):
        for seed in filter(None, (service.active, service.standby)):
            for url in seed.endpoints[:ENDPOINTS_MAX]:
                check = _connected(f"target {name}/{seed.version}", url)
                if not check.ok or service.probe == "none" or (fields := _fields(seed)) is None:
                    yield check
                    continue
                rewrite = SentRewrite(service.path_prefix, seed.rewrite, fields)
                yield _probed(settings, name, seed.version, url, rewrite)


def _connected(name: str, url: str) -> DoctorCheck:
    endpoint = parse_endpoint(url)
    try:
        if endpoint.unix:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(CONNECT_TIMEOUT_S)
                probe.connect(endpoint.unix)
        else:
            socket.create_connection((endpoint.host, endpoint.port), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return DoctorCheck(name, False, f"{url}: {error.strerror or error}", _START)
    return DoctorCheck(name, True, f"{url} accepts connections")


def _fields(seed: TargetSeed) -> tuple[tuple[str, str], ...] | None:
    """Return the header fields of a version; None if its file cannot be used, which is a finding of its own."""
    try:
        return parse_fields(Path(seed.headers_file).read_text("utf-8")) if seed.headers_file is not None else ()
    except (OSError, ValueError):
        return None


def _probed(settings: Settings, service: str, version: str, url: str, rewrite: SentRewrite) -> DoctorCheck:
    """Send the probe of a service once. It takes at most its own timeout."""
    import asyncio

    from router.control.core.probe import ProbeClient

    probe = settings.services[service].probe
    assert probe != "none"

    async def send() -> ProbeResult:
        client = ProbeClient(settings)
        try:
            return await client.probe(service, url, probe, probe.probe_timeout_s, rewrite)
        finally:
            await client.close()

    result = asyncio.run(send())
    about = f"target {service}/{version}"
    if result.ok:
        return DoctorCheck(about, True, f"{url}: {probe.method} {probe.path} passes as a probe")
    return DoctorCheck(about, False, f"{url}: {probe.method} {probe.path} fails as a probe: {result.detail}", _REQUEST)
