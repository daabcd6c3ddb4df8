"""Reads the failing requests that workers have captured, redacted, as plain data: for incidents and for cases.

If there are rules for bodies and texts, a process applies them (redaction_process.py), one at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from router.control.bulkhead import Bulkhead, BulkheadFull
from router.control.cases import redaction_process
from router.control.cases.failed_request import failed_request, failed_version
from router.control.cases.redaction_process import RedactionJob, RedactionResult
from router.rollout.cases.redaction import redaction
from router.runtime import clock
from router.settings.sections.cases import Cases
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import Capture, CaptureRing
from router.shm.segment import Segment
from router.shm.settings_memory import Place

PROCESSES_MAX: Final = 2
"""One, and one whose caller has not waited for its end."""


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """One time on both clocks: monotonic nanoseconds, and wall seconds."""

    now_ns: int
    wall_s: float

    def wall_of(self, at_ns: int) -> float:
        """Return the wall time of a monotonic one."""
        return self.wall_s - (self.now_ns - at_ns) / 1e9


class CapturedRequests:
    """The captured requests in the rings of all workers, by the name of a service. `on_result` is called on the event loop with
    the service and each result of the process that redacts.
    """

    def __init__(
        self,
        segment: Segment,
        settings: Settings,
        on_result: Callable[[str, RedactionResult], None] = lambda service, result: None,
    ) -> None:
        self._segment = segment
        self._on_result = on_result
        self._turn = asyncio.Lock()
        self._bulkhead = Bulkhead("redaction", PROCESSES_MAX)
        self.reconfigure(settings)
        self._places = {name: Place(number) for number, name in enumerate(self._services)}

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed redaction rules."""
        self._services = {name: settings.services[name].cases for name in sorted(settings.services)}

    def set_places(self, places: Mapping[str, Place]) -> None:
        """Read the captures of these services, and of no others; without this call, services are in the order of their names."""
        self._places = dict(places)

    async def failures(
        self, service: str, since_ns: int, until_ns: int, limit: int, version: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the requests that a version of `service` failed between two monotonic times, newest first, redacted.

        At most `limit`, and of `version` alone if it is given. Each has `at` (wall seconds), `at_ns` (monotonic), and the
        members of `failed_request`. Read in a thread, and redacted in a process, within redaction_process.TIMEOUT_S.
        """
        if service not in self._services or service not in self._places:  # it was removed
            return []
        now, settings = CaptureTime(clock.now_ns(), clock.wall_s()), self._services[service]
        place = self._places[service]
        arguments = (self._segment, place.number, max(since_ns, place.since_ns), until_ns, limit, version)
        found = await asyncio.to_thread(captures, *arguments)
        if found and (settings.redact_paths or settings.redact_patterns):
            job = _job(settings, found)
            async with self._turn:
                try:
                    result = await self._bulkhead.call(lambda: redaction_process.run(job))
                except BulkheadFull:
                    result = redaction_process.hidden(job.payloads, "other processes that redact have not ended")
            self._on_result(service, result)
            return _dated(found, result.requests, now)
        rules = redaction((), (), settings.query)
        payloads = [capture.payload for capture in found]
        requests = await asyncio.to_thread(lambda: [failed_request(payload, rules) for payload in payloads])
        return _dated(found, requests, now)


def captures(
    segment: Segment, service: int, since_ns: int, until_ns: int, limit: int, version: str | None = None
) -> list[Capture]:
    """Return the captures of the service with this index, newest first; of requests that `version` failed, if it is given.

    Takes a few milliseconds per worker; call it in a thread.
    """
    rings = (CaptureRing(segment, worker, at.CAPTURE_FAILURES) for worker in range(segment.layout.workers))
    found = [capture for ring in rings for capture in ring.read(since_ns=since_ns, service=service)]
    found.sort(key=lambda capture: -capture.at_ns)
    chosen = (capture for capture in found if capture.at_ns <= until_ns)
    return list(islice((one for one in chosen if version is None or failed_version(one.payload) == version), limit))


def _job(settings: Cases, found: list[Capture]) -> RedactionJob:
    payloads = tuple(capture.payload for capture in found)
    return RedactionJob(tuple(settings.redact_paths), tuple(settings.redact_patterns), tuple(settings.query), payloads)


def _dated(found: list[Capture], requests: list[dict[str, Any]], now: CaptureTime) -> list[dict[str, Any]]:
    return [
        {"at": now.wall_of(capture.at_ns), "at_ns": capture.at_ns, **request}
        for capture, request in zip(found, requests, strict=True)
    ]
