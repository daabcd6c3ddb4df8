"""Buffers a request and its response for the validators and for failure capture.

A service without validators and capture has no `ServiceTap`. Its requests cost one test of an attribute at each step, and
nothing is kept. An `ExchangeTap` holds no reference to its exchange: the exchange is an argument of each call, so that nothing
waits for the garbage collector.

A request whose body is checked is buffered until it is whole, before a target is claimed, so nothing of an invalid request
reaches a backend. The buffered bytes are bounded for each request (`request_bytes_max`) and for all (`request_bytes_held_max`);
beyond that a request goes on unchecked. Bodies that are kept while they pass are bounded for each, and for all by
KEPT_BYTES_MAX; beyond that the bodies of newer requests are not kept. For the sums each piece counts PIECE_BYTES more. The
client's deadlines apply meanwhile, and `Expect: 100-continue` is answered here, because no backend has the request yet.

A response is checked in the turn of the loop after its last byte was written, so that the client does not wait for the check.
The exchange ends with the result. If the client leaves in between, it has had the whole response, and the result counts.

Why: docs/decisions.md#answers-are-validated-after-they-were-sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from router.proxy.http1.fields import CHUNKED
from router.proxy.tap.body_buffer import PIECE_BYTES, BodyBuffer, dechunk
from router.proxy.tap.request_sampler import RequestSampler
from router.proxy.tap.tapped import TappedExchange
from router.proxy.tap.validation import CheckedPart, StreamCheck, Validation
from router.rollout.outcome import Outcome
from router.shm import layout as at

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.http1.response_head import ResponseHead
    from router.proxy.options import ServiceOptions

log = logging.getLogger(__name__)
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
KEPT_BYTES_MAX: Final = 64 << 20
"""Limit for all requests in flight of one service in one worker."""


class RequestStep(Enum):
    """What the exchange does with a request whose body is to be checked, if it is not a `RejectedRequest`."""

    CLAIM = "claim a target"
    BUFFER = "wait for more of the body"


@dataclass(frozen=True, slots=True)
class RejectedRequest:
    """The whole body is invalid: the exchange answers 422 with this detail."""

    detail: str


class ServiceTap:
    """The tap of one service in one worker. `buffered_bytes`: of requests that are not whole yet; `kept_bytes`: of bodies that
    are kept while they pass.
    """

    def __init__(
        self,
        context: WorkerContext,
        options: ServiceOptions,
        validation: Validation | None = None,
        sampler: RequestSampler | None = None,
    ) -> None:
        self.context = context
        self.options = options.tap
        self.validation = validation
        self.sampler = sampler
        self.buffered_bytes = 0
        self.kept_bytes = 0

    def begin(self, exchange: TappedExchange) -> ExchangeTap:
        """Return the tap of a starting exchange."""
        covered = self.validation is not None and self.validation.applies_to(exchange.head)
        sampled = covered and self.sampler is not None and self.sampler.is_due()
        return ExchangeTap(self, exchange, covered=covered, sampled=sampled)


class ExchangeTap:
    """The tap of one exchange. `buffering`: no target is claimed before the request is whole. `head` and `response` belong to the
    backend's response once it has begun; a local reply has none. `complaint`: why the response is invalid.
    """

    __slots__ = (
        "_buffered_bytes",
        "_checked",
        "_continued",
        "_covered",
        "_kept_bytes",
        "_sampled",
        "_stream",
        "_tap",
        "buffering",
        "complaint",
        "head",
        "request",
        "response",
    )

    def __init__(
        self, service_tap: ServiceTap, exchange: TappedExchange, *, covered: bool = False, sampled: bool = False
    ) -> None:
        self._tap = service_tap
        self._sampled = sampled
        self._covered = covered
        self._checked: CheckedPart | None = None
        self._stream: StreamCheck | None = None
        self._continued = False
        self._buffered_bytes = 0
        self._kept_bytes = 0
        self.buffering = False
        self.complaint: str | None = None
        self.head: ResponseHead | None = None
        self.response: BodyBuffer | None = None
        bytes_max = service_tap.options.request_bytes_max
        if sampled and service_tap.sampler is not None:
            bytes_max = max(bytes_max, service_tap.sampler.bytes_max)
        self.request = BodyBuffer(bytes_max, framed=exchange.head.length == CHUNKED)
        for piece in exchange.body or ():
            self.request.add(piece)
        self._count_kept()

    # -- the request
    def first_step(self, exchange: TappedExchange) -> RequestStep | RejectedRequest:
        """Decide about a request that begins."""
        validation = self._tap.validation
        if validation is None or not self._covered or not validation.request_is_checkable(exchange.head):
            return RequestStep.CLAIM
        head = exchange.head
        if head.expects_continue and head.http11 and not exchange.body_bytes and not exchange.body_complete:
            self._continued = True
            exchange.downstream.write(CONTINUE)
        return self.next_step(exchange)

    def next_step(self, exchange: TappedExchange) -> RequestStep | RejectedRequest:
        """Decide again: more of the body of a buffered request has arrived."""
        if exchange.body_complete:
            self._release()
            return self._checked_request(exchange)
        self.buffering = self._has_room(exchange)
        return RequestStep.BUFFER if self.buffering else RequestStep.CLAIM

    def received(self, data: bytes) -> None:
        """Keep more of the request's body."""
        self.request.add(data)
        self._count_kept()

    def _checked_request(self, exchange: TappedExchange) -> RequestStep | RejectedRequest:
        validation = self._tap.validation
        assert validation is not None
        found = validation.request(dechunk(b"".join(exchange.body or ()), framed=self.request.framed))
        if found is None:
            return RequestStep.CLAIM
        return RejectedRequest(f"the request is not what {validation.name} takes: {found}")

    def answers_continue(self, status: int) -> bool:
        """Return whether the tap has already sent this interim response, a 100."""
        return status == 100 and self._continued

    def _has_room(self, exchange: TappedExchange) -> bool:
        """Count the buffered bytes; if they exceed a limit, stop buffering and return False."""
        service_tap = self._tap
        assert service_tap.validation is not None
        options = service_tap.validation.options
        buffered_bytes = exchange.body_bytes + PIECE_BYTES * len(exchange.body or ())
        service_tap.buffered_bytes += buffered_bytes - self._buffered_bytes
        self._buffered_bytes = buffered_bytes
        if exchange.body_bytes > options.request_bytes_max:
            service_tap.validation.count("request", "unchecked_large")
        elif service_tap.buffered_bytes > options.request_bytes_held_max:
            service_tap.validation.count("request", "unchecked_full")
        else:
            return True
        self._release()
        return False

    def _release(self) -> None:
        self.buffering = False
        self._tap.buffered_bytes -= self._buffered_bytes
        self._buffered_bytes = 0

    def _count_kept(self) -> None:
        """Count the kept bytes; drop the bodies of this exchange if all together exceed KEPT_BYTES_MAX."""
        service_tap, response = self._tap, self.response
        kept_bytes = self.request.cost_bytes + (response.cost_bytes if response is not None else 0)
        if service_tap.kept_bytes + kept_bytes - self._kept_bytes > KEPT_BYTES_MAX:
            self.request.drop()
            if response is not None:
                response.drop()
            kept_bytes = 0
        service_tap.kept_bytes += kept_bytes - self._kept_bytes
        self._kept_bytes = kept_bytes

    # -- the response
    def response_started(self, exchange: TappedExchange, head: ResponseHead, data: bytes) -> None:
        """Take the final head, and the part of the body that arrived with it."""
        self.head = head
        framed = head.length == CHUNKED and exchange.head.http11
        validation, bytes_max = self._tap.validation, self._tap.options.response_bytes_max
        if self._covered and validation is not None and exchange.attempt is not None:
            self._checked = validation.checked_part(exchange.head, head, exchange.attempt.row)
            if self._checked == "stream":
                self._stream = validation.stream_check(exchange.head.path, framed=framed)
                if self._stream is None:
                    self._checked = None
            elif self._checked == "response":
                bytes_max = max(bytes_max, validation.options.response_bytes_max)
        self.response = BodyBuffer(bytes_max, framed=framed)
        self.response_data(data)

    def response_data(self, data: bytes) -> None:
        """Take more of the response's body, as the client gets it but without chunk framing of the router."""
        if self.response is not None:
            self.response.add(data)
            self._count_kept()
            if self._stream is not None:
                self._stream.feed(data)

    # -- the end
    def checks_response(self, exchange: TappedExchange, outcome: int) -> bool:
        """Return whether the exchange has to wait for `validate`: its response is whole, with this outcome so far."""
        if self._checked is None or outcome != Outcome.OK:
            return False
        if exchange.body_complete:
            return True
        assert self._tap.validation is not None
        self._tap.validation.count(self._checked, "unchecked_early")
        return False

    def validate(self, exchange: TappedExchange) -> Outcome:
        """Check a whole response; return the outcome of the exchange."""
        validation, attempt, response = self._tap.validation, exchange.attempt, self.response
        assert validation is not None
        assert attempt is not None
        assert response is not None
        if self._stream is not None:
            found = validation.stream_complaint(self._stream, attempt.row, attempt.target.version)
        else:
            found = validation.body_complaint(response.payload(), attempt.row, attempt.target.version)
        if response.bytes_kept > self._tap.options.response_bytes_max:
            response.drop()  # kept for the check alone; another setting permits to keep bodies longer
        if found is None:
            return Outcome.OK
        self.complaint = str(found)
        return Outcome.INVALID

    def ended(self, exchange: TappedExchange, outcome: Outcome) -> None:
        """Give back the buffers of an exchange that has ended."""
        self._release()
        self._tap.kept_bytes -= self._kept_bytes
        self._kept_bytes = 0
        if self._sampled and exchange.body_complete:
            self._sample()

    def _sample(self) -> None:
        sampler, body = self._tap.sampler, self.request.payload()
        if body is not None and sampler is not None and len(body) <= sampler.bytes_max:
            sampler.keep(body)
        if self.request.bytes_kept > self._tap.options.request_bytes_max:
            self.request.drop()  # kept for the sample alone, as above


def make_service_tap(context: WorkerContext, index: int, options: ServiceOptions) -> ServiceTap | None:
    """Return the tap of the service with this index; None if nothing of it is checked, kept or sampled."""
    row = context.segment.layout.worker_service(context.index, index)
    validation: Validation | None = None
    try:
        validation = Validation(context, options.name, row, options.validation)
    except ValueError as error:
        # The settings were valid when they were read: a library is missing in this installation.
        log.error("service=%s goes on without validators: %s", options.name, error)
        context.words[row + at.LS_VALIDATED + at.VALIDATED.index(("request", "fault"))] += 1
    sampler = RequestSampler(context, index, options.inputs) if options.inputs is not None and validation else None
    if validation is not None and not validation.wanted and sampler is None:
        validation = None
    kept = options.tap
    wanted = validation is not None or kept.request_bytes_max or kept.response_bytes_max
    return ServiceTap(context, options, validation, sampler) if wanted else None
