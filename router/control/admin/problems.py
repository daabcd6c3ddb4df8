"""Error answers: problem documents (RFC 9457), with `code` for machines and `detail` for people."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from router.errors import OperatorError
from router.rollout.text import shorten
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes

CONTENT_TYPE: Final = "application/problem+json"
_SHOWN_CHARS_MAX: Final = 120
ERRORS_SHOWN_MAX: Final = 20
"""Wrong places of one body that are listed; `errors_total` counts all."""
_UNKNOWN: Final = "there is no such member"
_CODES: Final = {"version": "version_invalid", "to": "version_invalid", "endpoints": "endpoint_invalid"}


def answer(error: OperatorError, request_id: str) -> web.Response:
    """Return the problem document of a refusal, with the header fields that its status requires."""
    members = {
        **error.facts,
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": printable(error.detail),
        "code": error.code,
        "request_id": request_id,
    }
    return web.Response(
        status=error.status, body=json_bytes(members, default=str), content_type=CONTENT_TYPE, headers=fields(error)
    )


def fields(error: OperatorError) -> dict[str, str]:
    """Return the header fields that the status of a refusal requires."""
    match error.status:
        case 401:  # RFC 9110 §11.6.1
            return {"WWW-Authenticate": 'Bearer realm="rollback-router"'}
        case 405:  # RFC 9110 §10.2.1
            return {"Allow": ", ".join(error.facts["allow"])}  # type: ignore[arg-type]  # from_http put a list there
        case 429:  # RFC 6585 §4
            return {"Retry-After": str(error.facts["retry_after_s"])}
        case 503:
            return {"Retry-After": "1"}
        case _:
            return {}


def internal() -> OperatorError:
    """Return the answer for a bug of the router. It has no details; the log has them."""
    return OperatorError(500, "internal", "the router failed at this request; its log names the cause", exit_code=10)


def from_http(error: web.HTTPException, request: web.Request) -> OperatorError:
    """Return the refusal for an error of aiohttp: unknown path, unknown method."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = sorted(error.allowed_methods)
        detail = f"{request.method} is not possible on {shown(request.path)}; possible: {', '.join(allow)}"
        return OperatorError(405, "method_not_allowed", detail, facts={"allow": allow})
    if error.status == 404:
        detail = f"there is no {shown(request.path)}; GET /v1/openapi.json lists every path"
        return OperatorError(404, "path_unknown", detail)
    return OperatorError(error.status, "request_invalid", error.reason)


def from_validation(error: ValidationError, what: str) -> OperatorError:
    """Return the 400 that names each wrong place of `what` ("body", "query") with the problem."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_SHOWN_MAX]
    errors = [{"place": _place(item["loc"], what), "problem": _problem(item)} for item in found]
    first = found[0]
    code = _CODES.get(str(first["loc"][0]), "") if first["loc"] and first["type"] == "value_error" else ""
    return _several(code or "request_invalid", errors, error.error_count())


def wrong(code: str, place: str, problem: str) -> OperatorError:
    """Return the 400 that names one wrong place of a request."""
    return _several(code, [{"place": shown(place), "problem": shown(problem, 3 * _SHOWN_CHARS_MAX)}], 1)


def unknown_members(names: Sequence[str], what: str) -> OperatorError:
    """Return the 400 that names the first unknown members of `what`, and their number."""
    errors = [{"place": _place((name,), what), "problem": _UNKNOWN} for name in names[:ERRORS_SHOWN_MAX]]
    return _several("request_invalid", errors, len(names))


def _several(code: str, errors: list[dict[str, str]], total: int) -> OperatorError:
    detail = "; ".join(f"{item['place']}: {item['problem']}" for item in errors)
    if total > len(errors):
        detail += f"; and {total - len(errors)} more"
    return OperatorError(400, code, detail, exit_code=2, facts={"errors": errors, "errors_total": total})


def _place(location: tuple[int | str, ...], what: str) -> str:
    return shown(".".join([what, *(str(part) for part in location)]))


def _problem(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return _UNKNOWN
    return shown(str(item["msg"]).removeprefix("Value error, "), 3 * _SHOWN_CHARS_MAX)


def shown(text: str, chars_max: int = _SHOWN_CHARS_MAX) -> str:
    """Return text of a client for an answer or a log: bounded and printable."""
    return shorten(printable(text), chars_max, kept=chars_max)
