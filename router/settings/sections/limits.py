"""Limits on clients and backends, and the timeout of every wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.settings.sections.values import Bytes, Count, Delay, Seconds, Strict


class LimitSettings(Strict):
    """Limits on the resources that one client or one backend may use."""

    head_bytes_max: Bytes = 32 * 1024
    """Size of a request or response head. A larger request head is answered 431, a longer request line 414."""
    fields_max: Count = 100
    """Header fields of a head."""
    passes_max: Count = 8
    """How often a request may have passed a rollback-router (by its Via field). At more it is in a loop and answered
    508."""
    body_bytes_max: Bytes = 1 << 30
    """Largest request body; a larger one is answered 413."""
    trailer_bytes_max: Bytes = 16 * 1024
    """Size of the trailer section of a chunked body."""
    connections_max: Count = 10_000
    """Client connections per worker; the next one is answered 503 and closed."""
    connections_per_client_max: Count | Literal["none"] = "none"
    """Connections of one client address per worker; the next one is answered 429. Leave it off behind a load balancer
    that is not in `forwarding.trusted`: all clients then have one address."""
    requests_per_connection_max: Count | Literal["none"] = "none"
    """After this many requests the response has `Connection: close`."""
    requests_max: Count = 4096
    """Requests in flight per worker, of all versions together; the next one is answered 503 (`overloaded`)."""
    in_flight_max: Count = 1024
    """Attempts in flight per version and worker; the next one is answered 503 (`saturated`)."""
    connect_waits_max: Count = 1024
    """Requests per endpoint and worker that may wait for a new backend connection."""
    buffer_bytes: Bytes = 64 * 1024
    """Size of a connection's write buffer above which reading from the other side pauses."""
    replay_bytes_max: Bytes = 1 << 20
    """A request body up to this size is kept for a second attempt, if `replay` allows one."""
    attempts_max: Annotated[int, Field(ge=1, le=16)] = 4
    """Attempts of one client's request, on all endpoints and versions together. The last one is left to the standby."""
    rescue_in_flight_max: Count = 64
    """Rescued requests per service and worker that have brought nothing yet; the next failed request is not rescued."""
    interim_responses_max: Count = 32
    """Interim (1xx) responses of a backend to one request."""
    body_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """Minimum rate at which a client sends a body, averaged over timeouts.body_rate_grace_s; a slower request is
    answered 408. 0 or "none": no minimum."""
    write_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """Minimum rate at which a client reads a waiting response, averaged over timeouts.write_rate_grace_s; a slower
    connection is aborted. 0 or "none": no minimum."""
    proxy_header_bytes_max: Annotated[int, Field(ge=16, le=65551)] = 4096
    """Size of a PROXY header of version 2 with its vectors. A header of version 1 has at most 107 bytes."""


class Timeouts(Strict):
    """The time limit of every wait."""

    header_timeout_s: Seconds = 10.0
    """A client's request head must arrive within this time; else 408."""
    body_timeout_s: Seconds = 30.0
    """Silence of a client in the middle of its body; then 408."""
    write_timeout_s: Seconds = 60.0
    """The connection of a client that reads nothing of its response for this time is aborted."""
    body_rate_grace_s: Seconds = 30.0
    """Period over which limits.body_rate_min_bytes_per_s is averaged. It is as long as body_timeout_s: a pause that the
    timeout allows must not violate the minimum rate."""
    write_rate_grace_s: Seconds = 30.0
    """Period over which limits.write_rate_min_bytes_per_s is averaged."""
    keepalive_idle_s: Seconds = 75.0
    """An idle client connection is closed after this time."""
    connection_age_max_s: Seconds | Literal["none"] = "none"
    """An older client connection is closed after the response in flight. Clients then reconnect, for example to an
    added router."""
    half_close_grace_s: Seconds = 2.0
    """A client that closed its side before the response began counts as disconnected after this time. A FIN alone does
    not distinguish a half-close from a disconnect, and a disconnected client should not keep a model busy."""
    tunnel_idle_s: Seconds | Literal["none"] = "none"
    """A WebSocket without data from either side for this time is closed; this is no fault. "none": never."""
    tls_handshake_timeout_s: Seconds = 10.0
    """Time of a client's TLS handshake. A handshake with a backend is part of connect_timeout_s."""
    certificates_every_s: Seconds = 5.0
    """Interval at which certificate files are checked for changes."""
    connect_timeout_s: Seconds = 2.0
    """Connecting to a backend, TLS handshake included."""
    first_byte_timeout_s: Seconds = 600.0
    """Time from the request to the first byte of a backend's response. Clients of model servers wait as long by default, and
    the judge finds a hang much sooner."""
    idle_timeout_s: Seconds = 60.0
    """Silence of a backend in the middle of its response, or while it does not take the request."""
    upstream_idle_s: Seconds = 4.0
    """An idle backend connection is closed after this time. Keep it below the backend's own idle timeout."""
    confirm_timeout_s: Seconds = 1.0
    """A switch waits this long for the workers' confirmation. Then the answer names the workers that have not
    confirmed."""
    rollback_drain_timeout_s: Seconds | Literal["none"] = 300.0
    """Requests that a rolled-back version still serves after this time are cut. "none": never."""
    shutdown_delay_s: Delay = 0.0
    """A stopping router first reports at ready_path that it is not ready and serves for this time, until the load
    balancers in front have noticed (their check period × failures; about 5 s on Kubernetes). Then the port closes."""
    shutdown_idle_s: Delay = 1.0
    """At a stop, an idle connection may carry one more request within this time. The response has `Connection: close`.
    """
    shutdown_timeout_s: Seconds = 30.0
    """At a stop, requests in flight may take this long after the port has closed."""
    verify_timeout_s: Seconds = 900.0
    """A deployed version must become ready within this time."""
    resolve_every_s: Seconds = 10.0
    """Interval at which the host names of endpoints are resolved."""
    worker_silent_s: Seconds = 10.0
    """A worker without a heartbeat for this time is killed and restarted."""
    control_silent_s: Seconds = 5.0
    """A control process without a heartbeat for this time is killed and restarted."""
