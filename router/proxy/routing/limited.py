"""The attributes of services, targets and exchanges that the concurrency limits read. Their classes are in `engine`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from router.proxy.http1.request_head import RequestHead
from router.proxy.options import ServiceOptions
from router.proxy.routing.client_shares import ClientShares


class LimitedClient(Protocol):
    """The client's connection of an exchange."""

    @property
    def client(self) -> str:
        """The client's address."""


class LimitedAttempt(Protocol):
    """The claim of an exchange on a target."""

    @property
    def claimed_s(self) -> float:
        """When the target was claimed, in monotonic seconds."""


class LimitedExchange(Protocol):
    """One request in flight."""

    @property
    def head(self) -> RequestHead:
        """The request's head."""

    @property
    def downstream(self) -> LimitedClient:
        """The client's connection."""

    @property
    def attempt(self) -> LimitedAttempt | None:
        """The present attempt."""

    @property
    def request_sent(self) -> bool:
        """Whether the whole request was written to the backend."""

    @property
    def answered(self) -> bool:
        """Whether the response has begun."""

    @property
    def status(self) -> int:
        """The status of the response, 0 before it has begun."""

    def end_for_other_clients(self) -> None:
        """End it, because its client has more than its share while other clients are refused."""


class LimitedTarget(Protocol):
    """One version of a service. `quota`: how many requests it may have in flight without a call of the limiter."""

    quota: int

    @property
    def version(self) -> str:
        """The name of the version."""

    @property
    def in_flight(self) -> AbstractSet[LimitedExchange]:
        """The exchanges that have claimed it."""

    @property
    def upgrades(self) -> int:
        """How many exchanges in flight are tunnels, or may become one."""

    @property
    def shares(self) -> tuple[ClientShares, ClientShares]:
        """The shares of clients: of all requests in flight, and of tunnels."""


class LimitedService(Protocol):
    """One service of this worker."""

    @property
    def options(self) -> ServiceOptions:
        """The settings of the service."""

    @property
    def targets(self) -> Mapping[int, LimitedTarget]:
        """Targets by slot."""

    @property
    def draining(self) -> Sequence[LimitedTarget]:
        """Targets without a role that still have requests in flight."""
