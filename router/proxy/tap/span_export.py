"""Makes spans of noted exchanges (tracing.py) and sends them by OTLP over HTTP, in a thread of each worker.

The thread alone imports OpenTelemetry (the extra `otel`). The event loop only queues a note; if `queue_max` of them wait, because
the receiver is slow or away, further ones are dropped and counted.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from router import __version__
from router.proxy.options import TracingOptions
from router.proxy.tap.tracing import ExchangeNote, Tracer
from router.runtime import clock
from router.runtime.logs import LogThrottle

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)
COLLECT_S: Final = 1.0
"""How long spans are collected before they are sent."""
BATCH_MAX: Final = 512
EXPORT_TIMEOUT_S: Final = 5.0
CLOSE_S: Final = 2.0
WARN_EVERY_S: Final = 60.0
_SERVER_ERROR: Final = 500


class SpanExport:
    """The tracing of one worker: on if there are options. `on_result` gets (spans sent, exchanges that were dropped)."""

    def __init__(self, instance: str, on_result: Callable[[int, int], None]) -> None:
        self._instance = instance
        self._on_result = on_result
        self._options: TracingOptions | None = None
        self._sender: SpanSender | None = None
        self.tracer: Tracer | None = None

    def reconfigure(self, options: TracingOptions | None) -> None:
        """Begin, end or change the export."""
        if options == self._options:
            return
        if self._sender is not None:
            self._sender.finish()
        self._options, self._sender, self.tracer = options, None, None
        if options is not None:
            self._sender = SpanSender(options, self._instance, self._on_result)
            self._sender.start()
            self.tracer = Tracer(self._sender.put)

    def close(self) -> None:
        """Send what waits, for at most CLOSE_S; blocks."""
        sender = self._sender
        self.reconfigure(None)
        if sender is not None:
            sender.join(CLOSE_S)


class SpanSender(threading.Thread):
    """The thread that sends spans."""

    def __init__(self, options: TracingOptions, instance: str, on_result: Callable[[int, int], None]) -> None:
        super().__init__(name="spans", daemon=True)
        self._options = options
        self._instance = instance
        self._on_result = on_result
        self._notes: deque[ExchangeNote] = deque()
        self._work, self._finishing = threading.Event(), threading.Event()
        self._warnings = LogThrottle(WARN_EVERY_S)

    # -- called by the event loop
    def put(self, note: ExchangeNote) -> None:
        """Queue a note, or drop it if too many wait."""
        if len(self._notes) >= self._options.queue_max:
            self._on_result(0, 1)
            return
        self._notes.append(note)
        if len(self._notes) == 1:
            self._work.set()

    def finish(self) -> None:
        """Send what waits, then end."""
        self._finishing.set()
        self._work.set()

    # -- the thread
    def run(self) -> None:
        """Send until `finish`."""
        batch = SpanBatch(self._options, self._instance)
        while True:
            self._work.wait()
            self._finishing.wait(COLLECT_S)
            self._work.clear()
            finishing = self._finishing.is_set()
            while self._notes:
                notes = [self._notes.popleft() for _ in range(min(len(self._notes), BATCH_MAX))]
                self._send(batch, notes)
            if finishing:
                return

    def _send(self, batch: SpanBatch, notes: list[ExchangeNote]) -> None:
        for note in notes:
            batch.add(note)
        sent, why = batch.send()
        self._on_result(sent, 0 if sent else len(notes))
        if not sent and self._warnings.due(clock.now_s()):
            log.warning("spans of %d requests are not sent to %s: %s", len(notes), self._options.collector, why)


class SpanBatch:
    """Spans that are sent together."""

    def __init__(self, options: TracingOptions, instance: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling

        spans: list[ReadableSpan] = []

        class Collector(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                spans.append(span)

        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it has a line for each try
        self._spans = spans
        attributes = {
            "service.name": options.service_name,
            "service.version": __version__,
            "service.instance.id": f"{socket.gethostname()}/{instance}",
        }
        provider = TracerProvider(resource=Resource(attributes), sampler=sampling.ALWAYS_ON, shutdown_on_exit=False)
        provider.add_span_processor(Collector())
        self._tracer = provider.get_tracer("rollback-router", __version__)
        self._exporter = OTLPSpanExporter(endpoint=options.collector, timeout=EXPORT_TIMEOUT_S)

    def add(self, note: ExchangeNote) -> None:
        """Make the spans of an exchange and its attempts."""
        from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context

        parent = SpanContext(note.parent.trace_id, note.parent.span_id, is_remote=True, trace_flags=TraceFlags(1))
        exchange = self._tracer.start_span(
            f"{note.method} {note.service}",
            context=set_span_in_context(NonRecordingSpan(parent)),
            kind=SpanKind.SERVER,
            attributes=_exchange_attributes(note),
            start_time=_wall_ns(note, note.began_s),
        )
        _set_status(exchange, note.outcome if note.status >= _SERVER_ERROR or not note.status else None)
        for number, attempt in enumerate(note.attempts):
            span = self._tracer.start_span(
                f"{note.method} {attempt.version}",
                context=set_span_in_context(exchange),
                kind=SpanKind.CLIENT,
                attributes={
                    "http.request.method": note.method,
                    "http.request.resend_count": number,
                    "rollback_router.version": attempt.version,
                    "rollback_router.outcome": attempt.outcome,
                    "rollback_router.endpoints_tried": attempt.endpoints_tried,
                    **({"url.full": f"{attempt.endpoint}{note.path}"} if attempt.endpoint else {}),
                },
                start_time=_wall_ns(note, attempt.claimed_s),
            )
            if attempt.sent_s:
                span.add_event("request sent", timestamp=_wall_ns(note, attempt.sent_s))
            _set_status(span, attempt.outcome if attempt.is_fault else None)
            span.end(_wall_ns(note, attempt.ended_s))
        exchange.end(_wall_ns(note, note.ended_s))

    def send(self) -> tuple[int, str]:
        """Send the spans; return how many were taken, and why none was."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans, count = tuple(self._spans), len(self._spans)
        self._spans.clear()
        try:
            taken = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except (OSError, ValueError) as error:
            return 0, str(error) or type(error).__name__
        return (count, "") if taken else (0, "the receiver is away, or refuses them")


def _exchange_attributes(note: ExchangeNote) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "http.request.method": note.method,
        "url.path": note.path,
        "rollback_router.service": note.service,
        "rollback_router.outcome": note.outcome,
        "rollback_router.request_id": note.request_id,
        "rollback_router.attempts": len(note.attempts),
    }
    if note.status:
        attributes["http.response.status_code"] = note.status
    return attributes


def _set_status(span: Span, error: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))


def _wall_ns(note: ExchangeNote, monotonic_s: float) -> int:
    return int(monotonic_s * 1e9) + note.offset_ns
