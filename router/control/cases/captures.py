"""What workers have kept of failing requests, as plain data, redacted: for the reports of incidents, and to become cases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from router.control.store.case_format import unfit
from router.rollout.cases import redaction as redacting
from router.rollout.cases.case import NEVER_KEPT, NO_FAULT, Case, Expectation, Request, written
from router.rollout.cases.redaction import Redaction, redaction
from router.runtime import clock
from router.settings.sections.cases import Cases
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import Capture, CaptureRing
from router.shm.segment import Segment

_NOT_ABOUT_THE_REQUEST: Final = ("connect_failed",)
"""Whoever asks a version that is not there fails, whatever he asks: that makes no case."""
_FIELDS_NOT_SENT: Final = ("x-request-id", "traceparent", "tracestate")
"""They name one exchange, which another one is not."""


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """One moment on both clocks: monotonic nanoseconds, and wall seconds."""

    now_ns: int
    wall_s: float

    def wall_of(self, at_ns: int) -> float:
        """Return the wall time of a monotonic one."""
        return self.wall_s - (self.now_ns - at_ns) / 1e9


class CapturedRequests:
    """What the rings of all workers hold, by the name of a service."""

    def __init__(self, segment: Segment, settings: Settings) -> None:
        self._segment = segment
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Redact by other rules from now on."""
        self._services = {name: settings.services[name].cases for name in sorted(settings.services)}
        self._index = {name: index for index, name in enumerate(self._services)}

    async def failures(self, service: str, since_ns: int, until_ns: int, limit: int) -> list[dict[str, Any]]:
        """Return up to `limit` requests at which a version of `service` failed between two monotonic moments, newest first,
        redacted; read in a thread.

        Each has `at` (wall seconds), `at_ns` (monotonic), `version`, `endpoint`, `outcome`, `status`, `lasted_ms`, `method`,
        `target`, `headers`, `request_id`, `request_bytes`, `complaint` (of a validator), `rescue` (what another version made
        of it, with `version`, `outcome`, `fault`, `status`, `lasted_ms`; else None), `response_headers`, and where they were
        kept `request` and `response` as `{"body": text}` or `{"body_base64": text}`.
        """
        moment = CaptureTime(clock.now_ns(), clock.wall_s())
        asked = (self._segment, self._index[service], self._services[service], since_ns, until_ns, limit, moment)
        return await asyncio.to_thread(failures, *asked)


def failures(
    segment: Segment, service: int, settings: Cases, since_ns: int, until_ns: int, limit: int, moment: CaptureTime
) -> list[dict[str, Any]]:
    """Return the same of the service with this index; a few milliseconds a worker, so it belongs into a thread."""
    rules = redaction(settings.redact_paths, settings.redact_patterns, settings.query)
    rings = (CaptureRing(segment, worker, at.CAPTURE_FAILURES) for worker in range(segment.layout.workers))
    found = [capture for ring in rings for capture in ring.read(since_ns=since_ns, service=service)]
    found.sort(key=lambda capture: -capture.at_ns)
    chosen = [capture for capture in found if capture.at_ns <= until_ns][:limit]
    return [_told(capture, rules, moment) for capture in chosen]


def _told(capture: Capture, rules: Redaction, moment: CaptureTime) -> dict[str, Any]:
    line, _, bodies = capture.payload.partition(b"\n")
    kept: dict[str, Any] = orjson.loads(line)
    split = kept["request_kept"]
    request = _body(rules, bodies[:split], whole=kept["request_whole"])
    response = _body(rules, bodies[split:], whole=kept["response_whole"])
    attempts: list[dict[str, Any]] = kept["attempts"]
    return {
        "at": moment.wall_of(capture.at_ns),
        "at_ns": capture.at_ns,
        **attempts[0],
        "method": kept["method"],
        "target": redacting.target(rules, kept["target"]),
        "headers": _fields(rules, kept["headers"]),
        "request_id": kept["request_id"],
        "request_bytes": kept["request_bytes"],
        "complaint": kept["complaint"],
        "rescue": kept["rescue"] or (attempts[-1] if len(attempts) > 1 else None),
        "response_headers": _fields(rules, kept["response_headers"]),
        **({"request": request[0]} if request is not None else {}),
        **({"response": response[0]} if response is not None else {}),
        "redacted": (request is not None and request[1]) or redacting.target(rules, kept["target"]) != kept["target"],
        "complete": kept["target_whole"] and (request is not None or kept["request_bytes"] == 0),
    }


