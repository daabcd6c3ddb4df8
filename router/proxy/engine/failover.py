"""Where a failed exchange continues before its first response byte: another endpoint, another version, or nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.rollout.outcome import Outcome
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.attempt import Attempt
    from router.proxy.engine.exchange import Exchange


def try_elsewhere(exchange: Exchange, outcome: Outcome, *, endpoints: bool) -> bool:
    """Return whether the exchange continues elsewhere; `endpoints`: another endpoint of the same target may be tried."""
    return may_resend(exchange) and ((endpoints and _next_endpoint(exchange)) or _other_version(exchange, outcome))


def may_resend(exchange: Exchange) -> bool:
    """Return whether another endpoint or target may be tried: nothing was sent, or the service allows a replay."""
    if exchange.attempt is not None and not exchange.attempt.any_sent:
        return exchange.service.options.replay != "never"
    return replay_allowed(exchange) and exchange.body is not None


def replay_allowed(exchange: Exchange) -> bool:
    """Return whether the service allows this request to be sent again."""
    rule = exchange.service.options.replay
    return rule == "always" or (rule == "idempotent" and exchange.head.idempotent)


def reconnect(exchange: Exchange) -> bool:
    """Return whether the exchange continues over a new connection to the same endpoint: the backend closed the reused
    connection while the request was written. That is no fault of the version (RFC 9112 §9.3.1). Once an attempt.
    """
    attempt, limit = exchange.attempt, exchange.context.options.connect_waits_max
    if exchange.ended or attempt is None or attempt.pool is None or attempt.retrying or not may_resend(exchange):
        return False
    if attempt.pool.closed or attempt.pool.waiting >= limit or not attempt.target.may_retry():
        return False
    attempt.target.retrying += 1
    attempt.retrying = True
    _not_sent(exchange, attempt)
    exchange.wait(attempt.pool)
    return True


def _not_sent(exchange: Exchange, attempt: Attempt) -> None:
    """Reset the attempt, because the request is sent again: its waits start anew."""
    attempt.any_sent = exchange.request_sent = False
    attempt.sent_s = 0.0
    attempt.target.awaiting_first_byte.stop(exchange)
    exchange.service.idle.stop(exchange)


def _next_endpoint(exchange: Exchange) -> bool:
    """Try another endpoint of the same target; return whether there is one."""
    attempt = exchange.attempt
    if attempt is None or attempt.target is not exchange.service.active or not attempt.may_retry():
        return False
    attempt.leave()
    _not_sent(exchange, attempt)
    exchange.dispatch(attempt)
    return True


def _other_version(exchange: Exchange, outcome: Outcome) -> bool:
    """Try another version; return whether there is one. The failed attempt stays a fault of the first version."""
    service, context, attempt = exchange.service, exchange.context, exchange.attempt
    assert attempt is not None
    if context.words[service.word_at] != service.word:
        service.refresh()
        # The new route may be a rollback's, and redispatch may have moved this exchange.
        if exchange.ended or exchange.attempt is not attempt:
            return True
    for target, role in ((service.active, at.ROLE_ACTIVE), (service.standby, at.ROLE_STANDBY)):
        if (
            target is None
            or target is attempt.target
            or target in exchange.tried_targets
            or not service.concurrency.fits(exchange, target)
        ):
            continue
        context.words[attempt.row + at.L_RESCUED] += 1
        exchange.tried_targets = (*exchange.tried_targets, attempt.target)
        exchange.end_attempt(outcome)
        exchange.claim(target, role)
        return True
    return False
