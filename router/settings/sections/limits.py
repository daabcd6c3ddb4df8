"""Limits on clients and backends, and the timeout of every wait."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.settings.sections.values import Bytes, Count, Delay, Seconds, Strict


class LimitSettings(Strict):
    """Limits on the resources that clients and backends may use."""

    head_bytes_max: Bytes = 32 * 1024
    fields_max: Count = 100
    passes_max: Count = 8
    """How often a request may have passed a rollback-router (by its Via field); at more it is in a loop and answered 508."""
    body_bytes_max: Bytes = 1 << 30
    trailer_bytes_max: Bytes = 16 * 1024
    connections_max: Count = 10_000
    """Downstream connections per worker; the next one is answered 503 and closed."""
    connections_per_client_max: Count | Literal["none"] = "none"
    """Connections of one client address, per worker; the next one is answered 429. Behind a load balancer all clients have
    one address."""
    requests_per_connection_max: Count | Literal["none"] = "none"
    """After so many requests the response has `Connection: close`. A connection needs no more memory with more requests, so
    there is no limit by default."""
    requests_max: Count = 4096
    """Requests in flight per worker, of all versions together; the next one is `overloaded` (503)."""
    in_flight_max: Count = 1024
    """Attempts in flight per target and worker; the next one is `saturated` (503)."""
    connect_waits_max: Count = 1024
    """Requests per endpoint and worker that may wait for a new backend connection."""
    buffer_bytes: Bytes = 64 * 1024
    """Size of a connection's write buffer above which reading from the other side pauses."""
    replay_bytes_max: Bytes = 1 << 20
    interim_responses_max: Count = 32
    body_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """Minimum rate at which a client sends a body, averaged over timeouts.body_rate_grace_s; else 408. Kestrel's default."""
    write_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """Minimum rate at which a client reads a waiting response, averaged over timeouts.write_rate_grace_s; else its connection
    is aborted."""
    proxy_header_bytes_max: Annotated[int, Field(ge=16, le=65551)] = 4096
    """Size of a PROXY header of version 2 with its vectors; a header of version 1 has at most 107 bytes."""


class Timeouts(Strict):
    """The timeout of every wait."""

    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    """Silence of a client in the middle of its body."""
    write_timeout_s: Seconds = 60.0
    """The connection of a client that reads nothing of its response for this time is aborted."""
    body_rate_grace_s: Seconds = 30.0
    """As long as the allowed silence (body_timeout_s): a pause that the timeout allows must not violate the minimum rate."""
    write_rate_grace_s: Seconds = 30.0
    keepalive_idle_s: Seconds = 75.0
    connection_age_max_s: Seconds | Literal["none"] = "none"
    """An older connection is closed after the response in flight. Clients then reconnect, for example to an added router."""
    half_close_grace_s: Seconds = 2.0
    """A client that closed its side before the response began counts as disconnected after this time. A FIN alone does not
    distinguish a half-close from a disconnect, and a disconnected client should not keep a model busy."""
    tunnel_idle_s: Seconds | Literal["none"] = "none"
    """A WebSocket without data from either side for this time is closed; this counts as no fault."""
    tls_handshake_timeout_s: Seconds = 10.0
    """Time of a client's handshake; a handshake with a backend is part of connect_timeout_s."""
    certificates_every_s: Seconds = 5.0
    """Interval at which certificate files are checked for changes."""
    connect_timeout_s: Seconds = 2.0
    first_byte_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 60.0
    """Silence of a backend in the middle of its response, or while it does not take the request."""
    upstream_idle_s: Seconds = 4.0
    confirm_timeout_s: Seconds = 1.0
    rollback_drain_timeout_s: Seconds | Literal["none"] = 300.0
    shutdown_delay_s: Delay = 0.0
    """A stopping router first reports that it is not ready and serves for this time, until load balancers have noticed."""
    shutdown_idle_s: Delay = 1.0
    """At a stop, the time for one more request on an idle connection before the connection is closed."""
    shutdown_timeout_s: Seconds = 30.0
    verify_timeout_s: Seconds = 900.0
    resolve_every_s: Seconds = 10.0
    worker_silent_s: Seconds = 10.0
    control_silent_s: Seconds = 5.0