def _body(rules: Redaction, content: bytes, *, whole: bool) -> tuple[dict[str, str], bool] | None:
    """Return (body as plain data, whether something was taken out); None if it was not kept, or may not be."""
    cleaned = redacting.body(rules, content, complete=True) if whole else None
    return None if cleaned is None else (written(cleaned), cleaned != content)


def _fields(rules: Redaction, fields: dict[str, str]) -> dict[str, str]:
    return {name: redacting.text(rules, value) for name, value in fields.items() if name not in NEVER_KEPT}


def cases_of(told: Sequence[dict[str, Any]], version: str, incident: str, cases_max: int) -> list[Case]:
    """Return the cases that failures of `version` make: each request once, of every kind (method, path, outcome) some.

    No case is what failed on the other version too, for then nobody knows whether it can be answered at all; what could not
    connect; what was not kept whole; and what could not be read again, because redaction made it too long for a case, or because
    the settings keep a field that is ours to set: one of these would make the whole suite unreadable.
    """
    kinds: dict[tuple[str, str, str], dict[str, Case]] = {}
    for failure in told:
        if failure["version"] != version or left_out(failure, incident):
            continue
        case = _case(failure, incident)
        kind = (failure["method"], failure["target"].partition("?")[0], failure["outcome"])
        kinds.setdefault(kind, {}).setdefault(case.id, case)
    chosen: dict[str, Case] = {}
    queues = [list(cases.values()) for cases in kinds.values()]
    while len(chosen) < cases_max and any(queues):
        for queue in queues:
            if queue and len(chosen) < cases_max:
                case = queue.pop(0)
                chosen.setdefault(case.id, case)
    return list(chosen.values())


def left_out(failure: dict[str, Any], incident: str) -> str:
    """Return why a failing request makes no case; empty if it makes one."""
    rescue = failure["rescue"]
    if failure["outcome"] in _NOT_ABOUT_THE_REQUEST:
        return "could not connect"
    if not failure["complete"]:
        return "not kept whole (cases.bodies, cases.body_bytes_max)"
    if rescue is not None and rescue["fault"]:
        return "failed on the standby too"
    return "could not be read again" if unfit(_case(failure, incident)) else ""


def why_not(told: Sequence[dict[str, Any]], version: str, incident: str) -> dict[str, int]:
    """Return how many failures of `version` make no case, by reason; the most frequent one first."""
    reasons = Counter(left_out(failure, incident) for failure in told if failure["version"] == version)
    return {reason: count for reason, count in reasons.most_common() if reason}


def _case(failure: dict[str, Any], incident: str) -> Case:
    rescue, response = failure["rescue"], failure.get("response", {})
    good = rescue is not None and 200 <= (rescue["status"] or 0) < 300
    headers = {name: value for name, value in failure["headers"].items() if name not in _FIELDS_NOT_SENT}
    return Case(
        Request(
            failure["method"],
            failure["target"],
            headers,
            **failure.get("request", {}),
            body_bytes=failure["request_bytes"] or 0,
            redacted=failure["redacted"],
        ),
        Expectation("2xx", **response) if good else Expectation(NO_FAULT),
        by="rollback",
        at=round(failure["at"], 3),
        version=failure["version"],
        incident=incident,
        failed={
            name: failure[name] for name in ("outcome", "status", "complaint", "endpoint", "lasted_ms", "request_id")
        },
    )
