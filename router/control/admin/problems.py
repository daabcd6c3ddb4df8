"""Error answers: problem documents (RFC 9457), with `code` for machines and `detail` for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.errors.reason_phrases import REASON_PHRASES
from router.rollout.text import shorten
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes

CONTENT_TYPE: Final = "application/problem+json"
_SHOWN_CHARS_MAX: Final = 120
ERRORS_SHOWN_MAX: Final = 20
"""Wrong places of one body that are listed; `errors_total` counts all."""
_UNKNOWN: Final = "there is no such member"
_CODES: Final = {
    "version": RefusalCode.VERSION_INVALID,
    "to": RefusalCode.VERSION_INVALID,
    "endpoints": RefusalCode.ENDPOINT_INVALID,
}
STATUS: Final = RefusalCode.table(
    {
        400: """
        body_malformed case_file_invalid case_invalid endpoint_invalid endpoints_count endpoints_needed field_repeated
        limit_invalid member_repeated metric_unknown model_uri_invalid period_invalid request_invalid request_malformed
        service_needed version_invalid""",
        401: """
        identity_invalid identity_untrusted session_invalid session_over
        signature_incomplete signature_invalid signature_missing signature_stale signature_time_missing
        token_invalid token_missing""",
        403: "csrf_invalid four_eyes hooks_closed origin_not_allowed role_insufficient",
        404: """
        action_unknown case_unknown channel_unknown check_unknown criterion_unknown drill_unknown incident_unknown
        link_invalid model_unknown path_unknown proposal_unknown service_unknown version_unknown windows_unknown""",
        405: "method_not_allowed",
        408: "request_timeout",
        409: """
        artifact_differs cases_failing cases_full cases_pending certificate_unusable checks_running drill_unsafe
        endpoints_differ from_mismatch headers_file_unusable incident_full incident_status lost_race metric_not_measured
        mlflow_not_configured model_differs model_not_ready no_drill no_standby proposal_decided rewrite_differs
        slots_busy source_differs standby_unfit verifying version_in_use version_not_ready version_quarantined
        version_unreachable versions_exhausted""",
        410: "link_expired proposal_expired proposal_withdrawn",
        412: "generation_stale revision_stale",
        413: "body_too_large",
        415: "content_encoding content_type",
        417: "expectation_failed",
        421: "host_not_allowed",
        422: "idempotency_key_reused service_missing unmapped",
        429: "credentials_throttled",
        431: "head_too_large",
        500: "internal",
        501: "transfer_encoding",
        502: "mlflow_denied mlflow_refused not_mlflow",
        503: """
        advise_busy alert_rate cases_unavailable change_in_doubt history_unavailable journal_unavailable
        mlflow_unreachable signature_unverifiable streams_exhausted taking_over too_many_alerts""",
    }
)
"""The HTTP status of each refusal (RFC 9110 §15)."""
_SERVER_ERROR: Final = 500


def answer(error: Refusal, request_id: str) -> web.Response:
    """Return the problem document of a refusal, with the header fields that its status requires."""
    status = STATUS[error.code]
    members = {
        **error.facts,
        "type": "about:blank",
        "title": REASON_PHRASES[status],
        "status": status,
        "detail": printable(error.detail),
        "code": error.code,
        "request_id": request_id,
    }
    return web.Response(
        status=status, body=json_bytes(members, default=str), content_type=CONTENT_TYPE, headers=fields(error)
    )


def fields(error: Refusal) -> dict[str, str]:
    """Return the header fields that the status of a refusal requires."""
    match STATUS[error.code]:
        case 401:  # RFC 9110 §11.6.1
            return {"WWW-Authenticate": 'Bearer realm="rollback-router"'}
        case 405:  # RFC 9110 §10.2.1
            return {"Allow": ", ".join(error.facts["allow"])}  # type: ignore[arg-type]  # from_http put a list there
        case 429:  # RFC 6585 §4
            return {"Retry-After": str(error.facts["retry_after_s"])}
        case 503:
            return {"Retry-After": str(error.facts.get("retry_after_s", 1))}
        case _:
            return {}


def is_temporary(error: Refusal) -> bool:
    """Return whether the refusal is due to the router and not to the request: the same request may succeed later."""
    return STATUS[error.code] >= _SERVER_ERROR


def internal() -> Refusal:
    """Return the answer for a bug of the router. It has no details; the log has them."""
    return Refusal(RefusalCode.INTERNAL, "the router failed at this request; its log names the cause")


def from_http(error: web.HTTPException, request: web.Request) -> Refusal:
    """Return the refusal for an error of aiohttp: unknown path, method or expectation."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = sorted(error.allowed_methods)
        detail = f"{request.method} is not possible on {shown(request.path)}; possible: {', '.join(allow)}"
        return Refusal(RefusalCode.METHOD_NOT_ALLOWED, detail, facts={"allow": allow})
    if isinstance(error, web.HTTPNotFound):
        detail = f"there is no {shown(request.path)}; GET /v1/openapi.json lists every path"
        return Refusal(RefusalCode.PATH_UNKNOWN, detail)
    if isinstance(error, web.HTTPExpectationFailed):
        return Refusal(RefusalCode.EXPECTATION_FAILED, error.reason)
    return Refusal(RefusalCode.REQUEST_INVALID, error.reason)


def from_validation(error: ValidationError, what: str) -> Refusal:
    """Return the 400 that names each wrong place of `what` ("body", "query") with the problem."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_SHOWN_MAX]
    errors = [{"place": _place(item["loc"], what), "problem": _problem(item)} for item in found]
    first = found[0]
    code = _CODES.get(str(first["loc"][0])) if first["loc"] and first["type"] == "value_error" else None
    return _several(code or RefusalCode.REQUEST_INVALID, errors, error.error_count())


def wrong(code: RefusalCode, place: str, problem: str) -> Refusal:
    """Return the 400 that names one wrong place of a request."""
    return _several(code, [{"place": shown(place), "problem": shown(problem, 3 * _SHOWN_CHARS_MAX)}], 1)


def unknown_members(names: Sequence[str], what: str) -> Refusal:
    """Return the 400 that names the first unknown members of `what`, and their number."""
    errors = [{"place": _place((name,), what), "problem": _UNKNOWN} for name in names[:ERRORS_SHOWN_MAX]]
    return _several(RefusalCode.REQUEST_INVALID, errors, len(names))


def _several(code: RefusalCode, errors: list[dict[str, str]], total: int) -> Refusal:
    detail = "; ".join(f"{item['place']}: {item['problem']}" for item in errors)
    if total > len(errors):
        detail += f"; and {total - len(errors)} more"
    return Refusal(code, detail, facts={"errors": errors, "errors_total": total})


def _place(location: tuple[int | str, ...], what: str) -> str:
    return shown(".".join([what, *(str(part) for part in location)]))


def _problem(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return _UNKNOWN
    return shown(str(item["msg"]).removeprefix("Value error, "), 3 * _SHOWN_CHARS_MAX)


def shown(text: str, chars_max: int = _SHOWN_CHARS_MAX) -> str:
    """Return text of a client for an answer or a log: bounded and printable."""
    return shorten(printable(text), chars_max, kept=chars_max)
