"""The web application of the admin port: all routes, and the middleware around each request."""

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
from router.control.admin.live import streams as live_streams
from router.control.admin.live.streams import LiveStreams
from router.control.admin.operation import REPLAYED, Dispatcher, Operation
from router.control.admin.sessions import routes as session_routes
from router.control.admin.sessions.sessions import Sessions
from router.control.core.operations import Operations
from router.control.views.queries import Queries
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.runtime import clock, fd_limits
from router.settings.settings import Settings

log = logging.getLogger(__name__)

CONNECTIONS: Final = web.AppKey("connections", ConnectionLimiter)
ACCESS_POLICY: Final = web.AppKey("access_policy", AccessPolicy)
OPERATIONS: Final = web.AppKey("operations", tuple[Operation, ...])
SHUTDOWN_TIMEOUT_S: Final = 2.0
_REQUEST_ID: Final = re.compile(r"[!-~]{1,128}")
_ID: Final = web.RequestKey("request_id", str)
_BEGUN: Final = web.RequestKey("begun", bool)
_DEFAULT_FIELDS: Final = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
"""Fields of answers that do not set them: a page with a form needs another referrer policy, a page with a style names it."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(
    queries: Queries,
    operations: Operations,
    settings: Settings,
    further: Sequence[Operation] = (),
    streams: EventStreams | None = None,
    live: LiveStreams | None = None,
    sessions: Sessions | None = None,
) -> web.Application:
    """Return the application; `further` are the routes of the add-ons. Without `sessions` they end with this process. Tests
    pass `streams` and `live` to shorten times.
    """
    limiter = ConnectionLimiter(settings)
    sessions = Sessions() if sessions is None else sessions
    access_policy = AccessPolicy(settings, sessions)
    streams = EventStreams() if streams is None else streams
    live = LiveStreams(room=lambda: limiter.connections_max // 4) if live is None else live
    routes: tuple[Operation, ...] = (
        *health.operations(limiter.counts, ChainMap(access_policy.attempts.counts, limiter.malformed.counts)),
        *reads.STATUS,
        *changes.OPERATIONS,
        *reads.RECORDS,
        *events.operations(streams),
        *live_streams.operations(live),
        *session_routes.operations(sessions),
        *further,
        health.description_route(lambda: openapi.describe(routes)),
    )
    application = web.Application(middlewares=[_track_requests(limiter), _guard_requests(access_policy, limiter)])
    application[ACCESS_POLICY] = access_policy
    application[CONNECTIONS] = limiter
    application[OPERATIONS] = routes
    dispatcher = Dispatcher(queries, operations, access_policy)
    for operation in routes:
        application.router.add_route(operation.method, operation.path, dispatcher.handler(operation))
        if operation.method == "GET" and operation.media_type != "text/event-stream":
            application.router.add_route("HEAD", operation.path, dispatcher.handler(operation))
    application.on_response_prepare.append(_add_fields)
    application.on_shutdown.append(streams.close)
    application.on_shutdown.append(live.close)
    return application


async def serve(application: web.Application, sock: socket.socket, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Serve on `sock`, over TLS if there is a context.

    `cleanup` of the returned runner stops; requests in flight have SHUTDOWN_TIMEOUT_S.
    """
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    await LimitedSite(runner, sock, application[CONNECTIONS], tls).start()
    return runner


def reconfigure(application: web.Application, settings: Settings) -> None:
    """Apply tokens, hosts, origins and limits of other settings (SIGHUP)."""
    application[ACCESS_POLICY].reconfigure(settings)
    application[CONNECTIONS].reconfigure(settings)


def apply_fd_limit(application: web.Application, descriptors_left: int) -> None:
    """Admit no more connections than there are descriptors for; warn if that is less than the setting."""
    limiter = application[CONNECTIONS]
    configured = limiter.connections_max
    possible = fd_limits.admin_connections(configured, descriptors_left)
    if possible < configured:
        log.warning("%s", fd_limits.admin_warning(configured, possible))
        limiter.limit_to(possible)


def _track_requests(limiter: ConnectionLimiter) -> Middleware:
    """Return the middleware that reports the start and the end of each request to the connection limiter."""

    @web.middleware
    async def track(request: web.Request, handler: Handler) -> web.StreamResponse:
        transport = request.transport
        limiter.request_started(transport)
        try:
            return await handler(request)
        finally:
            limiter.request_ended(transport, clock.now_s())

    return track


def _guard_requests(access_policy: AccessPolicy, limiter: ConnectionLimiter) -> Middleware:
    """Return the middleware that sets a request id, checks Host and Origin, and turns every error into an answer."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("X-Request-ID", "")
        request[_ID] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        try:
            access_policy.check_origin(request)
            if request.match_info.http_exception is not None and not refusals.is_link(request):
                access_policy.authorize(request, "viewer")  # which paths exist is for callers with a token
            return await handler(request)
        except Refusal as refusal:
            return refusals.answer(access_policy.throttle(request, refusal), request, request[_ID])
        except web.HTTPException as error:
            return refusals.answer(refusals.from_http(error, request), request, request[_ID])
        except web.RequestPayloadError as error:
            limiter.malformed.record(request.remote, error)
            return refusals.answer(_body_malformed(error), request, request[_ID])
        except ConnectionError:
            raise  # the client has left: aiohttp ends the connection
        except Exception:  # the admin's guard: a bug here costs one answer, never the process
            log.exception("%s %r failed, request %s", request.method, request.path[:200], request[_ID])
            if _BEGUN in request:
                raise  # the answer has begun: aiohttp closes the connection
            return refusals.answer(problems.internal(), request, request[_ID])

    return guard


def _body_malformed(error: Exception) -> Refusal:
    return Refusal(RefusalCode.BODY_MALFORMED, f"the framing of the body is broken: {reason(error)}")


async def _add_fields(request: web.Request, response: web.StreamResponse) -> None:
    """Add the request id, the mark of a replay and the fields that protect browsers to every answer.

    aiohttp answers an unknown `Expect` before any middleware: that answer gets its id here.
    """
    request[_BEGUN] = True
    response.headers["X-Request-ID"] = request.get(_ID) or response.headers.get("X-Request-ID") or uuid.uuid4().hex
    if request.get(REPLAYED):
        response.headers["Idempotency-Replayed"] = "true"
    lasting = response.headers.get("Cache-Control")  # a file without any data of the router may be kept
    response.headers.update(FIELDS)
    if lasting is not None:
        response.headers["Cache-Control"] = lasting
    for name, value in _DEFAULT_FIELDS.items():
        response.headers.setdefault(name, value)
