"""Who keeps a request and its response until they have ended, for those who ask what is in them: validators, captured cases.

A service that nobody asks about has no `ServiceTap`; then a request costs one test of an attribute at each step, and nothing is
kept. A witness never holds its exchange: each call brings it along, so that nothing waits for the garbage collector.

A request whose body is checked is held until it is whole, before it is claimed: nothing of it has reached a backend when it is
refused. What is held is bounded for each (`request_bytes_max`) and for all (`request_bytes_held_max`); beyond that it goes on
unchecked. What is kept while it passes is bounded for each, and for all by KEPT_BYTES_MAX; beyond that the bodies of newer ones
are not kept. For all, a piece that was read counts PIECE_BYTES more. The client's deadlines hold meanwhile, and
`Expect: 100-continue` is answered here, because nobody else can.

An answer is looked at in the turn of the loop after its last byte was written, so that the client does not wait for it; the
exchange ends with what was found. Whoever leaves in between has had a whole answer: that is the end that counts.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from router.proxy.http1.fields import CHUNKED
from router.proxy.tap.body_buffer import PIECE_BYTES, BodyBuffer, dechunk
from router.proxy.tap.request_sampler import RequestSampler
from router.proxy.tap.tapped import TappedExchange
from router.proxy.tap.validation import BodyCheck, StreamCheck, Validation
from router.rollout.outcome import Outcome
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.http1.response_head import ResponseHead
    from router.proxy.options import ServiceOptions

log = logging.getLogger(__name__)
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
KEPT_BYTES_MAX: Final = 64 << 20
"""Of one service in one worker, for all requests under way."""
LATER: Final = -1
"""Instead of an outcome: it is found in the next turn of the loop."""


class ServiceTap:
    """Of one service in one worker: what is kept, what is checked, of what control gets samples, and how many bytes are held
    until they are whole.
    """

    def __init__(
        self,
        context: WorkerContext,
        options: ServiceOptions,
        inspection: Validation | None = None,
        samples: RequestSampler | None = None,
    ) -> None:
        self.context = context
        self.options = options.tap
        self.validation = inspection
        self.samples = samples
        self.held_bytes = 0
        self.kept_bytes = 0

    def begin(self, exchange: TappedExchange) -> bool:
        """An exchange starts: give it a witness, and return whether it may be claimed now. If not, it is held, and starts
        again later, or was answered.
        """
        if exchange.tap is not None:
            return True
        inspection = self.validation
        covered = inspection is not None and inspection.applies_to(exchange.head)
        sampled = covered and self.samples is not None and self.samples.is_due()
        exchange.tap = witness = ExchangeTap(self, exchange, covered=covered, sampled=sampled)
        if inspection is None or not covered or not inspection.request_is_checkable(exchange.head):
            return True
        if exchange.body_complete:
            return not witness.reject_invalid(exchange)
        return not witness.buffer_request(exchange)


class ExchangeTap:
    """Of one exchange. `head` and `response` are those of the answer that the client gets, once it has begun; an answer
    of our own has none. `complaint`: why the answer is invalid. `pending`: the answer is whole and not yet looked at.
    """

    __slots__ = (
        *("_check", "_continued", "_held_bytes", "_holding", "_kept_bytes", "_sampled", "_tap"),
        *("complaint", "covered", "head", "validation_pending", "request", "response"),
    )

    def __init__(
        self, witnesses: ServiceTap, exchange: TappedExchange, *, covered: bool = False, sampled: bool = False
    ) -> None:
        self._tap = witnesses
        self._sampled = sampled
        self._check: StreamCheck | BodyCheck | None = None
        self._continued = False
        self._holding = False
        self._held_bytes = 0
        self._kept_bytes = 0
        self.covered = covered
        self.validation_pending = False
        self.complaint: str | None = None
        self.head: ResponseHead | None = None
        self.response: BodyBuffer | None = None
        bytes_max = witnesses.options.request_bytes_max
        if sampled and witnesses.samples is not None:
            bytes_max = max(bytes_max, witnesses.samples.bytes_max)
        self.request = BodyBuffer(bytes_max, framed=exchange.head.length == CHUNKED)
        for piece in exchange.body or ():
            self.request.add(piece)
        self._keep()

    # -- the request
    def buffer_request(self, exchange: TappedExchange) -> bool:
        """Keep the exchange from being claimed until its body is whole; return whether it is."""
        self._holding = True
        if exchange.head.expects_continue and exchange.head.http11 and not exchange.body_bytes:
            self._continued = True
            exchange.downstream.write(CONTINUE)
        return self._has_room(exchange)

    def received(self, exchange: TappedExchange, data: bytes) -> None:
        """More of the request's body, which the exchange has taken."""
        self.request.add(data)
        self._keep()
        if not self._holding:
            return
        if exchange.body_complete:
            self._release()
            if not self.reject_invalid(exchange):
                _go_on(exchange)
        elif not self._has_room(exchange):
            _go_on(exchange)

    def reject_invalid(self, exchange: TappedExchange) -> bool:
        """Return whether the whole body is not what the service takes; then it is answered so."""
        inspection = self._tap.validation
        assert inspection is not None
        found = inspection.request(dechunk(b"".join(exchange.body or ()), framed=self.request.framed))
        if found is None:
            return False
        detail = f"the request is not what {inspection.name} takes: {found}"
        exchange.answer(422, "request_invalid_schema", detail, Outcome.REFUSED)
        return True

    def answers_continue(self, status: int) -> bool:
        """Whether this interim response has been sent already: the client got its 100 from us."""
        return status == 100 and self._continued

    def _has_room(self, exchange: TappedExchange) -> bool:
        """Count what is held; return False, and hold no more, if that is too much."""
        witnesses = self._tap
        assert witnesses.validation is not None
        options = witnesses.validation.options
        held_bytes = exchange.body_bytes + PIECE_BYTES * len(exchange.body or ())
        witnesses.held_bytes += held_bytes - self._held_bytes
        self._held_bytes = held_bytes
        if exchange.body_bytes > options.request_bytes_max:
            witnesses.validation.count("request", "unchecked_large")
        elif witnesses.held_bytes > options.request_bytes_held_max:
            witnesses.validation.count("request", "unchecked_full")
        else:
            return True
        self._release()
        return False

    def _release(self) -> None:
        self._holding = False
        self._tap.held_bytes -= self._held_bytes
        self._held_bytes = 0

    def _keep(self) -> None:
        """Count what is kept; keep nothing of this one if that is too much for all."""
        witnesses, response = self._tap, self.response
        kept_bytes = self.request.cost_bytes + (response.cost_bytes if response is not None else 0)
        if witnesses.kept_bytes + kept_bytes - self._kept_bytes > KEPT_BYTES_MAX:
            self.request.drop()
            if response is not None:
                response.drop()
            kept_bytes = 0
        witnesses.kept_bytes += kept_bytes - self._kept_bytes
        self._kept_bytes = kept_bytes

    # -- the response
    def response_started(self, exchange: TappedExchange, head: ResponseHead, data: bytes) -> None:
        """The final head, and what came of the body with it."""
        self.head = head
        framed = head.length == CHUNKED and exchange.head.http11
        inspection, bytes_max = self._tap.validation, self._tap.options.response_bytes_max
        if self.covered and inspection is not None and exchange.attempt is not None:
            self._check = inspection.response_check(exchange.head, head, exchange.attempt.row, framed=framed)
            if self._check is not None and self._check.what == "response":
                bytes_max = max(bytes_max, inspection.options.response_bytes_max)
        self.response = BodyBuffer(bytes_max, framed=framed)
        self.response_data(data)

    def response_data(self, data: bytes) -> None:
        """More of the response's body, as it goes to the client but for chunks that are ours."""
        if self.response is not None:
            self.response.add(data)
            self._keep()
            if self._check is not None:
                self._check.feed(data)

    # -- the end
    def validated(self, exchange: TappedExchange, outcome: int) -> int:
        """The response is whole: return `outcome`, `invalid`, or LATER if it is to be asked again."""
        if self.validation_pending:
            return self.verdict(exchange)
        if self._check is None or outcome != Outcome.OK:
            return outcome
        if not exchange.body_complete:  # the request goes on arriving, and its client's end is still to be seen
            assert self._tap.validation is not None
            self._tap.validation.count(self._check.what, "unchecked_early")
            return outcome
        self.validation_pending = True
        exchange.service.idle.stop(exchange)
        self._tap.context.loop.call_soon(_settle, exchange)
        return LATER

    def verdict(self, exchange: TappedExchange) -> int:
        """Look at a whole answer that is pending; return how the exchange ended."""
        self.validation_pending = False
        inspection, check, attempt, response = self._tap.validation, self._check, exchange.attempt, self.response
        assert inspection is not None
        assert check is not None
        assert attempt is not None
        assert response is not None
        found = inspection.answer(check, response.payload(), attempt.row, attempt.target.version)
        if response.bytes_kept > self._tap.options.response_bytes_max:
            response.drop()  # kept for the check alone: whether bodies may be kept longer is another setting
        if found is None:
            return Outcome.OK
        self.complaint = str(found)
        return Outcome.INVALID

    def ended(self, exchange: TappedExchange, outcome: Outcome) -> None:
        """The exchange has ended and is counted."""
        self._release()
        self._tap.kept_bytes -= self._kept_bytes
        self._kept_bytes = 0
        if self._sampled and exchange.body_complete:
            self._sample()

    def _sample(self) -> None:
        samples, body = self._tap.samples, self.request.payload()
        if body is not None and samples is not None and len(body) <= samples.bytes_max:
            samples.keep(body)
        if self.request.bytes_kept > self._tap.options.request_bytes_max:
            self.request.drop()  # kept for this alone, as above


def _go_on(exchange: TappedExchange) -> None:
    """What was held starts, with what has come of it."""
    exchange.start(b"".join(exchange.body or ()), exchange.body_complete)


def _settle(exchange: TappedExchange) -> None:
    if not exchange.ended:
        exchange.completed()


def witnesses_of(context: WorkerContext, index: int, options: ServiceOptions) -> ServiceTap | None:
    """Return the witnesses of the service with this index in the wall; None if nobody asks for any."""
    row = context.segment.layout.worker_service(context.index, index)
    inspection: Validation | None = None
    try:
        inspection = Validation(context, options.name, row, options.validation)
    except ValueError as error:  # the settings were good when they were read: an installation that has lost a library
        log.error("service=%s goes on without validators: %s", options.name, error)
        context.words[row + at.LS_VALIDATED + at.VALIDATED.index(("request", "fault"))] += 1
    samples = RequestSampler(context, index, options.inputs) if options.inputs is not None and inspection else None
    if inspection is not None and not inspection.wanted and samples is None:
        inspection = None
    kept = options.tap
    wanted = inspection is not None or kept.request_bytes_max or kept.response_bytes_max
    return ServiceTap(context, options, inspection, samples) if wanted else None
