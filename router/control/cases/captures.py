"""Reads the failing requests that workers have captured, redacted, as plain data: for incidents and for cases."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from router.control.store.case_format import unfit
from router.rollout.cases import redaction as redacting
from router.rollout.cases.case import NEVER_KEPT, NO_FAULT, Case, Expectation, Request, encode_body
from router.rollout.cases.redaction import Redaction, redaction
from router.runtime import clock
from router.settings.sections.cases import Cases
from router.settings.settings import Settings
from router.shm import layout as at
from router.shm.capture_ring import Capture, CaptureRing
from router.shm.segment import Segment

_NOT_ABOUT_THE_REQUEST: Final = ("connect_failed",)
"""Connection failures do not depend on the request, so they make no regression case."""
_FIELDS_NOT_SENT: Final = ("x-request-id", "traceparent", "tracestate")
"""They identify one exchange, so a replay must not send them."""


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """One time on both clocks: monotonic nanoseconds, and wall seconds."""

    now_ns: int
    wall_s: float

    def wall_of(self, at_ns: int) -> float:
        """Return the wall time of a monotonic one."""
        return self.wall_s - (self.now_ns - at_ns) / 1e9


class CapturedRequests:
    """The captured requests in the rings of all workers, by the name of a service."""

    def __init__(self, segment: Segment, settings: Settings) -> None:
        self._segment = segment
        self.reconfigure(settings)

    def reconfigure(self, settings: Settings) -> None:
        """Apply changed redaction rules."""
        self._services = {name: settings.services[name].cases for name in sorted(settings.services)}
        self._index = {name: index for index, name in enumerate(self._services)}

    async def failures(self, service: str, since_ns: int, until_ns: int, limit: int) -> list[dict[str, Any]]:
        """Return the requests that a version of `service` failed between two monotonic times, newest first, redacted.

        At most `limit`; read in a thread. Each has `at` (wall seconds), `at_ns` (monotonic), `version`, `endpoint`,
        `outcome`, `status`, `lasted_ms`, `method`, `target`, `headers`, `request_id`, `request_bytes`, `complaint` (of a
        validator), `rescue` (the attempt on another version, with `version`, `outcome`, `fault`, `status`, `lasted_ms`; else
        None), `response_headers`, and if they were kept `request` and `response` as `{"body": text}` or
        `{"body_base64": text}`.
        """
        now = CaptureTime(clock.now_ns(), clock.wall_s())
        arguments = (self._segment, self._index[service], self._services[service], since_ns, until_ns, limit, now)
        return await asyncio.to_thread(failures, *arguments)


def failures(
    segment: Segment, service: int, settings: Cases, since_ns: int, until_ns: int, limit: int, now: CaptureTime
) -> list[dict[str, Any]]:
    """Return the same for the service with this index. Takes a few milliseconds per worker; call it in a thread."""
    rules = redaction(settings.redact_paths, settings.redact_patterns, settings.query)
    rings = (CaptureRing(segment, worker, at.CAPTURE_FAILURES) for worker in range(segment.layout.workers))
    found = [capture for ring in rings for capture in ring.read(since_ns=since_ns, service=service)]
    found.sort(key=lambda capture: -capture.at_ns)
    chosen = [capture for capture in found if capture.at_ns <= until_ns][:limit]
    return [_document(capture, rules, now) for capture in chosen]


def _document(capture: Capture, rules: Redaction, now: CaptureTime) -> dict[str, Any]:
    line, _, bodies = capture.payload.partition(b"\n")
    kept: dict[str, Any] = orjson.loads(line)
    split = kept["request_kept"]
    request = _body(rules, bodies[:split], whole=kept["request_whole"])
    response = _body(rules, bodies[split:], whole=kept["response_whole"])
    attempts: list[dict[str, Any]] = kept["attempts"]
    return {
        "at": now.wall_of(capture.at_ns),
        "at_ns": capture.at_ns,
        **attempts[0],
        "method": kept["method"],
        "target": redacting.target(rules, kept["target"]),
        "headers": _fields(rules, kept["headers"]),
        "request_id": kept["request_id"],
        "fingerprint": kept.get("fingerprint"),
        "client": kept.get("client"),
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
    """Return (body as plain data, whether something was redacted); None if it was not kept, or must not be kept."""
    cleaned = redacting.body(rules, content, complete=True) if whole else None
    return None if cleaned is None else (encode_body(cleaned), cleaned != content)


def _fields(rules: Redaction, fields: dict[str, str]) -> dict[str, str]:
    return {name: redacting.text(rules, value) for name, value in fields.items() if name not in NEVER_KEPT}


def cases_of(captured: Sequence[dict[str, Any]], version: str, incident: str, cases_max: int) -> list[Case]:
    """Return the cases of the failures of `version`: each request once, and some of every kind (method, path, outcome).

    A request makes no case if

        it failed on the other version, too       then it is unknown whether it can be answered at all
        it failed to connect                      that does not depend on the request
        it was not kept whole
        it could not be read again                redaction made it too long, or the settings keep a field that the check
                                                  sets itself; one such case would make the whole suite unreadable
    """
    kinds: dict[tuple[str, str, str], dict[str, Case]] = {}
    for failure in captured:
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
    """Return the reason why a failing request makes no case; empty if it makes one."""
    rescue = failure["rescue"]
    if failure["outcome"] in _NOT_ABOUT_THE_REQUEST:
        return "could not connect"
    if not failure["complete"]:
        return "not kept whole (cases.bodies, cases.body_bytes_max)"
    if rescue is not None and rescue["fault"]:
        return "failed on the standby too"
    return "could not be read again" if unfit(_case(failure, incident)) else ""


def left_out_reasons(captured: Sequence[dict[str, Any]], version: str, incident: str) -> dict[str, int]:
    """Return how many failures of `version` make no case, by reason, the most frequent reason first."""
    reasons = Counter(left_out(failure, incident) for failure in captured if failure["version"] == version)
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
