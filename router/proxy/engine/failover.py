"""Decides where a failed exchange continues before its first response byte (`next_try`), and begins that (`try_elsewhere`).

Nothing is tried again unless `may_resend`. Then the first of these that is possible is next:

    RECONNECT      the same endpoint over a new connection: the backend closed the reused connection while the request was
                   written. That is no fault of the version (RFC 9112 §9.3.1). Once an attempt.
    NEXT_ENDPOINT  another endpoint of the active version, unless the version itself has failed. The last of `attempts_max` is
                   left to another version.
    ADOPT_ROUTE    nothing yet: control has published another route, and a version is chosen by the newest one.
    OtherVersion   the active version, else the standby. The failed attempt stays a fault of the first version.
    OVER_BUDGET    a local reply, or the answer that is there: the standby is not asked, because too many rescues fail or wait.
    GIVE_UP        the same, without such a reason.

The first two take from the target's retry budget. The standby is asked after the failures in `rescue_on` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from router.proxy.rescue.rescue import PAIR_EVERY_S, Rescue
from router.rollout.outcome import FAULTS, Outcome
from router.runtime import clock
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.attempt import Attempt
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.local_target import LocalTarget

RESCUE_WORDS: Final[dict[Outcome, str]] = {
    Outcome.CONNECT_FAILED: "connect",
    Outcome.ROUTER_FAULT: "connect",
    Outcome.TIMED_OUT: "timeout",
    Outcome.TRUNCATED: "broken",
    Outcome.SERVER_ERROR: "5xx",
    Outcome.INVALID: "5xx",
}
"""The word of `rescue_on` for the outcome of a failed attempt."""


class Failover(Enum):
    """What the exchange does next, if it is not `OtherVersion`."""

    RECONNECT = "reconnect"
    NEXT_ENDPOINT = "next endpoint"
    ADOPT_ROUTE = "adopt route"
    OVER_BUDGET = "over budget"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """The exchange claims `target`, which has this role (`layout.ROLE_…`)."""

    target: LocalTarget
    role: int


def next_try(
    exchange: Exchange, word: int, outcome: Outcome, *, endpoints: bool, stale: bool = False
) -> Failover | OtherVersion:
    """Return what the exchange does next; change nothing.

    `word` is the route word in shared memory; `outcome` is that of the failed attempt. `endpoints`: another endpoint of the same
    target may be tried. `stale`: a reused connection ended without a byte.
    """
    attempt = exchange.attempt
    if attempt is None or not may_resend(exchange):
        return Failover.GIVE_UP
    if stale and _may_reconnect(exchange, attempt):
        return Failover.RECONNECT
    other = _other_version(exchange, attempt, outcome)
    if endpoints and attempt.target is exchange.service.active and attempt.may_change_endpoint():
        last = exchange.tries + 1 >= exchange.context.options.attempts_max
        if not (last and isinstance(other, OtherVersion)):
            return Failover.NEXT_ENDPOINT
    if word != exchange.service.word:
        return Failover.ADOPT_ROUTE
    return other


def may_resend(exchange: Exchange) -> bool:
    """Return whether another endpoint or target may be tried: an attempt is left, and nothing was sent, or the service allows a
    replay.
    """
    if exchange.tries >= exchange.context.options.attempts_max:
        return False
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


def _other_version(exchange: Exchange, attempt: Attempt, outcome: Outcome) -> OtherVersion | Failover:
    service = exchange.service
    for target, role in ((service.active, at.ROLE_ACTIVE), (service.standby, at.ROLE_STANDBY)):
        if target is None or target is attempt.target or target in exchange.tried_targets:
            continue
        if role == at.ROLE_STANDBY and RESCUE_WORDS.get(outcome) not in service.options.rescue_on:
            continue
        if not service.concurrency.fits(exchange, target):
            continue
        if role == at.ROLE_STANDBY and not _within_budget(exchange, attempt, target):
            return Failover.OVER_BUDGET
        return OtherVersion(target, role)
    return Failover.GIVE_UP


def _within_budget(exchange: Exchange, attempt: Attempt, other: LocalTarget) -> bool:
    in_flight_max = exchange.context.options.rescue_in_flight_max
    client, others = attempt.target.affected.client(exchange), _others_served(exchange, attempt, other)
    return exchange.service.rescue_budget.allows(clock.now_s(), in_flight_max, client, others=others)


def _others_served(exchange: Exchange, attempt: Attempt, other: LocalTarget) -> bool:
    """Whether the failing version, or the other one in its place, serves other clients now."""
    return attempt.target.affected.serves_others(exchange) or other.affected.serves_others(exchange)


def try_elsewhere(exchange: Exchange, outcome: Outcome, *, endpoints: bool, stale: bool = False) -> bool:
    """Continue where `next_try` decides; return False if that is nowhere."""
    service, attempt = exchange.service, exchange.attempt
    assert attempt is not None
    if exchange.held is not None and not exchange.held.whole:
        exchange.held = None  # an answer that will never be whole
        service.held.stop(exchange)
    word = exchange.context.words[service.word_at]
    step = next_try(exchange, word, outcome, endpoints=endpoints, stale=stale)
    if step is Failover.ADOPT_ROUTE:
        service.refresh()
        # The new route may be a rollback's, and redispatch may have moved this exchange.
        if exchange.ended or exchange.attempt is not attempt:
            return True
        step = next_try(exchange, service.word, outcome, endpoints=False)
    if step is Failover.RECONNECT:
        assert attempt.pool is not None
        _retry(exchange, attempt)
        exchange.tries += 1
        exchange.wait(attempt.pool)
    elif step is Failover.NEXT_ENDPOINT:
        exchange.context.words[attempt.row + at.L_ENDPOINT_RETRIES] += 1
        attempt.leave_failed(outcome)
        _retry(exchange, attempt)
        exchange.dispatch(attempt)
    elif isinstance(step, OtherVersion):
        _claim_other(exchange, attempt, outcome, step)
    elif step is Failover.OVER_BUDGET:
        refuse(exchange, attempt)
        return False
    else:
        return False
    return True


def refuse(exchange: Exchange, attempt: Attempt) -> None:
    """Count a failed request that the budget of rescues leaves unrescued."""
    exchange.service.rescue_budget.refuse()
    exchange.context.words[attempt.row + at.L_RESCUES_REFUSED] += 1


def _retry(exchange: Exchange, attempt: Attempt) -> None:
    """Prepare to send the request to the same target again."""
    attempt.retry()
    exchange.request_sent = False
    exchange.service.idle.stop(exchange)


def _claim_other(exchange: Exchange, attempt: Attempt, outcome: Outcome, other: OtherVersion) -> None:
    """End the failed attempt, and claim the other version. If that is the standby, the exchange is rescued."""
    words, pool, now_s = exchange.context.words, attempt.pool, clock.now_s()
    words[attempt.row + at.L_RESCUED] += 1
    exchange.tried_targets = (*exchange.tried_targets, attempt.target)
    exchange.end_attempt(outcome)
    exchange.status = 0
    if other.role == at.ROLE_STANDBY:
        pair = outcome in FAULTS and (pool is None or now_s - pool.pair_s >= PAIR_EVERY_S)
        if pair and pool is not None:
            pool.pair_s = now_s
        client, others = attempt.target.affected.client(exchange), _others_served(exchange, attempt, other.target)
        budget = exchange.service.rescue_budget
        exchange.rescue = Rescue(words, attempt.row, budget, now_s, client, others=others, pair=pair)
    exchange.claim(other.target, other.role)
