"""Watches the files of the certificates that the router presents: whether they are usable, and when they expire.

Two alarms and a gauge. The files are read, not the certificates in use: with a broken pair the workers keep the old one,
also those that start (supervisor/kept_certificates.py), but the router itself cannot be started.
"""

from __future__ import annotations

import asyncio
from typing import Any

from router.control.monitors.alarms import Alarms
from router.errors import StartError
from router.runtime import clock
from router.settings.settings import Settings
from router.tls import contexts
from router.tls.certificate_info import Certificate

Found = list[tuple[str, Certificate, int]]


class CertificateMonitor:
    """`found`: (setting, certificate, whole days left) of the last check that could read all files."""

    def __init__(self, settings: Settings, alarms: Alarms) -> None:
        self.found: Found = []
        self._alarms = alarms
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings from the next check on."""
        self._document = settings.model_dump()
        self._every_s = settings.timeouts.certificates_every_s

    async def run(self) -> None:
        """Check every `certificates_every_s`, until cancelled."""
        while True:
            await self.check(clock.wall_s())
            await asyncio.sleep(self._every_s)

    async def check(self, now_s: float) -> None:
        """Read the files, in a thread; raise `certificate_unusable` and `certificate_expiring`, or end them."""
        try:
            self.found = await asyncio.get_running_loop().run_in_executor(None, _read, self._document, now_s)
        except StartError as error:
            self._alarms.up("certificate_unusable", error.detail)
            return
        self._alarms.down("certificate_unusable")
        details = [detail for _, certificate, _ in self.found if (detail := certificate.warning(now_s)) is not None]
        if details:
            self._alarms.up("certificate_expiring", "; ".join(dict.fromkeys(details)))
        else:
            self._alarms.down("certificate_expiring")


def _read(document: dict[str, Any], now_s: float) -> Found:
    """Return the certificates that the settings name; raise StartError where a start would."""
    contexts.check(document, now_s)
    return list(contexts.presented_certificates(document, now_s))
