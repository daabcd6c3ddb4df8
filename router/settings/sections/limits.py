"""What one client or one backend may take of us, and how long anything waits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from router.settings.sections.values import Bytes, Count, Delay, Seconds, Strict


class LimitSettings(Strict):
    """What one client or one backend may take of us."""

    head_bytes_max: Bytes = 32 * 1024
    fields_max: Count = 100
    passes_max: Count = 8
    """How often a request may have passed through routers of our name (Via) before it is taken for one in a loop: 508."""
    body_bytes_max: Bytes = 1 << 30
    trailer_bytes_max: Bytes = 16 * 1024
    connections_max: Count = 10_000
    """Downstream connections per worker; the next one is answered 503 and closed."""
    connections_per_client_max: Count | Literal["none"] = "none"
    """Of one client address, per worker; the next one is answered 429. Behind a load balancer all have one address."""
    requests_per_connection_max: Count | Literal["none"] = "none"
    """Then `Connection: close`. A connection of ours grows by nothing with its requests, so there is no need of it."""
    requests_max: Count = 4096
    """Requests under way per worker, of all versions together; the next one is `overloaded` (503)."""
    in_flight_max: Count = 1024
    """Attempts in flight per target and worker; the next one is `saturated` (503)."""
    connect_waits_max: Count = 1024
    """Requests per endpoint and worker that wait for a new backend connection."""
    buffer_bytes: Bytes = 64 * 1024
    """Write buffer of one connection above which the other side is paused."""
    replay_bytes_max: Bytes = 1 << 20
    interim_responses_max: Count = 32
    body_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """What a client has to send of a body on average over timeouts.body_rate_grace_s; else 408. Kestrel's rate."""
    write_rate_min_bytes_per_s: Count | Literal[0, "none"] = 240
    """What it has to take while a response waits for it, on average over timeouts.write_rate_grace_s; else it is cut."""
    proxy_header_bytes_max: Annotated[int, Field(ge=16, le=65551)] = 4096
    """A PROXY header of version 2, its vectors included; version 1 ends at 107 bytes."""


class Timeouts(Strict):
    """Every wait has an end."""

    header_timeout_s: Seconds = 10.0
    body_timeout_s: Seconds = 30.0
    """Silence of a client in the middle of its body."""
    write_timeout_s: Seconds = 60.0
    """A client that takes nothing of its response for so long is cut."""
    body_rate_grace_s: Seconds = 30.0
    """As long as a client may be silent: no connection that stalls for a while is cut for its rate before."""
    write_rate_grace_s: Seconds = 30.0
    keepalive_idle_s: Seconds = 75.0
    connection_age_max_s: Seconds | Literal["none"] = "none"
    """An older connection ends after the answer under way: clients spread anew, after a router was added, say."""
    half_close_grace_s: Seconds = 2.0
    """A client that closed its side before the response began is taken for gone after so long: a FIN alone does not
    tell a half-close from a departure, and a departed client should not keep a model busy."""
    tunnel_idle_s: Seconds | Literal["none"] = "none"
    """A WebSocket on which neither side says anything for so long is ended; that is nobody's fault."""
    tls_handshake_timeout_s: Seconds = 10.0
    """Of a client; that with a backend is part of connect_timeout_s."""
    certificates_every_s: Seconds = 5.0
    """How often certificate files are looked at for changes."""
    connect_timeout_s: Seconds = 2.0
    first_byte_timeout_s: Seconds = 120.0
    idle_timeout_s: Seconds = 60.0
    """Silence of a backend in the middle of its response, or while it does not take the request."""
    upstream_idle_s: Seconds = 4.0
    confirm_timeout_s: Seconds = 1.0
    rollback_drain_timeout_s: Seconds | Literal["none"] = 300.0
    shutdown_delay_s: Delay = 0.0
    """Told to stop, the router says that it is not ready, and serves on for so long: until load balancers have seen it."""
    shutdown_idle_s: Delay = 1.0
    """What clients on idle connections get to send one more request before these are closed at a stop."""
    shutdown_timeout_s: Seconds = 30.0
    verify_timeout_s: Seconds = 900.0
    resolve_every_s: Seconds = 10.0
    worker_silent_s: Seconds = 10.0
    control_silent_s: Seconds = 5.0
