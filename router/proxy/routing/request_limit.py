"""The limits on requests in flight, with the local reply to a request beyond one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from router.shm import layout as at


@dataclass(frozen=True, slots=True)
class RequestLimit:
    """`counter`: where its refusals are counted (`layout.LIMITED_…`); `status`, `code` and `detail` are those of the reply."""

    counter: int
    status: int
    code: str
    detail: str


IN_FLIGHT: Final = RequestLimit(
    at.LIMITED_IN_FLIGHT, 503, "saturated", "the version in service has no room for another request"
)
"""`in_flight_max` of one version. Only this refusal is counted at the version."""
REQUESTS: Final = RequestLimit(
    at.LIMITED_REQUESTS, 503, "overloaded", "this worker has requests_max requests under way"
)
"""`requests_max` of all versions."""
TUNNELS: Final = RequestLimit(
    at.LIMITED_TUNNELS,
    503,
    "tunnels",
    "this worker has as many WebSockets as it may: half of in_flight_max, or of requests_max",
)
"""Tunnels of one version, or of all."""
CLIENT_SHARE: Final = RequestLimit(
    at.LIMITED_SHARE,
    429,
    "client_share",
    "other clients are refused, and this client has its share of what may be under way",
)
"""The share of one client while other clients are refused."""
