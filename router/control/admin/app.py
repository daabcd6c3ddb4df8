"""The admin's application: every route, and what surrounds each of them."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import uuid
from collections import ChainMap
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from router.control.admin import changes, events, health, openapi, problems, reads, refusals
from router.control.admin.auth import AccessPolicy
from router.control.admin.connections import ConnectionLimiter, LimitedSite
from router.control.admin.events import EventStreams
from router.control.admin.http_protocol import FIELDS, reason
from router.control.admin.operation import Dispatcher, Operation
from router.control.core.operations import Operations
from router.control.views.queries import Queries
from router.errors import OperatorError
from router.runtime import clock, fd_limits
from router.settings.settings import Settings

log = logging.getLogger(__name__)

DOOR: Final = web.AppKey("door", ConnectionLimiter)
GUARD: Final = web.AppKey("guard", AccessPolicy)
OPERATIONS: Final = web.AppKey("operations", tuple[Operation, ...])
SHUTDOWN_TIMEOUT_S: Final = 2.0
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_ID: Final = web.RequestKey("request_id", str)
_BEGUN: Final = web.RequestKey("begun", bool)
_UNLESS_SAID: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""A page with a form needs another referrer policy, one with a style names it."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(
    queries: Queries,
    operations: Operations,
    settings: Settings,
    further: Sequence[Operation] = (),
    streams: EventStreams | None = None,
) -> web.Application:
    """Return the application; `further` are the offices' routes. Tests pass `streams` to shorten the heartbeat."""
    door = ConnectionLimiter(settings)
    guard = AccessPolicy(settings)
    streams = EventStreams() if streams is None else streams
    routes = (
        *health.operations(door.counts, ChainMap(guard.attempts.counts, door.malformed.counts)),
        *reads.STATUS,
        *changes.OPERATIONS,
        *reads.RECORDS,
        *events.operations(streams),
        *further,
    )
    description = health.described({})
    description = health.described(openapi.describe((*routes, description)))
    routes = (*routes, description)
    application = web.Application(middlewares=[_attend(door), _surround(guard, door)])
    application[GUARD] = guard
    application[DOOR] = door
    application[OPERATIONS] = routes
    desk = Dispatcher(queries, operations, guard)
    for operation in routes:
        application.router.add_route(operation.method, operation.path, desk.handler(operation))
        if operation.method == "GET" and operation.media_type != "text/event-stream":
            application.router.add_route("HEAD", operation.path, desk.handler(operation))
    application.on_response_prepare.append(_complete)
    application.on_shutdown.append(streams.close)
    return application


async def serve(application: web.Application, sock: socket.socket, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Answer on `sock`, over TLS if there is a context; `cleanup` of the returned runner stops, giving answers under way
    SHUTDOWN_TIMEOUT_S.
    """
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    await LimitedSite(runner, sock, application[DOOR], tls).start()
    return runner


def reconfigure(application: web.Application, settings: Settings) -> None:
    """Take over tokens, hosts, origins and limits of other settings (SIGHUP)."""
    application[GUARD].reconfigure(settings)
    application[DOOR].reconfigure(settings)


def fit(application: web.Application, descriptors_left: int) -> None:
    """Take no more connections than there are descriptors for, and say so where that is less than the settings ask for."""
    door = application[DOOR]
    asked, fitting = door.connections_max, fd_limits.admin_connections(door.connections_max, descriptors_left)
    if fitting < asked:
        log.warning("%s", fd_limits.admin_complaint(asked, fitting))
        door.fit(fitting)


def _attend(door: ConnectionLimiter) -> Middleware:
    """Return the middleware that tells the door when a request begins and when it was answered."""

    @web.middleware
    async def attend(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        door.begun(transport)
        try:
            return await handler(request)
        finally:
            door.ended(transport, clock.now_s())

    return attend


def _surround(guard: AccessPolicy, door: ConnectionLimiter) -> Middleware:
    """Return the middleware: a request id, Host and Origin checks, and an honest answer whatever goes wrong."""

    @web.middleware
    async def surround(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-ID", "")
        request[_ID] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        try:
            guard.check_origin(request)
            if request.match_info.http_exception is not None and not refusals.is_link(request):
                guard.authorize(request, "viewer")  # which paths exist is for callers with a token
            return await handler(request)
        except OperatorError as refusal:
            return refusals.answer(guard.judged(request, refusal), request, request[_ID])
        except web.HTTPException as error:
            return refusals.answer(refusals.from_http(error, request), request, request[_ID])
        except web.RequestPayloadError as error:
            door.malformed.found(request.remote, error)
            return refusals.answer(_body_malformed(error), request, request[_ID])
        except ConnectionError:
            raise  # whoever asked has left: aiohttp ends the connection
        except Exception:  # the admin's guard: a bug here costs one answer, never the process
            log.exception("%s %r failed, request %s", request.method, request.path[:200], request[_ID])
            if _BEGUN in request:
                raise  # a second head on a begun answer would be a lie: aiohttp closes the connection
            return refusals.answer(problems.internal(), request, request[_ID])

    return surround


def _body_malformed(error: Exception) -> OperatorError:
    return OperatorError(400, "body_malformed", f"the framing of the body is broken: {reason(error)}")


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    """Every answer carries its request id and the fields that keep browsers from misusing it.

    aiohttp answers an unknown `Expect` before any middleware: that answer gets its id here.
    """
    request[_BEGUN] = True
    response.headers["X-Request-ID"] = request.get(_ID) or response.headers.get("X-Request-ID") or uuid.uuid4().hex
    response.headers.update(FIELDS)
    for name, value in _UNLESS_SAID.items():
        response.headers.setdefault(name, value)
