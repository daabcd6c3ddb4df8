"""aiohttp's protocol with problem documents for malformed requests and unknown `Expect` fields.

aiohttp alone logs a traceback for each malformed request and answers in plain text with the versions of aiohttp and Python.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest

from router.control.admin import problems, refusals
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock
from router.runtime.logs import LogThrottle

log = logging.getLogger(__name__)
LINGER_S: Final = 1.0
"""Seconds for which an unwanted body is read after the answer, so that no reset overtakes the answer."""
LOG_EVERY_S: Final = 10.0
FIELDS: Final = {
    "Server": "rollback-router",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Header fields of every answer. `Server` names no version."""
_TOO_LARGE: Final = ("Got more than", "Too many headers")


_EXPECTS_CONTINUE: Final = web.RequestKey("body_awaited", bool)
Factory = Callable[..., web.BaseRequest]


def defer_continue(made: Factory) -> Factory:
    """Return a request factory that hides `Expect: 100-continue` from aiohttp, which would send the 100 before any check.

    `send_continue` sends it when everything but the body has been checked (RFC 9110 §10.1.1).
    """

    def make(message: RawRequestMessage, *further: Any) -> web.BaseRequest:
        expects = message.version >= HttpVersion11 and message.headers.get("Expect", "").lower() == "100-continue"
        if expects:
            fields = message.headers.copy()
            del fields["Expect"]
            message = message._replace(headers=type(message.headers)(fields))
        request = made(message, *further)
        if expects:
            request[_EXPECTS_CONTINUE] = True
        return request

    return make


async def send_continue(request: web.Request) -> None:
    """Send 100 (Continue) to a client that waits for it."""
    if request.pop(_EXPECTS_CONTINUE, False):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the 100 is no part of the answer


class MalformedRequests:
    """Counts malformed requests since control began (`counts["malformed"]`) and logs them, at most every LOG_EVERY_S."""

    def __init__(self) -> None:
        self.counts = {"malformed": 0}
        self._log = LogThrottle(LOG_EVERY_S)
        self._logged_total = 0

    def record(self, remote: str | None, error: BaseException) -> None:
        """Count one; log it if the last line is old enough."""
        self.counts["malformed"] += 1
        if self._log.due(clock.now_s()):
            number, self._logged_total = self.counts["malformed"] - self._logged_total, self.counts["malformed"]
            log.warning(
                "admin port: %d malformed requests since the last such line, the last from %s: %s",
                number,
                remote or "a Unix socket",
                reason(error),
            )


class AdminProtocol(RequestHandler):
    """aiohttp's handler of the requests of one connection to the admin port."""

    __slots__ = ("_malformed",)

    def __init__(self, server: web.Server, malformed: MalformedRequests) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # web.run_app passes None as well
            auto_decompress=False,
            lingering_time=LINGER_S,
        )
        self._malformed = malformed

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the answer to a malformed request, or to a request whose handler has failed; then the connection closes."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: a second head would be a lie")
        if status >= 500:
            if not isinstance(exc, ConnectionError):
                self.log_exception("the admin port failed at a request", exc_info=exc)
            refusal = problems.internal()
        else:
            error = exc or ValueError(message)
            self._malformed.record(request.remote, error)
            refusal = _refusal(error)
        response = _complete(refusal, request)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **how: Any) -> None:
        """Count malformed requests; log any other error, which is a bug, with its traceback."""
        error = how.get("exc_info")
        if isinstance(error, (web.RequestPayloadError, HttpProcessingError)):
            peer = self.peername
            self._malformed.record(str(peer[0]) if isinstance(peer, tuple) else None, error)
        elif not isinstance(error, ConnectionError):
            super().log_exception(*args, **how)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; an error that aiohttp raises before any middleware (417) becomes a problem document."""
        if isinstance(resp, web.HTTPException):
            assert isinstance(request, web.Request)
            refusal = problems.from_http(resp, request)
            resp = _complete(refusal, request)
        return await super().finish_response(request, resp, start_time)


def reason(error: BaseException) -> str:
    """Return the reason for an error in one bounded, printable line."""
    if isinstance(error, LineTooLong):
        return "a line or a field is too long"
    first = next((line for line in str(error).removeprefix("400, message:").splitlines() if line.strip()), "")
    return problems.shown(first.strip().rstrip(":")) or type(error).__name__


def _refusal(error: BaseException) -> Refusal:
    text = reason(error)
    if isinstance(error, LineTooLong) or text.startswith(_TOO_LARGE):
        detail = "the request line or a field is longer than 8190 bytes, or there are more than 128 fields"
        return Refusal(RefusalCode.HEAD_TOO_LARGE, detail)
    return Refusal(RefusalCode.REQUEST_MALFORMED, f"this is no HTTP/1.1 request that can be read: {text}")


def _complete(refusal: Refusal, request: BaseRequest) -> web.Response:
    request_id = uuid.uuid4().hex
    response = refusals.answer(refusal, request, request_id)
    response.headers.update(FIELDS)
    response.headers["X-Request-ID"] = request_id
    return response
