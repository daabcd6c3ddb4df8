"""A captured failing request as plain data, redacted.

Pure: the process that redacts runs it, and so does control if no rule has to look at texts and bodies.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from router.rollout.cases import redacted_body, redaction
from router.rollout.cases.body_fields import DIGESTS, is_body_field
from router.rollout.cases.case import NEVER_KEPT, encode_body
from router.rollout.cases.redacted_body import RedactedBody
from router.rollout.cases.redaction import Redaction

NOT_KEPT: Final = "not kept whole (cases.bodies, cases.body_bytes_max)"
_FIELDS_LOST: Final = "a header field without which its body cannot be read is too long, repeated or no text"
_FIELD_REDACTED: Final = "redaction changes a header field without which its body cannot be read"


def failed_request(payload: bytes, rules: Redaction) -> dict[str, Any]:
    """Return the request of a captured record (proxy/tap/failure_recorder.py).

    It has `version`, `endpoint`, `generation`, `outcome`, `status`, `lasted_ms`, `method`, `target`, `headers`, `request_id`,
    `request_bytes`, `complaint` (of a validator), `rescue` (the attempt on another version, with `version`, `outcome`, `fault`,
    `status`, `lasted_ms`; else None), `response_headers`, and if they were kept `request` and `response` as `{"body": text}` or
    `{"body_base64": text}`. `redacted` and `response_redacted`: whether something was replaced; `input_redacted`: whether it was
    in the body or the path of the request. `complete`: whether it can be
    sent again; if not, `incomplete` is the reason.
    """
    line, _, bodies = payload.partition(b"\n")
    kept: dict[str, Any] = orjson.loads(line)
    split = kept["request_kept"]
    request = _body(rules, bodies[:split], kept["headers"], whole=kept["request_whole"])
    response = _body(rules, bodies[split:], kept["response_headers"], whole=kept["response_whole"])
    attempts: list[dict[str, Any]] = kept["attempts"]
    target = redaction.target(rules, kept["target"])
    headers = _fields(rules, kept["headers"], request)
    incomplete = _incomplete(kept, request, headers)
    return {
        **attempts[0],
        "method": kept["method"],
        "target": target,
        "headers": headers,
        "request_id": kept["request_id"],
        "fingerprint": kept.get("fingerprint"),
        "client": kept.get("client"),
        "request_bytes": kept["request_bytes"],
        "complaint": kept["complaint"],
        "rescue": kept["rescue"] or (attempts[-1] if len(attempts) > 1 else None),
        "response_headers": _fields(rules, kept["response_headers"], response),
        **_member("request", request),
        **_member("response", response),
        "redacted": (request is not None and request.changed) or target != kept["target"],
        "input_redacted": (request is not None and request.changed) or _path(target) != _path(kept["target"]),
        "response_redacted": response is not None and response.changed,
        "complete": not incomplete,
        "incomplete": incomplete,
    }


def _path(target: str) -> str:
    return target.partition("?")[0]


def failed_version(payload: bytes) -> str:
    """Return the version that failed the request of a captured record first."""
    version: str = orjson.loads(payload.partition(b"\n")[0])["attempts"][0]["version"]
    return version


def _body(rules: Redaction, content: bytes, fields: dict[str, str], *, whole: bool) -> RedactedBody | None:
    return redacted_body.body(rules, content, fields) if whole else None


def _member(name: str, body: RedactedBody | None) -> dict[str, Any]:
    return {} if body is None or body.content is None else {name: encode_body(body.content)}


def _fields(rules: Redaction, fields: dict[str, str], body: RedactedBody | None) -> dict[str, str]:
    """Return the redacted fields, with those that the redaction of the body has changed, and without the digests of before."""
    never = NEVER_KEPT | DIGESTS if body is not None and body.changed else NEVER_KEPT
    found = {name: redaction.text(rules, value) for name, value in fields.items() if name not in never}
    return found | dict(body.fields) if body is not None else found


def _incomplete(kept: dict[str, Any], request: RedactedBody | None, headers: dict[str, str]) -> str:
    """Return why the request cannot be sent again; empty if it can."""
    if request is not None and request.content is None:
        return f"its body was dropped: {request.why}"
    if not kept["target_whole"] or (request is None and kept["request_bytes"] != 0):
        return NOT_KEPT
    if not kept.get("headers_whole", True):
        return _FIELDS_LOST
    ours = request.fields if request is not None else {}
    before: dict[str, str] = kept["headers"]
    if any(is_body_field(name) and name not in ours and headers.get(name) != value for name, value in before.items()):
        return _FIELD_REDACTED
    if request is not None and request.changed and "content-range" in headers:
        return "redaction changes a part of a representation (Content-Range)"
    return ""
