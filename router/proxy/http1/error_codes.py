"""The values of `X-Router-Error`: the statuses of each code, the side at fault, and the cause. Codes are frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """What a response with this code means. `at_fault` "version": the request counts as a fault of the version."""

    statuses: tuple[int, ...]
    at_fault: Literal["client", "version", "router", "none"]
    cause: str


ERROR_CODES: Final[dict[str, ErrorCode]] = {
    # the request is malformed, or not served
    "bad_request": ErrorCode(
        (400,), "client", "The request is malformed or ambiguous. Nothing of it reached a backend."
    ),
    "bad_chunk": ErrorCode((400,), "client", "The chunked body is malformed, or its trailer section is too large."),
    "tls_required": ErrorCode((400,), "client", "The client sent plain HTTP to a TLS port."),
    "no_service": ErrorCode((404,), "client", "No service matches the host and the path."),
    "method_refused": ErrorCode((405,), "client", "The method is not proxied (CONNECT, TRACE)."),
    "expectation_failed": ErrorCode((417,), "client", "The only expectation that is served is 100-continue."),
    "misdirected": ErrorCode(
        (421,), "client", "The host does not belong to the connection's certificate, or an https URL came without TLS."
    ),
    "request_invalid_schema": ErrorCode((422,), "client", "The request's body violates `validation.request_schema`."),
    "method_unknown": ErrorCode((501,), "client", "The method is not implemented."),
    "coding_unsupported": ErrorCode((501,), "client", "The only transfer coding that is served is chunked."),
    "version_unsupported": ErrorCode((505,), "client", "Only HTTP/1.0 and HTTP/1.1 are served."),
    "loop_detected": ErrorCode(
        (508,), "none", "The request has passed `limits.passes_max` routers: an endpoint leads back to the router."
    ),
    # the request exceeds a limit
    "request_timeout": ErrorCode((408,), "client", "The head or the body did not arrive in time, or too slowly."),
    "body_too_large": ErrorCode((413,), "client", "The body exceeds `limits.body_bytes_max`."),
    "target_too_long": ErrorCode((414,), "client", "The request line exceeds `limits.head_bytes_max`."),
    "head_too_large": ErrorCode((431,), "client", "The head exceeds `limits.head_bytes_max` or `limits.fields_max`."),
    "client_share": ErrorCode((429,), "none", "The version is full, and this client has its share of the places."),
    "connections_per_client": ErrorCode(
        (429,), "none", "The client address has `limits.connections_per_client_max` connections at this worker."
    ),
    "connections": ErrorCode((503,), "none", "The worker has `limits.connections_max` connections."),
    "overloaded": ErrorCode((503,), "none", "The worker has `limits.requests_max` requests in flight."),
    "saturated": ErrorCode(
        (503,),
        "none",
        "The version has `limits.in_flight_max` requests in flight or `limits.connect_waits_max` waiting for a connection.",
    ),
    "tunnels": ErrorCode((503,), "none", "WebSockets have their half of the version's places."),
    # the version fails
    "connect_failed": ErrorCode(
        (502, 504),
        "version",
        "No connection to the backend was made. If the router itself had no file descriptor, memory or port left, the router "
        "is at fault.",
    ),
    "upstream_broken": ErrorCode(
        (502,),
        "version",
        "The backend closed the connection or broke the protocol before it answered. If `stale_connections` in the status "
        "grows with it, the backend's keep-alive timeout is below `timeouts.upstream_idle_s`.",
    ),
    "upstream_timeout": ErrorCode(
        (504,), "version", "The backend sent nothing for `timeouts.first_byte_timeout_s` or `timeouts.idle_timeout_s`."
    ),
    "rolled_back": ErrorCode(
        (503,),
        "version",
        "The request waited on a version that was rolled back, and could not be sent to the other one.",
    ),
    # the router has no version to send it to
    "no_route": ErrorCode((503,), "none", "The service has no active version."),
    "draining": ErrorCode((503,), "none", "A drain or a stop ended the request."),
}
