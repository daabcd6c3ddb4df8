"""One try of an exchange on one target. It is claimed, counted and ended there, with exactly one outcome.

An attempt may use several endpoints of its target in turn. If another endpoint answers, the version has no fault.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

from router.proxy.http1 import fields
from router.proxy.routing import balancer
from router.proxy.work import answer_watch, work_ends
from router.rollout.outcome import FAULTS, Outcome, of_status
from router.rollout.stats.histogram import MICROS_MAX
from router.rollout.work import NAMED_BUCKETS, TIME_BOUNDS_US, WorkEnd
from router.runtime.clock import now_s as monotonic_s
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.engine.exchange import Exchange
    from router.proxy.engine.local_target import LocalTarget
    from router.proxy.engine.pool import Pool
    from router.proxy.engine.upstream import Upstream
    from router.proxy.http1.response_head import ResponseHead
    from router.proxy.work.answer_watch import AnswerWatch
    from router.proxy.work.work_path import WorkPath

_CLAIMED: Final = at.L_CLAIMED
_BEGUN: Final = at.L_BEGUN
_LAST_BEGUN_NS: Final = at.L_LAST_BEGUN_NS
_FIRST_BYTE: Final = at.L_FIRST_BYTE
_OUTCOMES: Final = at.L_OUTCOMES
_DURATION: Final = at.L_DURATION
_MICROS_MAX: Final = MICROS_MAX
_FIRST_USEFUL: Final = at.L_FIRST_USEFUL
_ASKED: Final = at.B_ASKED
_ENDS: Final = at.B_ENDS
_LAST_USEFUL_NS: Final = at.B_LAST_USEFUL_NS
_LATE_FAULTS: Final = at.B_LATE_FAULTS
_TIMES: Final = at.B_TIMES
_NAMED_BUCKETS: Final = NAMED_BUCKETS
_USEFUL: Final = int(WorkEnd.USEFUL)
_OK: Final = int(Outcome.OK)
_REDIRECTIONS: Final = 300
_JSON: Final = fields.JSON
_ERROR_WITHIN_BYTES: Final = 256
"""A JSON answer whose first member is an error says so in its first bytes."""
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after:[ \t]*(\d{1,6})[ \t]*\r\n", re.IGNORECASE)
_NOT_LOST: Final = (WorkEnd.NEUTRAL, WorkEnd.GONE_EARLY)
"""Ends that say nothing about the version: no client is affected by it."""
_LENGTHS: Final = bytes(number.bit_length() for number in range(256))
_THROTTLED: Final = int(Outcome.THROTTLED)
"""Outcomes up to this number are those of a whole response without a fault: ok, client_error, throttled."""


class Attempt:
    """One attempt. `any_sent`: a byte of the request was written; `sent_s`: when its last byte was written.

    `work_row` is where its work is counted, `bucket` its number. `open`: it is neither useful nor ended, so its WorkEnd is still
    to be counted. `watch` reads the response, if its head does not tell whether it is useful.

    Times are monotonic seconds, 0 before the event.
    """

    def __init__(self, exchange: Exchange, target: LocalTarget, role: int) -> None:
        """Claim: choose `target` and count the attempt in flight, in one step. No await may stand between the two."""
        # Compiled, attributes have types, and the arguments of a constructor have none: a look-up in them costs 0.1 µs.
        self.exchange = exchange
        self.target = target
        self.context = self.exchange.context
        self.row = self.target.row
        self.context.words[self.row + _CLAIMED] += 1
        self.target.in_flight.add(exchange)
        if self.exchange.head.upgrade:
            self.target.upgrades += 1
        self.work: WorkPath = self.exchange.head.work  # type: ignore[assignment]  # an object to http1, which lies below
        self.work_row = self.row + self.work.offset
        self.bucket = self.work.bucket
        self.context.words[self.work_row + _ASKED] += 1
        self.open = True
        self.watch: AnswerWatch | None = None
        self.role = role
        self.generation = self.exchange.service.generation
        self.claimed_s = monotonic_s()
        self.sent_s = 0.0
        self.begun = False
        self.any_sent = False
        self.retrying = False
        self.overdue = False  # its wait was reported to the address
        self.refused = ""  # the cause for which its answer was refused (tap/refused_answers.py)
        self.pool: Pool | None = None
        self.spare: Pool | None = None  # the address to which a connection was begun before that to `pool`
        self.tried: tuple[Pool, ...] = ()

    def enter(self, pool: Pool) -> None:
        """Use this endpoint from now on."""
        pool.in_flight += 1
        pool.standing.enter()
        self.pool = pool
        self.tried = (*self.tried, pool) if self.tried else (pool,)
        self.any_sent = False

    def leave(self) -> None:
        """Stop using the endpoint."""
        if self.pool is not None:
            self.pool.in_flight -= 1
            if not self.any_sent:
                self.target.connecting.since.pop(self.exchange, None)
                self.pool.cancel_wait(self.exchange)
                if self.spare is not None:
                    self._drop(self.spare)
            self.pool = None

    def wait(self, pool: Pool) -> None:
        """Wait for a connection to this address; later for one to another address, too."""
        if len(self.target.pools) > 1:
            self.target.connecting.start(self.exchange, monotonic_s())
        pool.wait(self.exchange)

    def resolved(self) -> None:
        """Choose an address: the name of the endpoint was not resolved before."""
        self.leave()
        self.tried = self.tried[:-1]
        self.target.refresh_addresses()
        self.exchange.dispatch(self)

    def connect_slow(self) -> None:
        """Connect to another address as well: the connection takes long. The first one that is made is used."""
        now_s = monotonic_s()
        pool = self._second_address(now_s)
        if pool is not None and (upstream := pool.take(now_s)) is not None:
            self.exchange.connected(upstream)
        elif pool is not None:
            self.exchange.wait(pool)

    def _second_address(self, now_s: float) -> Pool | None:
        """Enter another address; None if there is none. A third one replaces the first."""
        context, slow = self.context, self.pool
        if slow is None or self.any_sent:
            return None
        slow.standing.back_off(now_s)
        pool = balancer.choose(self.target.pools, self.tried, now_s, context.random)
        if pool is None or pool.waiting >= context.options.connect_waits_max:
            return None
        if self.spare is not None:
            self._drop(self.spare)
        self.spare = slow
        self.enter(pool)
        return pool

    def connected(self, upstream: Upstream) -> None:
        """Keep the address of this connection; no longer wait for another one."""
        self.target.connecting.since.pop(self.exchange, None)
        if self.spare is not None and self.pool is not None:
            self._drop(self.pool if upstream.pool is self.spare else self.spare)

    def waits_elsewhere(self, failed: Pool) -> bool:
        """Return whether a connection to another address than `failed` is waited for."""
        if self.spare is None:
            return False
        self._drop(failed)
        return True

    def _drop(self, pool: Pool) -> None:
        """Of two addresses that are connected to, no longer wait for this one."""
        if self.pool is pool:
            self.pool = self.spare
        self.spare = None
        pool.in_flight -= 1
        pool.cancel_wait(self.exchange)

    def leave_failed(self, outcome: int) -> None:
        """Stop using the endpoint: it failed, and another one is tried."""
        pool = self.pool
        self.leave()
        self.refused = ""
        if pool is not None and outcome in FAULTS:
            self.target.pool_failed(pool, self.exchange, outcome, counted=False)

    def sent(self, now_s: float) -> None:
        """Start the wait for the first byte: the last byte of the request was written."""
        self.sent_s = now_s
        self.target.awaiting_first_byte.since[self.exchange] = now_s

    def answered(self, status: int, now_s: float) -> None:
        """End the wait for the first byte; a status below 500 counts as a response that has begun."""
        waited_since_s = self.target.awaiting_first_byte.since.pop(self.exchange, now_s)
        if status < 500:
            context, row = self.context, self.row
            self.begun = True
            context.words[row + _BEGUN] += 1
            context.words[row + _LAST_BEGUN_NS] = int(now_s * 1e9)
            count(context.words, row + _FIRST_BYTE, now_s - waited_since_s)

    def became_useful(self, now_s: float, waited_s: float) -> None:
        """Count that the attempt has brought a result, `waited_s` after its request was sent. At most once."""
        context, row = self.context, self.work_row
        self.open = False
        context.words[row + _ENDS + _USEFUL] += 1
        context.words[row + _LAST_USEFUL_NS] = int(now_s * 1e9)
        context.words[row + _TIMES + cell_of(waited_s)] += 1
        count(context.words, self.row + _FIRST_USEFUL, waited_s)
        if self.pool is not None:
            self.pool.standing.well(now_s)
        exchange = self.exchange
        self.target.affected.useful(self.bucket, exchange.downstream.client_print, exchange, now_s)
        if exchange.rescue is not None:
            exchange.rescue.end(_USEFUL)
        if self.work.bucket >= _NAMED_BUCKETS and now_s >= self.work.propose_after_s:
            exchange.service.work_paths.propose(self.work, now_s)

    def ended_work(self, end: int) -> None:
        """Count that the attempt ends without use. At most once."""
        self.open = False
        self.context.words[self.work_row + _ENDS + end] += 1
        if end not in _NOT_LOST:
            self.target.affected.lost(self.bucket, self.exchange)
        if self.exchange.rescue is not None:
            self.exchange.rescue.end(end)

    def _work_end(self, outcome: int) -> int:
        """Return what the attempt has come to, which was not useful so far, and ends with this outcome."""
        exchange, watch = self.exchange, self.watch
        if watch is not None and watch.end >= 0 and outcome == watch.outcome:
            return watch.end
        if outcome != Outcome.CLIENT_GONE:
            return work_ends.of_outcome(outcome, exchange.status, exchange.head.method)
        if not self.sent_s:
            return WorkEnd.NEUTRAL
        now_s = monotonic_s()
        if not exchange.moved or (watch is not None and watch.events):
            return work_ends.of_departure(now_s - self.sent_s, self.work.median_s)
        # In the middle of a body the client had only waited if the body stood still.
        silent_s = 0.0 if exchange.paused_at_s else now_s - exchange.last_byte_s
        return WorkEnd.GONE_LATE if silent_s >= self.work.median_s else WorkEnd.NEUTRAL

    # -- the content of the response
    def watch_response(self, head: ResponseHead, data: bytes, complete: bool, now_s: float) -> None:
        """Read the response from now on, if its head does not tell whether it is useful. `data` is the body so far."""
        exchange = self.exchange
        if head.kind == _JSON and head.status < _REDIRECTIONS:
            if not self.work.protocol or (complete and data and data.find(b'"error"', 0, _ERROR_WITHIN_BYTES) < 0):
                return
        self.watch = watch = answer_watch.watch(
            exchange.head, self.work, head, data, complete, exchange.service.options
        )
        if watch is not None and (watch.content or (data and watch.add(data))):
            self.content_came(now_s)

    def content_came(self, now_s: float) -> None:
        """Count the first content of a stream."""
        self.became_useful(now_s, now_s - self.sent_s if self.sent_s else 0.0)

    def whole_outcome(self) -> int:
        """Return the outcome of a whole response, from its status and what was read of it."""
        status, throttled = self.exchange.status, self.exchange.service.options.throttled_statuses
        outcome: int = Outcome.THROTTLED if status in throttled else of_status(status)
        return outcome if self.watch is None else self.watch.ended(outcome)

    def departure_outcome(self, wait_min_s: float) -> int:
        """Return the outcome of an attempt whose client leaves. A client that has read an error closes the connection."""
        if self.watch is not None and self.watch.check_tail():
            return self.watch.outcome
        self.gave_up(wait_min_s)
        return Outcome.CLIENT_GONE

    def gave_up(self, wait_min_s: float) -> None:
        """Count how long a client that left had waited for the first byte. Leaving is no fault, but a long wait is evidence of
        a hang. A client that left during its upload had not waited for the backend.
        """
        if self.waits:
            self.wait_too_long(self.work.median_s, monotonic_s())
        if self.begun or not self.sent_s:
            return
        waited_s = monotonic_s() - self.sent_s
        count(self.context.words, self.row + at.L_ABANDONED, waited_s)
        if waited_s >= wait_min_s:
            self.context.words[self.row + at.L_ABANDONED_LONG] += 1

    @property
    def waits(self) -> bool:
        """Whether nothing useful has come yet, and no body that may become useful moves."""
        return self.open and (not self.exchange.moved or (self.watch is not None and self.watch.events))

    def wait_too_long(self, limit_s: float, now_s: float) -> None:
        """Record at the address, once, that this attempt has waited for `limit_s` or longer."""
        if not self.overdue and self.pool is not None and self.sent_s and now_s - self.sent_s >= limit_s:
            self.overdue = True
            self.pool.standing.waited_too_long(now_s)

    def busy(self, head: bytes, now_s: float) -> None:
        """Record a 503 at the address; only one with Retry-After in seconds is a request to rest."""
        found = _RETRY_AFTER.search(head)
        if found is not None and self.pool is not None:
            self.pool.standing.busy(float(found[1]), now_s)

    def may_change_endpoint(self) -> bool:
        """Return whether another endpoint is left and the target's retry budget allows it."""
        return len(self.tried) < len(self.target.pools) and (self.retrying or self.target.may_retry())

    def retry(self) -> None:
        """Take from the target's retry budget, once. The request is sent again, so the waits start anew."""
        if not self.retrying:
            self.target.retrying += 1
            self.retrying = True
        self.any_sent = self.overdue = False
        self.sent_s = 0.0
        self.target.awaiting_first_byte.stop(self.exchange)

    def end(self, outcome: int, lasted_s: float) -> None:
        """Count the outcome. `lasted_s`: from the claim to the last byte, without the time in which a slow client paused it."""
        context, row, target = self.context, self.row, self.target
        target.in_flight.discard(self.exchange)
        if self.exchange.head.upgrade:
            target.upgrades -= 1
        if not self.begun:
            target.awaiting_first_byte.since.pop(self.exchange, None)
        context.words[row + _OUTCOMES + outcome] += 1
        if self.open:
            whole = outcome == _OK and self.exchange.status < _REDIRECTIONS and self.watch is None
            end = _USEFUL if whole else self._work_end(outcome)
            if end == _USEFUL:
                upload_s = self.sent_s - self.claimed_s if self.sent_s else 0.0
                self.became_useful(self.exchange.last_byte_s, lasted_s - upload_s)
            else:
                self.ended_work(end)
                if outcome <= _THROTTLED and self.pool is not None:
                    self.pool.standing.well(self.exchange.last_byte_s)
        elif outcome > _THROTTLED and outcome in FAULTS:
            context.words[self.work_row + _LATE_FAULTS] += 1
        if self.begun:
            # A stream that was cut must not count as a fast response, nor a WebSocket as a slow one.
            if outcome <= _THROTTLED and self.exchange.status != 101:
                count(context.words, row + _DURATION, lasted_s)
            elif outcome in FAULTS:
                self._failed(outcome)
        elif outcome in FAULTS:
            context.words[row + at.L_FAULTS_UNBEGUN] += 1
            if outcome == Outcome.TIMED_OUT and self.sent_s:
                count(context.words, row + at.L_ABANDONED, monotonic_s() - self.sent_s)
            self._failed(outcome)
        if self.retrying:
            target.retrying -= 1
        self.leave()
        del self.exchange  # a reference cycle would keep every exchange until the next garbage collection

    def _failed(self, outcome: int) -> None:
        if self.pool is not None:
            self.target.pool_failed(self.pool, self.exchange, outcome, counted=True)
        self.target.affected.fault(self.bucket, self.exchange)
        failures = self.exchange.service.failures
        if failures is not None:
            failures.attempt_failed(self.exchange, self, outcome)


def cell_of(waited_s: float) -> int:
    """Return rollout/work.py's cell of a duration; short ones without an object (0.3 µs)."""
    if waited_s < 0.01:
        if waited_s < 0.001:
            return 0
        return 1 if waited_s < 0.003 else 2
    if waited_s < 0.1:
        return 3 if waited_s < 0.03 else 4
    return bisect_right(TIME_BOUNDS_US, int(waited_s * 1e6))


def count(words: memoryview, histogram: int, seconds: float) -> None:
    """Count a duration; the arithmetic of rollout/stats/histogram.py, inlined (0.05 µs compiled)."""
    micros = int(seconds * 1e6)
    if micros < 8:
        words[histogram + (micros if micros > 0 else 0)] += 1
        return
    if micros > _MICROS_MAX:
        micros = _MICROS_MAX
    # `bit_length` would be the call of a method, compiled too (0.15 µs).
    if micros < 0x10000:
        length = _LENGTHS[micros] if micros < 0x100 else 8 + _LENGTHS[micros >> 8]
    else:
        length = 16 + _LENGTHS[micros >> 16] if micros < 0x1000000 else 24 + _LENGTHS[micros >> 24]
    words[histogram + ((length - 3) << 3) + (micros >> (length - 4) & 7)] += 1
