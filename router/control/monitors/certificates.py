"""Until when the certificates hold that others are shown, and whether their files can be used: two alarms and a gauge.

Looked at are the files, not what is in use: a broken pair leaves the workers with the old one, but the next worker that
starts has none.
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
    """`found`: (setting, certificate, whole days left) of the last look that could read them all."""

    def __init__(self, settings: Settings, alarms: Alarms) -> None:
        self.found: Found = []
        self._alarms = alarms
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Take over other settings; they count from the next look on."""
        self._document = settings.model_dump()
        self._every_s = settings.timeouts.certificates_every_s

    async def keep_looking(self) -> None:
        """Look every `certificates_every_s`."""
        while True:
            await self.look(clock.wall_s())
            await asyncio.sleep(self._every_s)

    async def look(self, now_s: float) -> None:
        """Read the files, in a thread; raise `certificate_unusable` and `certificate_expiring`, or end them."""
        try:
            self.found = await asyncio.get_running_loop().run_in_executor(None, _read, self._document, now_s)
        except StartError as error:
            self._alarms.up("certificate_unusable", error.detail)
            return
        self._alarms.down("certificate_unusable")
        complaints = [told for _, certificate, _ in self.found if (told := certificate.complaint(now_s)) is not None]
        if complaints:
            self._alarms.up("certificate_expiring", "; ".join(dict.fromkeys(complaints)))
        else:
            self._alarms.down("certificate_expiring")


def _read(document: dict[str, Any], now_s: float) -> Found:
    """Return what the settings name; raise StartError if a start with them would."""
    contexts.check(document, now_s)
    return list(contexts.shown(document, now_s))
