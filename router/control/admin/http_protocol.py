"""aiohttp's protocol with our own answers where it would speak for itself: to what is no HTTP, and to an unknown `Expect`.

By itself it logs a traceback for each malformed request and answers in plain text, naming its version and Python's.
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
from router.errors import OperatorError
from router.runtime import clock
from router.runtime.logs import LogThrottle

log = logging.getLogger(__name__)
LINGER_S: Final = 1.0
"""For which a body that nobody wants is read after the answer, so that a reset does not overtake it."""
LOG_EVERY_S: Final = 10.0
FIELDS: Final = {
    "Server": "rollback-router",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of every answer. `Server` names no version."""
_TOO_LARGE: Final = ("Got more than", "Too many headers")


_AWAITED: Final = web.RequestKey("body_awaited", bool)
Factory = Callable[..., web.BaseRequest]


def continued_late(made: Factory) -> Factory:
    """Return a maker of requests from which aiohttp does not see that a client waits for 100: it would send it before any
    check. `ask_for_body` sends it when everything but the body is right (RFC 9110 §10.1.1).
    """

    def make(message: RawRequestMessage, *further: Any) -> web.BaseRequest:
        waits = message.version >= HttpVersion11 and message.headers.get("Expect", "").lower() == "100-continue"
        if waits:
            fields = message.headers.copy()
            del fields["Expect"]
            message = message._replace(headers=type(message.headers)(fields))
        request = made(message, *further)
        if waits:
            request[_AWAITED] = True
        return request

    return make


async def ask_for_body(request: web.Request) -> None:
    """Tell a client that waits for it to send the body."""
    if request.pop(_AWAITED, False):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer


class Malformed:
    """What was no HTTP. `counts["malformed"]`: how many requests since control began; a line says so now and then."""

    def __init__(self) -> None:
        self.counts = {"malformed": 0}
        self._log = LogThrottle(LOG_EVERY_S)
        self._told = 0

    def found(self, remote: str | None, error: BaseException) -> None:
        """Count one, and write a line if the last one was long enough ago."""
        self.counts["malformed"] += 1
        if self._log.due(clock.now_s()):
            number, self._told = self.counts["malformed"] - self._told, self.counts["malformed"]
            log.warning(
                "admin port: %d malformed requests since the last such line, the last from %s: %s",
                number,
                remote or "a Unix socket",
                reason(error),
            )


class Conversation(RequestHandler):
    """The requests of one connection to the admin port."""

    __slots__ = ("_malformed",)

    def __init__(self, server: web.Server, malformed: Malformed) -> None:
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
        """Return the answer to what is no request, or to one whose handler has failed; the connection is closed after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun: a second head would be a lie")
        if status >= 500:
            if not isinstance(exc, ConnectionError):
                self.log_exception("the admin port failed at a request", exc_info=exc)
            refusal = problems.internal()
        else:
            error = exc or ValueError(message)
            self._malformed.found(request.remote, error)
            refusal = _refusal(error)
        response = _complete(refusal, request)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **how: Any) -> None:
        """What a stranger has sent is counted; what else goes wrong is a bug, and logged with its traceback."""
        error = how.get("exc_info")
        if isinstance(error, (web.RequestPayloadError, HttpProcessingError)):
            peer = self.peername
            self._malformed.found(str(peer[0]) if isinstance(peer, tuple) else None, error)
        elif not isinstance(error, ConnectionError):
            super().log_exception(*args, **how)

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; what aiohttp has raised before any middleware (417) becomes a problem document."""
        if isinstance(resp, web.HTTPException):
            assert isinstance(request, web.Request)
            refusal = problems.from_http(resp, request)
            resp = _complete(refusal, request)
        return await super().finish_response(request, resp, start_time)


def reason(error: BaseException) -> str:
    """Return what was wrong, in one line, bounded and visible."""
    if isinstance(error, LineTooLong):
        return "a line or a field is too long"
    first = next((line for line in str(error).removeprefix("400, message:").splitlines() if line.strip()), "")
    return problems.shown(first.strip().rstrip(":")) or type(error).__name__


def _refusal(error: BaseException) -> OperatorError:
    told = reason(error)
    if isinstance(error, LineTooLong) or told.startswith(_TOO_LARGE):
        detail = "the request line or a field is longer than 8190 bytes, or there are more than 128 fields"
        return OperatorError(431, "head_too_large", detail)
    return OperatorError(400, "request_malformed", f"this is no HTTP/1.1 request that can be read: {told}")


def _complete(refusal: OperatorError, request: BaseRequest) -> web.Response:
    request_id = uuid.uuid4().hex
    response = refusals.answer(refusal, request, request_id)
    response.headers.update(FIELDS)
    response.headers["X-Request-ID"] = request_id
    return response
