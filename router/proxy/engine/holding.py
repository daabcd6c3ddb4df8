"""Holds a failed answer back while the request is tried on another version (rescue/held_answer.py).

    answered badly ─► held until it is whole ─► the other version is asked ─► its answer, or the one that is held
                              └─── too large, or too slow: handed on as it comes

Nothing of a held answer was sent to the client, so the failed attempt is over and the exchange goes on as after any other failure
(failover.py). An answer is held only if another version can be asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.proxy.engine import failover
from router.proxy.engine.failover import Failover
from router.proxy.http1.fields import EVENT_STREAM
from router.proxy.rescue.held_answer import HELD_BYTES_MAX, HeldAnswer
from router.proxy.work import work_ends
from router.proxy.work.answer_watch import AnswerWatch
from router.rollout.outcome import Outcome, of_status
from router.runtime import clock

if TYPE_CHECKING:
    from router.proxy.engine.exchange import Exchange
    from router.proxy.http1.response_head import ResponseHead

_RESCUED: Final = (Outcome.SERVER_ERROR, Outcome.INVALID)


def holds(exchange: Exchange, head: ResponseHead, data: bytes, complete: bool) -> bool:
    """Decide about an answer with a status from 500 on, an event stream, or an answer that follows a held one; return True if it
    is not to be sent now. `data` is the body so far, all of it if `complete`.
    """
    if exchange.held is None:
        if not exchange.service.rescues_answers:
            return False
        outcome = _outcome(exchange, head, data)
        return outcome in _RESCUED and _hold(exchange, head, outcome, data, complete)
    outcome = _outcome(exchange, head, data)
    if outcome not in _RESCUED and outcome != Outcome.THROTTLED:
        drop(exchange)
        return False
    exchange.drop_upstream()
    exchange.end_attempt(outcome)
    return fall_back(exchange)


def _hold(exchange: Exchange, head: ResponseHead, outcome: Outcome, data: bytes, complete: bool) -> bool:
    """Hold back a failed answer, if the request can be rescued."""
    attempt, service = exchange.attempt, exchange.service
    if attempt is None or head.length > HELD_BYTES_MAX or len(data) > HELD_BYTES_MAX:
        return False
    step = failover.next_try(exchange, exchange.context.words[service.word_at], outcome, endpoints=False)
    if step is Failover.OVER_BUDGET:
        failover.refuse(exchange, attempt)
    if step in (Failover.OVER_BUDGET, Failover.GIVE_UP):
        return False
    exchange.held = held = HeldAnswer(head, outcome, attempt, at_once=complete)
    held.add(data)
    exchange.last_byte_s = clock.now_s()
    if not complete:
        service.held.start(exchange, exchange.last_byte_s)
    return True


def _outcome(exchange: Exchange, head: ResponseHead, data: bytes) -> Outcome:
    """Return what an answer comes to, as far as it is here."""
    options = exchange.service.options
    if work_ends.is_busy(head.status, head.retry_after, data, options.throttled_statuses, options.throttled_texts):
        return Outcome.THROTTLED
    if head.kind == EVENT_STREAM and head.status < 300 and exchange.attempt is not None:
        upstream = exchange.upstream
        watch = AnswerWatch(exchange.head, exchange.attempt.work, head, options)
        watch.add(data or (upstream.first_read if upstream is not None else b""))
        return Outcome(watch.outcome)
    return of_status(head.status)


def keeps(exchange: Exchange, data: bytes) -> bool:
    """Keep more of the held answer; if that is too much, hand on what there is and return False."""
    held = exchange.held
    if held is not None and held.add(data):
        return True
    hand_on(exchange)
    return False


def hand_on(exchange: Exchange) -> None:
    """Send what there is of an answer that is not whole: it is too large or too slow to be held."""
    held = exchange.held
    if held is not None and not held.whole:
        drop(exchange)
        exchange.deliver(held.head, b"", False, clock.now_s())
        if held.body:
            exchange.relay(held.body)


def ask_elsewhere(exchange: Exchange) -> None:
    """Ask another version: the held answer is whole."""
    held = exchange.held
    assert held is not None
    held.finish(_outcome(exchange, held.head, held.body))  # a 503 may say in its body that the version is busy
    exchange.service.held.stop(exchange)
    if not failover.try_elsewhere(exchange, held.outcome, endpoints=False):
        exchange.end_attempt(held.outcome)
        fall_back(exchange)


def fall_back(exchange: Exchange) -> bool:
    """Answer with the held answer, because the rescue has failed; return False if none is held. The exchange counts at the
    version whose answer the client gets.
    """
    held = exchange.held
    if held is None or not held.whole:
        return False
    drop(exchange)
    exchange.attempt, exchange.status = held.attempt, held.head.status
    now_s = clock.now_s()
    if held.at_once:
        exchange.deliver(held.head, held.body, True, now_s)
    else:
        exchange.deliver(held.head, b"", False, now_s)
        exchange.relay_last(held.body)
        exchange.service.idle.stop(exchange)
    exchange.finish(held.outcome)
    return True


def pending(exchange: Exchange) -> bool:
    """Return whether the present attempt has a held answer: it waits for nothing from its backend but the end of that."""
    return exchange.held is not None and exchange.held.attempt is exchange.attempt


def drop(exchange: Exchange) -> None:
    """Forget the held answer: another one takes its place."""
    exchange.held = None
    exchange.service.held.stop(exchange)
