"""Makes cases of failing requests: chooses the requests, and says what has to be answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from router.control.store.case_format import unfit
from router.rollout.cases import redacted_body
from router.rollout.cases.case import NO_FAULT, Case, Expectation, Request, content_of, encode_body

_NOT_ABOUT_THE_REQUEST: Final = ("connect_failed",)
"""Connection failures do not depend on the request, so they make no regression case."""
_FIELDS_NOT_SENT: Final = ("x-request-id", "traceparent", "tracestate")
"""They identify one exchange, so a replay must not send them."""
_ANSWERED: Final = ("ok", "client_error")
"""Outcomes of a rescue whose answer says what is right."""
_NEEDS_CREDENTIALS: Final = (401, 403, 407)
_EVENT_STREAM: Final = "text/event-stream"
RECORDED_BYTES_MAX: Final = 256 * 1024
"""A recorded answer that is longer without its Content-Encoding is not kept."""


def cases_of(captured: Sequence[dict[str, Any]], version: str, incident: str, cases_max: int) -> list[Case]:
    """Return the cases of the failures of `version`: each request once, and some of every kind (method, path, outcome).

    A request makes no case if

        it failed on the other version, too       then it is unknown whether it can be answered at all
        it failed to connect                      that does not depend on the request
        it was not kept whole                     also: a field without which its body cannot be read was not, or redaction
                                                  cannot read the body
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
        incomplete: str = failure["incomplete"]
        return incomplete
    if rescue is not None and rescue["fault"]:
        return "failed on the standby too"
    return "could not be read again" if unfit(_case(failure, incident)) else ""


def left_out_reasons(captured: Sequence[dict[str, Any]], version: str, incident: str) -> dict[str, int]:
    """Return how many failures of `version` make no case, by reason, the most frequent reason first."""
    reasons = Counter(left_out(failure, incident) for failure in captured if failure["version"] == version)
    return {reason: count for reason, count in reasons.most_common() if reason}


def _case(failure: dict[str, Any], incident: str) -> Case:
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
        _expectation(failure),
        by="rollback",
        at=round(failure["at"], 3),
        version=failure["version"],
        incident=incident,
        failed={
            name: failure[name] for name in ("outcome", "status", "complaint", "endpoint", "lasted_ms", "request_id")
        },
    )


def _expectation(failure: dict[str, Any]) -> Expectation:
    """Return what has to be answered: the kind of answer that the other version gave, with its body; no fault if it gave none."""
    rescue = failure["rescue"]
    status = (rescue["status"] or 0) if rescue is not None and rescue["outcome"] in _ANSWERED else 0
    if not status or status in _NEEDS_CREDENTIALS:
        return Expectation(NO_FAULT)
    recorded = _recorded(failure)
    # Identifiers and times in events, and values that redaction has replaced, differ in every answer. A request in which
    # redaction has replaced something has another answer; of a query that is so only if `cases.query` lacks a parameter.
    varies = failure["input_redacted"] or failure["response_redacted"] or _is_event_stream(failure["response_headers"])
    return Expectation(
        # A model may refuse what redaction has put in, for example where it wants an address: that is no fault of a version.
        NO_FAULT if failure["input_redacted"] else f"{status // 100}xx",
        equal=False if recorded and varies else None,
        body=recorded.get("body"),
        body_base64=recorded.get("body_base64"),
    )


def _recorded(failure: dict[str, Any]) -> dict[str, str]:
    """Return the members of the answer's body, without Content-Encoding: a check asks for none. Empty if it was not kept."""
    kept: dict[str, str] = failure.get("response", {})
    if "content-encoding" not in failure["response_headers"] or not kept:
        return kept
    content = content_of(kept.get("body"), kept.get("body_base64"))
    plain = redacted_body.uncompressed(content, failure["response_headers"]) if content else b""
    return encode_body(plain) if plain is not None and len(plain) <= RECORDED_BYTES_MAX else {}


def _is_event_stream(fields: dict[str, str]) -> bool:
    return fields.get("content-type", "").partition(";")[0].strip().lower() == _EVENT_STREAM
