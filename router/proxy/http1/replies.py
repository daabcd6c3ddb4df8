"""The router's own responses: problem documents (RFC 9457), or the error format that clients of the route expect.

The field `X-Router-Error` marks them; its value is the problem's `code`.
"""

from __future__ import annotations

from typing import Final

from router.errors.reason_phrases import REASON_PHRASES
from router.proxy.http1.request_head import RequestHead
from router.runtime.printable import printable
from router.runtime.printable_json import json_bytes

LAST_CHUNK: Final = b"0\r\n\r\n"
_OPENAI: Final = (b"/v1/chat", b"/v1/completions", b"/v1/embeddings")
_ALLOW: Final = b"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"
RETRY_AFTER_S: Final = 1


def _body(status: int, code: str, detail: str, request_id: bytes, path: bytes) -> tuple[bytes, bytes]:
    """Return (content type, body): the OpenAI error object, that of the Open Inference Protocol, or a problem."""
    ident, detail = request_id.decode("latin-1"), printable(detail)
    if path.startswith(_OPENAI):
        kind = "invalid_request_error" if status < 500 else "server_error"
        error = {"message": detail, "type": kind, "param": None, "code": code, "request_id": ident}
        return b"application/json", json_bytes({"error": error})
    if path.startswith(b"/v2"):
        return b"application/json", json_bytes({"error": detail, "code": code, "request_id": ident})
    problem = {
        "type": "about:blank",
        "title": REASON_PHRASES[status],
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": ident,
    }
    return b"application/problem+json", json_bytes(problem)


def reply(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: bytes = b"",
    path: bytes = b"",
    close: bool,
    head_only: bool = False,
) -> bytes:
    """Return a whole response; `close` adds `Connection: close`, `head_only` leaves the body out (answer to HEAD)."""
    kind, body = _body(status, code, detail, request_id, path)
    lines = [
        b"HTTP/1.1 %d %s" % (status, REASON_PHRASES[status].encode()),
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        b"X-Router-Error: " + code.encode(),
    ]
    if request_id:
        lines.append(b"X-Request-ID: " + request_id)
    if status in (429, 503):
        lines.append(b"Retry-After: %d" % RETRY_AFTER_S)
    if status == 405:
        lines.append(_ALLOW)
    if close:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else body)


def allow(*, close: bool) -> bytes:
    """Return the response to OPTIONS that must not be forwarded (RFC 9110 §7.6.2, §9.3.7)."""
    return b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 0\r\n%b\r\n" % (
        _ALLOW,
        b"Connection: close\r\n" if close else b"",
    )


def answer(head: RequestHead, request_id: bytes, status: int, code: str, detail: str, *, close: bool) -> bytes:
    """Return the complete response to the request with this head."""
    head_only = head.method == b"HEAD"
    return reply(status, code, detail, request_id=request_id, path=head.path, close=close, head_only=head_only)


def ready(ok: bool, degraded: bool, detail: dict[str, object], *, close: bool, head_only: bool) -> bytes:
    """Return the response of `ready_path`: 200, 200 with `degraded`, or 503."""
    state = "degraded" if ok and degraded else "ready" if ok else "unavailable"
    body = json_bytes({"status": state, **detail})
    status = b"200 OK" if ok else b"503 Service Unavailable\r\nRetry-After: %d" % RETRY_AFTER_S
    return (
        b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n%s\r\n%s"
        % (
            status,
            len(body),
            b"Connection: close\r\n" if close else b"",
            b"" if head_only else body,
        )
    )
