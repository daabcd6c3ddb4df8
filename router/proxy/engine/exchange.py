"""One client request and its response: claims a target, relays, and records exactly one outcome (rollout/outcome.py).

    claimed ─► connected ─► request sent (waits for the first byte) ─► answered ─► ended
       └────────── failed before its first response byte: another endpoint, then another target, or a 502 or 504

After the first byte towards the client an error can only be shown by closing: no second response is written into a started one,
and a body that was cut gets no last chunk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from router.proxy.affected import fingerprints
from router.proxy.engine import closing, failover, flow_control, holding
from router.proxy.engine.attempt import Attempt
from router.proxy.engine.local_service import LocalService
from router.proxy.engine.local_target import LocalTarget
from router.proxy.http1 import replies, response_framing
from router.proxy.http1.fields import EVENT_STREAM
from router.proxy.http1.request_head import RequestHead
from router.proxy.http1.response_head import ResponseHead
from router.proxy.routing import balancer, request_limit
from router.proxy.routing.request_limit import RequestLimit
from router.proxy.tap import access_log
from router.proxy.tap.body_buffer import PIECE_BYTES
from router.proxy.tap.tap import RejectedRequest, RequestStep
from router.proxy.work import event_stream
from router.rollout.outcome import Outcome
from router.runtime.clock import now_s as monotonic_s
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.engine.downstream import Downstream
    from router.proxy.engine.pool import Pool
    from router.proxy.engine.upstream import Upstream
    from router.proxy.rescue.held_answer import HeldAnswer
    from router.proxy.rescue.rescue import Rescue
    from router.proxy.tap.tap import ExchangeTap

_OK: Final = Outcome.OK
_SERVICE_UNAVAILABLE: Final = 503
_ACTIVE: Final = at.ROLE_ACTIVE
_GAP_MAX_US: Final = at.L_GAP_MAX_US
_EXCHANGES: Final = at.L_EXCHANGES
_OUTCOME_COUNT: Final = at.OUTCOME_COUNT
_FAILED: Final = 500
_KEEP_ALIVE_BYTES_MAX: Final = 256
_EVENT_STREAM: Final = EVENT_STREAM
_SAMPLE_BYTES: Final = fingerprints.SAMPLE_BYTES
_REFERENCE_BYTES_MAX: Final = fingerprints.REFERENCE_BYTES_MAX


class Exchange:
    """One request, from its complete head to the end of its response. `body` holds the request bytes that may still be needed:
    all of them until there is a connection, afterwards only if the service's replay rule may send them again.
    """

    def __init__(
        self,
        context: WorkerContext,
        service: LocalService,
        downstream: Downstream,
        head: RequestHead,
        request_id: bytes,
    ) -> None:
        self.context = context
        self.service = service
        self.downstream = downstream
        self.head = head
        self.request_id = request_id
        self.attempt: Attempt | None = None  # the present attempt, or the last one
        self.upstream: Upstream | None = None
        self.tries = 0  # endpoints that were tried, of all versions
        self.tried_targets: tuple[LocalTarget, ...] = ()
        self.held: HeldAnswer | None = None  # a failed answer that is held back (holding.py)
        self.rescue: Rescue | None = None
        self.request_print = 0  # made from the head and the two samples of the body (affected/)
        self.first_bytes = self.last_bytes = b""
        self.body: list[bytes] | None = None
        self.body_bytes = 0
        self.body_complete = False
        self.request_sent = False
        self.answered = False
        self.moved = False  # more than white space of the response's body was relayed before its end
        self.awaiting_validation = False  # the response is written, and checked in the next turn of the loop
        self.ended = False
        self.status = 0
        self.rechunking = False  # the backend ends the body by closing, so it is relayed in chunks
        self.close_after = False
        self.tap: ExchangeTap | None = None
        # records of failed attempts, if they are kept (failure_recorder.py)
        self.failed: list[dict[str, Any]] | None = None
        self.trace_notes: Any = None  # notes for spans, if they are made (tracing.py)
        self.last_byte_s = 0.0
        self.paused_at_s = 0.0
        self.paused_s = 0.0

    def __repr__(self) -> str:
        version = self.attempt.target.version if self.attempt else None
        return f"<Exchange {self.head.method!r} {self.head.path!r} on {version}: {self.status}, ended {self.ended}>"

    # ------------------------------------------------------------------ the request
    def start(self, body: bytes, complete: bool) -> None:
        """Claim the active target and send. `body`: the part that has arrived; `complete`: it is the whole body.

        Called again for a request that the tap has buffered.
        """
        service = self.service
        self.body_complete = complete
        self.body = [body] if body else []
        self.body_bytes = size = len(body)
        self.first_bytes = self.last_bytes = body
        if size > _REFERENCE_BYTES_MAX:
            self.first_bytes, self.last_bytes = body[:_SAMPLE_BYTES], body[-_SAMPLE_BYTES:]
        if service.tap is not None and self.tap is None:
            self.tap = tap = service.tap.begin(self)
            if not self._may_claim(tap.first_step(self)):
                return
        if self.context.words[service.word_at] != service.word:
            service.refresh()
        active = service.active
        if active is None:
            self.answer(503, "no_route", f"service {service.options.name} has no active version", Outcome.REFUSED)
            return
        limit = None
        if len(active.in_flight) >= active.quota or self.head.upgrade:
            limit = service.concurrency.exceeded_limit(self, active)
        if limit is None:
            self.claim(active, _ACTIVE)
        else:
            self.reject_overloaded(active, limit)

    def _may_claim(self, step: RequestStep | RejectedRequest) -> bool:
        """Act on what the tap has decided about the request; return whether a target may be claimed now."""
        if isinstance(step, RejectedRequest):
            self.answer(422, "request_invalid_schema", step.detail, Outcome.REFUSED)
        return step is RequestStep.CLAIM

    def claim(self, target: LocalTarget, role: int) -> None:
        """Choose `target` and count this exchange there, in one step; then send."""
        self.attempt = attempt = Attempt(self, target, role)
        self.dispatch(attempt)

    def reject_overloaded(self, target: LocalTarget, limit: RequestLimit) -> None:
        """Answer 503 or 429 because of `limit`, with a Retry-After."""
        self.context.count_limit(limit.counter)
        if limit is request_limit.IN_FLIGHT:  # claim, and end at once: the refusal is counted at the version
            self.attempt = Attempt(self, target, _ACTIVE)
            self.reject_saturated(limit.detail)
        else:
            self.answer(limit.status, limit.code, limit.detail, Outcome.REFUSED)

    def reject_saturated(self, detail: str) -> None:
        """End the claim and answer 503: the target is at a limit."""
        self.end_attempt(Outcome.SATURATED)
        if self.held is None or not holding.fall_back(self):
            self.answer(503, "saturated", detail, Outcome.SATURATED)

    def dispatch(self, attempt: Attempt) -> None:
        """Send to an endpoint of the claimed target: over an idle connection now, or over a new one soon."""
        self.tries += 1
        pools = attempt.target.pools
        now_s = monotonic_s() if attempt.tried else attempt.claimed_s
        alone = len(pools) == 1 and not attempt.tried
        pool = pools[0] if alone else balancer.choose(pools, attempt.tried, now_s, self.context.random)
        if pool is None:
            self.reject_saturated("every endpoint of the version in service was tried")
            return
        attempt.enter(pool)
        upstream = pool.take(now_s)
        if upstream is not None:
            self._send(attempt, upstream, now_s)
        elif pool.waiting >= self.context.options.connect_waits_max:
            self.context.count_limit(at.LIMITED_CONNECT_WAITS)
            self.reject_saturated("too many requests wait for a connection to the version in service")
        else:
            self.wait(pool)

    def wait(self, pool: Pool) -> None:
        """Wait for a connection."""
        assert self.attempt is not None
        self.attempt.wait(pool)
        if not self.body_complete:
            flow_control.pause_body(self.downstream)

    def connected(self, upstream: Upstream) -> None:
        """Send over the connection that this exchange waited for."""
        assert self.attempt is not None
        self.attempt.connected(upstream)
        self._send(self.attempt, upstream, monotonic_s())

    def _send(self, attempt: Attempt, upstream: Upstream, now_s: float) -> None:
        """Send the head and the part of the body that has arrived in one write."""
        self.upstream = upstream
        upstream.exchange = self
        attempt.any_sent = True
        head, target = self.head, attempt.target
        text = head.upstream if head.host and target.rewrite is None else target.head_text(head, upstream)
        if head.request_id is None:
            pieces = [text, self.downstream.forwarded, b"X-Request-ID: ", self.request_id, b"\r\n\r\n"]
        else:
            pieces = [text, self.downstream.forwarded, b"\r\n"]
        if self.body is not None:
            pieces += self.body
            if self.service.never_resends or not failover.replay_allowed(self):
                self.body = None
        upstream.send(b"".join(pieces))
        if self.body_complete:
            self._sent(attempt, now_s)
        else:
            flow_control.resume_body(self.downstream)

    def receive_body(self, data: bytes, complete: bool) -> None:
        """Relay more of the request's body; `complete` comes with its last bytes."""
        self.body_complete = complete
        if len(self.first_bytes) < _SAMPLE_BYTES:
            self.first_bytes = fingerprints.extend_first(self.first_bytes, data)
        self.last_bytes = fingerprints.extend_last(self.last_bytes, data)
        if self.body is not None and data:
            self.body.append(data)
            self.body_bytes += len(data)
            kept_bytes = self.body_bytes + PIECE_BYTES * len(self.body)
            if self.upstream is not None and kept_bytes > self.context.options.replay_bytes_max:
                self.body = None
        if self.upstream is not None and self.attempt is not None:
            if data:
                self.upstream.send(data)
            if complete:
                self._sent(self.attempt, monotonic_s())
        if (tap := self.tap) is not None:
            tap.received(data)
            if tap.buffering and self._may_claim(tap.next_step(self)):
                self.start(b"".join(self.body or ()), self.body_complete)

    def _sent(self, attempt: Attempt, now_s: float) -> None:
        self.request_sent = True
        if not self.answered:
            self.service.idle.since.pop(self, None)
            attempt.sent(now_s)

    # ------------------------------------------------------------------ the response
    def interim(self, status: int, raw: bytes) -> None:
        """Relay a 1xx response to a client of HTTP/1.1; a 100 only if the client expects it (RFC 9110 §15.2)."""
        if self.tap is not None and self.tap.answers_continue(status):
            return
        if self.head.http11 and not self.answered and (status != 100 or self.head.expects_continue):
            self.downstream.write(raw)

    def respond(self, head: ResponseHead, data: bytes, complete: bool) -> None:
        """Relay the final head, with the whole body if `complete`."""
        attempt = self.attempt
        assert attempt is not None
        now_s = monotonic_s()
        self.status = head.status
        attempt.answered(head.status, now_s)
        if head.status == 503:
            attempt.busy(head.downstream, now_s)
        if head.status >= _FAILED or self.held is not None or head.kind == _EVENT_STREAM:
            if holding.holds(self, head, data, complete):
                return
        self.deliver(head, data, complete, now_s)

    def deliver(self, head: ResponseHead, data: bytes, complete: bool, now_s: float) -> None:
        """Write the head and what there is of the body."""
        attempt = self.attempt
        assert attempt is not None
        self.answered = True
        self.last_byte_s = now_s
        if not complete:
            self.service.idle.start(self, now_s)
        request, downstream = self.head, self.downstream
        named = attempt.target.served_version if self.service.names_version else b""
        if head.has_request_id:
            pieces = [head.downstream, named, b"\r\n", data]
        else:
            pieces = [head.downstream, named, b"X-Request-ID: ", self.request_id, b"\r\n", b"\r\n", data]
        if not (complete and request.http11 and request.keep_alive and self.body_complete) or downstream.closing:
            close = self.close_after or not self.body_complete or downstream.closing
            self.rechunking, self.close_after = response_framing.adapt(
                request, head, pieces, complete=complete, close=close
            )
        downstream.write(b"".join(pieces))
        if (head.kind or head.status == _SERVICE_UNAVAILABLE or (complete and not data)) and attempt.open:
            attempt.watch_response(head, data, complete, now_s)
        if self.tap is not None:
            self.tap.response_started(self, head, data)

    def relay(self, data: bytes) -> None:
        """Relay more of the response's body."""
        if self.held is not None and holding.keeps(self, data):
            return
        attempt = self.attempt
        assert attempt is not None
        now_s = monotonic_s()
        if not self.paused_at_s:
            gap_us = int((now_s - self.last_byte_s) * 1e6)
            context, gap_at = self.context, attempt.row + _GAP_MAX_US
            if gap_us > context.words[gap_at]:
                context.words[gap_at] = gap_us
            self.service.idle.start(self, now_s)
        self.last_byte_s = now_s
        if not self.moved:  # comments and white space keep a connection open while an engine is dead
            self.moved = len(data) > _KEEP_ALIVE_BYTES_MAX or event_stream.moves(data, framed=True)
        self.downstream.write(b"%x\r\n%b\r\n" % (len(data), data) if self.rechunking else data)
        if attempt.watch is not None and attempt.watch.add(data):
            attempt.content_came(now_s)
        if self.tap is not None:
            self.tap.response_data(data)

    def relay_last(self, data: bytes) -> None:
        """Relay the last of the response's body; may be empty."""
        if self.held is not None and holding.keeps(self, data):
            return
        self.last_byte_s = now_s = monotonic_s()
        attempt = self.attempt
        assert attempt is not None
        if attempt.watch is not None and attempt.watch.add(data):
            attempt.content_came(now_s)
        if self.tap is not None:
            self.tap.response_data(data)
        if self.rechunking:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else replies.LAST_CHUNK
        if data:
            self.downstream.write(data)

    def completed(self) -> None:
        """End, or wait until the response is checked: it is whole."""
        self.upstream = None
        if self.held is not None:
            holding.ask_elsewhere(self)
            return
        attempt = self.attempt
        assert attempt is not None
        outcome: int = _OK if self.status < 400 and attempt.watch is None else attempt.whole_outcome()
        if self.tap is not None and self.tap.checks_response(self, outcome):
            self.awaiting_validation = True
            self.service.idle.stop(self)
            self.context.loop.call_soon(self.validate)
            return
        self.finish(outcome)

    def finish(self, outcome: int) -> None:
        """End with this outcome: the response is written."""
        self.end_attempt(outcome)
        self._end(outcome)
        self.downstream.exchange_ended(self.close_after)

    def validate(self) -> None:
        """End with the result of the check, unless the client has left before its turn."""
        if self.awaiting_validation:
            self.finish(self._validated())

    def _validated(self) -> int:
        """Check the response; return the outcome."""
        self.awaiting_validation = False
        assert self.tap is not None
        return self.tap.validate(self)

    # ------------------------------------------------------------------ failures
    def connect_failed(self, error: OSError, *, ours: bool) -> None:
        """Fail the attempt: there is no connection to this address, and nothing was sent. `ours`: the router lacks resources."""
        status = 504 if isinstance(error, TimeoutError) else 502
        outcome = Outcome.ROUTER_FAULT if ours else Outcome.CONNECT_FAILED
        self._fail(outcome, status, "connect_failed", f"no connection to the backend: {error}")

    def lost(self, detail: str, *, stale: bool) -> None:
        """Fail the attempt: its connection ended before the response was whole; `stale`: a reused one, without a byte."""
        self.upstream = None
        if stale and self.attempt is not None:
            self.context.words[self.attempt.row + at.L_STALE_CONNECTION] += 1
        self._fail(Outcome.TRUNCATED, 502, "upstream_broken", detail, stale=stale)

    def first_byte_late(self) -> None:
        """Fail the attempt: no first byte within `first_byte_timeout_s`."""
        limit = self.service.options.first_byte_timeout_s
        self._fail(Outcome.TIMED_OUT, 504, "upstream_timeout", f"no first byte within {limit} s", endpoints=False)

    def idle_too_long(self) -> None:
        """Fail the attempt: for `idle_timeout_s` the backend sent nothing of its response, or took nothing of the request."""
        limit = self.service.options.idle_timeout_s
        self._fail(Outcome.TIMED_OUT, 504, "upstream_timeout", f"silent for {limit} s", endpoints=False)

    def redispatch(self) -> None:
        """Move to the active version, because this one was rolled back; before its response, if the replay rule allows."""
        if not self.answered and not self.ended and not holding.pending(self) and failover.may_resend(self):
            detail = "the version was rolled back while this request waited"
            self._fail(Outcome.TIMED_OUT, 503, "rolled_back", detail, endpoints=False)

    def cut(self) -> None:
        """End now, because of a drain limit, a shutdown, or `retire --cut`."""
        if self.awaiting_validation:
            self.validate()
            return
        self.drop_upstream()
        self.end_attempt(Outcome.CUT)
        self.answer(503, "draining", "the request was ended by a drain", Outcome.CUT)

    def end_for_other_clients(self) -> None:
        """End, because other clients are refused, and this one has more than its share: cut, or 429 before the response."""
        if self.answered:
            self.cut()
            return
        if self.attempt is not None:
            self.attempt.gave_up(self.service.options.hang_wait_min_s)
        detail = (
            "other clients were refused, and this request was among the oldest of a client with more than its share"
        )
        self.request_aborted(429, "client_share", detail)

    def client_gone(self) -> None:
        """End: the client left. The backend connection is closed."""
        if self.ended:
            return
        outcome: int = Outcome.CLIENT_GONE
        if self.awaiting_validation:
            outcome = self._validated()
        elif self.attempt is not None and self in self.attempt.target.in_flight:
            outcome = self.attempt.departure_outcome(self.service.options.hang_wait_min_s)
        self.drop_upstream()
        self.end_attempt(outcome)
        self._end(outcome)

    def request_aborted(self, status: int, code: str, detail: str) -> None:
        """End: the rest of the request is malformed, too large or too slow. The part that was sent is cut, not completed."""
        self.drop_upstream()
        self.end_attempt(Outcome.CLIENT_GONE)
        self.answer(status, code, detail, Outcome.REFUSED)

    def _fail(
        self, outcome: Outcome, status: int, code: str, detail: str, *, endpoints: bool = True, stale: bool = False
    ) -> None:
        """Try elsewhere if the response has not begun and the rules allow it; else end."""
        self.drop_upstream()
        if self.ended:
            return
        if self.answered:
            self.end_attempt(outcome)
            self._end(outcome)
            closing.abort_response(self.downstream, reset=self.close_after)
            return
        if not failover.try_elsewhere(self, outcome, endpoints=endpoints, stale=stale):
            self.end_attempt(outcome)
            if self.held is None or not holding.fall_back(self):
                self.answer(status, code, detail, outcome)

    # ------------------------------------------------------------------ the end
    def drop_upstream(self) -> None:
        """Close the backend connection."""
        if self.upstream is not None:
            self.upstream.abort()
            self.upstream = None

    def end_attempt(self, outcome: int) -> None:
        """Count the outcome of the attempt, once."""
        attempt = self.attempt
        if attempt is None or self not in attempt.target.in_flight:
            return
        self.service.idle.since.pop(self, None)
        paused_s = self.paused_s + (self.last_byte_s - self.paused_at_s if self.paused_at_s else 0.0)
        attempt.end(outcome, self.last_byte_s - attempt.claimed_s - paused_s)
        if self.context.tracer is not None:
            self.context.tracer.attempt_ended(self, attempt, outcome)

    def _end(self, outcome: int) -> None:
        """Count the outcome of the exchange, once: at its last target, or at the service if it had none."""
        if self.ended:
            return
        self.ended = True
        context, attempt = self.context, self.attempt
        if attempt is None:
            context.words[self.service.row + at.LS_ENDED + outcome] += 1
        else:
            context.words[attempt.row + _EXCHANGES + attempt.role * _OUTCOME_COUNT + outcome] += 1
        self.body = None
        if self.held is not None:
            holding.drop(self)
        if self.tap is not None:
            self.tap.ended(self, Outcome(outcome))
        if self.failed is not None and self.service.failures is not None:
            self.service.failures.ended(self, outcome)
        if context.tracer is not None:
            context.tracer.exchange_ended(self, self.service.options.name, outcome)
        if context.options.access_log:
            access_log.exchange_ended(self, self.downstream, self.service.options.name, Outcome(outcome))

    def answer(self, status: int, code: str, detail: str, outcome: Outcome) -> None:
        """End with a local reply, or by closing if a response has begun."""
        if self.ended:
            return
        if self.answered:
            self._end(outcome)
            closing.abort_response(self.downstream, reset=self.close_after)
            return
        self.status = status
        close = not self.head.keep_alive or not self.body_complete or self.downstream.closing
        self.downstream.write(replies.answer(self.head, self.request_id, status, code, detail, close=close))
        self._end(outcome)  # after the write, so that the access log has the size of the response
        self.downstream.exchange_ended(close)
