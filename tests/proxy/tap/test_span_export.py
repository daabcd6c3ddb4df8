"""Spans reach a real receiver as OTLP; one that is away, slow or refuses costs spans, never a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from router import __version__
from router.proxy.options import TracingOptions
from router.proxy.tap import span_export
from router.proxy.tap.span_export import SpanExport
from router.proxy.tap.tracing import AttemptNote, ExchangeNote, SpanParent
from tests.otlp_receiver import SpanReceiver, attributes, receiving_spans
from tests.proxy.rig import until
from tests.texts import golden

BAD: Final = AttemptNote("v2", "http://10.0.0.2:8000", 1, "server_error", True, 100.0, 100.25, 100.5)
GOOD: Final = AttemptNote("v1", "http://10.0.0.1:8000", 2, "ok", False, 100.5, 100.75, 101.5)
NOTE: Final = ExchangeNote(
    SpanParent(0xABC, 0xDEF),
    "fraud",
    "POST",
    "/infer",
    200,
    "ok",
    "r1",
    100.0,
    102.0,
    1_700_000_000 * 10**9,
    (BAD, GOOD),
)


class Export:
    """An export, and what it reported."""

    def __init__(self) -> None:
        self.sent = self.dropped = 0
        self.export = SpanExport("worker-0", self._on_result)

    def _on_result(self, sent: int, dropped: int) -> None:
        self.sent += sent
        self.dropped += dropped

    def put(self, note: ExchangeNote = NOTE) -> None:
        assert self.export.tracer is not None
        self.export.tracer._put(note)


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch) -> Iterator[Export]:
    monkeypatch.setattr(span_export, "COLLECT_S", 0.05)
    monkeypatch.setattr(span_export, "EXPORT_TIMEOUT_S", 0.5)
    monkeypatch.setattr(span_export, "CLOSE_S", 0.1)
    made = Export()
    yield made
    made.export.close()


def options(receiver: SpanReceiver, queue_max: int = 100) -> TracingOptions:
    return TracingOptions(receiver.url, "my-router", queue_max)


async def test_an_exchange_with_two_attempts_is_three_spans(it: Export) -> None:
    async with receiving_spans() as receiver:
        it.export.reconfigure(options(receiver))
        it.put()
        await until(lambda: it.sent == 3)
    exchange, bad, good = sorted(receiver.spans, key=lambda span: (span.kind != 2, span.start_time_unix_nano))
    assert (exchange.trace_id.hex(), exchange.parent_span_id.hex()) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert (exchange.name, exchange.status.code) == ("POST fraud", 0)
    assert [span.parent_span_id for span in (bad, good)] == [exchange.span_id] * 2
    assert {span.trace_id for span in receiver.spans} == {exchange.trace_id}
    assert [span.name for span in (bad, good)] == ["POST v2", "POST v1"]
    assert [span.status.code for span in (bad, good)] == [2, 0]
    start = 1_700_000_100_000_000_000
    assert (exchange.start_time_unix_nano, exchange.end_time_unix_nano) == (start, start + 2_000_000_000)
    assert (bad.start_time_unix_nano, bad.end_time_unix_nano) == (start, start + 500_000_000)
    assert [(event.name, event.time_unix_nano) for event in bad.events] == [("request sent", start + 250_000_000)]
    assert attributes(exchange) == {
        "http.request.method": "POST",
        "url.path": "/infer",
        "http.response.status_code": 200,
        "rollback_router.service": "fraud",
        "rollback_router.outcome": "ok",
        "rollback_router.request_id": "r1",
        "rollback_router.attempts": 2,
    }
    assert attributes(good) == {
        "http.request.method": "POST",
        "http.request.resend_count": 1,
        "url.full": "http://10.0.0.1:8000/infer",
        "rollback_router.version": "v1",
        "rollback_router.outcome": "ok",
        "rollback_router.endpoints_tried": 2,
    }
    assert attributes(bad)["error.type"] == "server_error"
    [resource] = receiver.resources
    assert resource["service.name"] == "my-router"
    assert resource["service.version"] == __version__
    assert resource["service.instance.id"].endswith("/worker-0")


@pytest.mark.parametrize(
    ("status", "code"),
    [pytest.param(200, 0, id="ok"), pytest.param(404, 0, id="a client's error"), pytest.param(503, 2, id="a server's error"),
     pytest.param(0, 2, id="no answer")],
)  # fmt: skip
async def test_the_status_of_an_exchange(it: Export, status: int, code: int) -> None:
    async with receiving_spans() as receiver:
        it.export.reconfigure(options(receiver))
        it.put(replace(NOTE, status=status, outcome="refused", attempts=()))
        await until(lambda: bool(receiver.spans))
    [span] = receiver.spans
    assert span.status.code == code
    assert attributes(span).get("http.response.status_code") == (status or None)


async def test_a_receiver_that_refuses_costs_spans_and_one_line(it: Export, caplog: pytest.LogCaptureFixture) -> None:
    async with receiving_spans(400) as receiver:
        it.export.reconfigure(options(receiver))
        it.put()
        await until(lambda: it.dropped == 1)
        it.put()
        await until(lambda: it.dropped == 2)
    assert it.sent == 0
    assert [record.getMessage() for record in caplog.records] == [golden("spans.not_sent", url=receiver.url)]


async def test_a_receiver_that_hangs_fills_the_queue_and_delays_nothing(it: Export) -> None:
    async with receiving_spans(None) as receiver:
        it.export.reconfigure(options(receiver, queue_max=5))
        it.put()
        await until(lambda: it.dropped == 1, 20)  # it was given up
        began = asyncio.get_running_loop().time()
        for _ in range(50):
            it.put()
        assert asyncio.get_running_loop().time() - began < 0.5
        assert it.dropped >= 1 + 40


async def test_a_receiver_that_is_away_is_tried_again_with_the_next_spans(it: Export) -> None:
    async with receiving_spans() as receiver:
        url = receiver.url
    it.export.reconfigure(TracingOptions(url, "r", 100))
    it.put()
    await until(lambda: it.dropped == 1, 20)
    async with receiving_spans() as other:
        it.export.reconfigure(options(other))
        it.put()
        await until(lambda: it.sent == 3)


async def test_the_end_sends_what_waits(it: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_export, "COLLECT_S", 60.0)
    monkeypatch.setattr(span_export, "CLOSE_S", 10.0)
    async with receiving_spans() as receiver:
        it.export.reconfigure(options(receiver))
        it.put()
        await asyncio.to_thread(it.export.close)
        assert len(receiver.spans) == 3
    assert it.export.tracer is None


async def test_without_options_there_is_no_tracer_and_no_thread(it: Export) -> None:
    it.export.reconfigure(None)
    assert it.export.tracer is None
    sender: Any = it.export._sender
    assert sender is None


async def test_the_same_options_change_nothing(it: Export) -> None:
    it.export.reconfigure(TracingOptions("http://127.0.0.1:9/", "r", 100))
    tracer = it.export.tracer
    it.export.reconfigure(TracingOptions("http://127.0.0.1:9/", "r", 100))
    assert it.export.tracer is tracer
    it.export.reconfigure(TracingOptions("http://127.0.0.1:9/", "other", 100))
    assert it.export.tracer is not tracer
