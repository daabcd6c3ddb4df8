"""Decides where a failed exchange continues before its first response byte. `Exchange._continue` acts on the decision.

Nothing is tried again unless `may_resend`. Then the first of these that is possible is next:

    RECONNECT      the same endpoint over a new connection: the backend closed the reused connection while the request was
                   written. That is no fault of the version (RFC 9112 §9.3.1). Once an attempt.
    NEXT_ENDPOINT  another endpoint of the active version, unless the version itself has failed.
    ADOPT_ROUTE    nothing yet: control has published another route, and a version is chosen by the newest one.
    OtherVersion   the active version, else the standby. The failed attempt stays a fault of the first version.
    GIVE_UP        a local reply.

The first two take from the target's retry budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.attempt import Attempt
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.local_target import LocalTarget


class Failover(Enum):
    """What the exchange does next, if it is not `OtherVersion`."""

    RECONNECT = "reconnect"
    NEXT_ENDPOINT = "next endpoint"
    ADOPT_ROUTE = "adopt route"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """The exchange claims `target`, which has this role (`layout.ROLE_…`)."""

    target: LocalTarget
    role: int


def next_try(exchange: Exchange, word: int, *, endpoints: bool, stale: bool = False) -> Failover | OtherVersion:
    """Return what the exchange does next; change nothing.

    `word` is the route word in shared memory. `endpoints`: another endpoint of the same target may be tried. `stale`: a reused
    connection ended without a byte.
    """
    attempt = exchange.attempt
    if attempt is None or not may_resend(exchange):
        return Failover.GIVE_UP
    if stale and _may_reconnect(exchange, attempt):
        return Failover.RECONNECT
    if endpoints and attempt.target is exchange.service.active and attempt.may_change_endpoint():
        return Failover.NEXT_ENDPOINT
    if word != exchange.service.word:
        return Failover.ADOPT_ROUTE
    return _other_version(exchange, attempt) or Failover.GIVE_UP


def may_resend(exchange: Exchange) -> bool:
    """Return whether another endpoint or target may be tried: nothing was sent, or the service allows a replay."""
    if exchange.attempt is not None and not exchange.attempt.any_sent:
        return exchange.service.options.replay != "never"
    return replay_allowed(exchange) and exchange.body is not None


def replay_allowed(exchange: Exchange) -> bool:
    """Return whether the service allows this request to be sent again."""
    rule = exchange.service.options.replay
    return rule == "always" or (rule == "idempotent" and exchange.head.idempotent)


def _may_reconnect(exchange: Exchange, attempt: Attempt) -> bool:
    pool = attempt.pool
    if pool is None or pool.closed or pool.waiting >= exchange.context.options.connect_waits_max:
        return False
    return not attempt.retrying and attempt.target.may_retry()


def _other_version(exchange: Exchange, attempt: Attempt) -> OtherVersion | None:
    service = exchange.service
    for target, role in ((service.active, at.ROLE_ACTIVE), (service.standby, at.ROLE_STANDBY)):
        if target is None or target is attempt.target or target in exchange.tried_targets:
            continue
        if service.concurrency.fits(exchange, target):
            return OtherVersion(target, role)
    return None
