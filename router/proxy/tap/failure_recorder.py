"""Records failed requests in this worker's ring of shared memory, for control to read.

Only attempts that end with a fault call the recorder. It keeps BURST of them at once and then RATE_PER_S a second and service,
so an outage of a thousand errors a second costs a comparison each. A request that goes on elsewhere is recorded when it has
ended, with the response of the other version.

A record is one line of JSON, then the bytes of the request's body and of the response's body, if they were kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from router.proxy.tap.body_buffer import BodyBuffer
from router.proxy.tap.tapped import TappedAttempt, TappedExchange
from router.rollout.cases.body_fields import FIELDS_MAX, LISTS, is_body_field
from router.rollout.outcome import FAULTS, Outcome
from router.runtime import clock
from router.shm import layout as at
from router.shm.capture_ring import CaptureRing

if TYPE_CHECKING:
    from router.proxy.context import WorkerContext
    from router.proxy.options import ServiceOptions, TapOptions

BURST: Final = 50
RATE_PER_S: Final = 10.0
TARGET_BYTES_MAX: Final = 8192
FIELD_BYTES_MAX: Final = 1024
_WHOLE: Final = (Outcome.OK, Outcome.CLIENT_ERROR, Outcome.THROTTLED, Outcome.SERVER_ERROR, Outcome.INVALID)


class FailureRecorder:
    """The recorder of the service with this index, in one worker."""

    def __init__(self, context: WorkerContext, index: int, headers: frozenset[bytes], bodies: TapOptions) -> None:
        self._ring = CaptureRing(context.segment, context.index, at.CAPTURE_FAILURES)
        self._index = index
        self._headers = headers
        self._bodies = bodies
        self._tokens = float(BURST)
        self._counted_s = 0.0

    def attempt_failed(self, exchange: TappedExchange, attempt: TappedAttempt, outcome: int) -> None:
        """Record an attempt that ends with a fault of its target. To be called before the attempt leaves its endpoint."""
        if exchange.failed is None:
            if not self._admits(clock.now_s()):
                return
            exchange.failed = []
        exchange.failed.append(_attempt(attempt, Outcome(outcome), exchange.status))

    def _admits(self, now_s: float) -> bool:
        """Return whether one more may be kept now, and count it."""
        self._tokens = min(float(BURST), self._tokens + (now_s - self._counted_s) * RATE_PER_S)
        self._counted_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def ended(self, exchange: TappedExchange, outcome: int) -> None:
        """Write the record of an exchange with a failed attempt; the exchange has ended."""
        document, request, response = self._document(exchange, Outcome(outcome))
        self.keep(document, request, response)

    def keep(self, document: dict[str, Any], request: bytes, response: bytes) -> None:
        """Write one record. If it does not fit, leave out the response's body, then the request's."""
        for bodies in ((request, response), (request, b""), (b"", b"")):
            document["request_kept"], document["response_kept"] = (len(body) for body in bodies)
            record = b"%b\n%b%b" % (orjson.dumps(document), *bodies)
            if self._ring.write(clock.now_ns(), self._index, record):
                return

    def _document(self, exchange: TappedExchange, outcome: Outcome) -> tuple[dict[str, Any], bytes, bytes]:
        head, attempt, failed, tap = exchange.head, exchange.attempt, exchange.failed, exchange.tap
        request = response = None
        headers, headers_whole = self._kept_headers(head.upstream)
        fields: dict[str, str] = {}
        if tap is not None:
            request = _payload(tap.request, self._bodies.request_bytes_max) if exchange.body_complete else None
            if tap.head is not None and tap.response is not None:
                fields, readable = self._kept_headers(tap.head.downstream)
                if outcome in _WHOLE and readable:
                    response = _payload(tap.response, self._bodies.response_bytes_max)
        elif head.length == 0:
            request = b""
        assert failed is not None
        rescued = attempt is not None and attempt.target.slot not in [one["slot"] for one in failed]
        document = {
            "method": head.method.decode("latin-1"),
            "target": head.target[:TARGET_BYTES_MAX].decode("latin-1"),
            "target_whole": len(head.target) <= TARGET_BYTES_MAX,
            "headers": headers,
            "headers_whole": headers_whole,
            "request_id": exchange.request_id.decode("latin-1"),
            "fingerprint": f"{exchange.request_print:016x}",
            "client": f"{exchange.downstream.client_print:016x}",
            "request_bytes": len(request) if request is not None else head.length if head.length >= 0 else None,
            "request_whole": request is not None,
            "outcome": outcome.label,
            "attempts": failed,
            "rescue": _attempt(attempt, outcome, exchange.status) if attempt is not None and rescued else None,
            "response_headers": fields,
            "response_whole": response is not None,
            "complaint": tap.complaint if tap is not None else None,
        }
        return document, request or b"", response or b""

    def _kept_headers(self, head: bytes) -> tuple[dict[str, str], bool]:
        """Return the fields of a head that may be kept, by name in lower case, and whether a body can be read with them.

        Fields without which a body cannot be read are always kept. Of other repeated fields the first is kept.
        """
        found: dict[str, str] = {}
        whole, left = True, FIELDS_MAX
        for line in head.split(b"\r\n")[1:]:
            written, _, content = line.partition(b":")
            lower = written.lower()
            name = lower.decode("latin-1")
            if is_body_field(name):
                value, sound = _value(content)
                if name in found and (name in LISTS or found[name] != value):
                    value, sound = f"{found[name]}, {value}", sound and name in LISTS
                left -= 1
                whole = whole and sound and left >= 0
                if left >= 0:
                    found[name] = value
            elif lower == b"trailer":  # trailers are not captured
                whole = False
            elif lower in self._headers:
                found.setdefault(name, _value(content)[0])
        return found, whole


def _value(content: bytes) -> tuple[str, bool]:
    """Return the value of a field, cut if it is too long, and whether it is sent again as it came: whole, and UTF-8."""
    sound, value = len(content) <= FIELD_BYTES_MAX, content[:FIELD_BYTES_MAX].strip()
    try:
        return value.decode(), sound
    except UnicodeDecodeError:
        return value.decode("latin-1"), False


def make_failure_recorder(context: WorkerContext, index: int, options: ServiceOptions) -> FailureRecorder | None:
    """Return the recorder of a service; None if its failed requests are not kept."""
    headers = options.captured_headers
    return None if headers is None else FailureRecorder(context, index, headers, options.tap)


def _attempt(attempt: TappedAttempt, outcome: Outcome, status: int) -> dict[str, Any]:
    pool = attempt.pool or (attempt.tried[-1] if attempt.tried else None)
    return {
        "version": attempt.target.version,
        "slot": attempt.target.slot,
        "generation": attempt.generation,
        "endpoint": pool.endpoint.url if pool is not None else None,
        "outcome": outcome.label,
        "fault": outcome in FAULTS,
        "refused": attempt.refused or None,
        "status": status if attempt.begun or outcome is Outcome.SERVER_ERROR else None,
        "lasted_ms": round((clock.now_s() - attempt.claimed_s) * 1000, 3),
    }


def _payload(kept: BodyBuffer, bytes_max: int) -> bytes | None:
    """Return a body; None if it was too large, or was kept for the validators alone."""
    return None if kept.too_large or kept.bytes_kept > bytes_max else kept.payload()
