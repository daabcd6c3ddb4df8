"""Which requests are noted for spans, and what is noted of them and of their attempts."""

from __future__ import annotations

import pytest

from router.proxy.tap import tracing
from router.proxy.tap.tapped import TappedAttempt, TappedExchange
from router.proxy.tap.tracing import ExchangeNote, SpanParent, Tracer, sampled_parent
from router.runtime import clock
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Client, Rig, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = SpanParent(int(TRACE, 16), int(SPAN, 16))
SAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-01".encode()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(SAMPLED, PARENT, id="sampled"),
        pytest.param(SAMPLED.replace(b"traceparent: ", b"TraceParent:\t"), PARENT, id="spelt otherwise"),
        pytest.param(SAMPLED[:-2] + b"03", PARENT, id="with a further flag"),
        pytest.param(SAMPLED.replace(b" 00-", b" 01-") + b"-more", PARENT, id="a later version"),
        pytest.param(SAMPLED[:-2] + b"00", None, id="not sampled"),
        pytest.param(b"X: y", None, id="no field"),
        pytest.param(SAMPLED.replace(TRACE.encode(), b"0" * 32), None, id="trace 0"),
        pytest.param(SAMPLED.replace(SPAN.encode(), b"0" * 16), None, id="parent 0"),
        pytest.param(SAMPLED.replace(b" 00-", b" ff-"), None, id="version ff"),
        pytest.param(SAMPLED.replace(b"4bf9", b"4BF9"), None, id="upper case"),
        pytest.param(SAMPLED[:-1], None, id="too short"),
        pytest.param(SAMPLED + b"1", None, id="too long"),
        pytest.param(SAMPLED + b" \t", PARENT, id="white space behind it"),
        pytest.param(SAMPLED + b"-more", None, id="more than version 00 has"),
        pytest.param(SAMPLED + b" more", None, id="more behind white space"),
        pytest.param(SAMPLED.replace(b" 00-", b" 01-") + b"more", None, id="a later version without its hyphen"),
        pytest.param(SAMPLED + b"\r\n" + SAMPLED, None, id="twice"),
        pytest.param(SAMPLED + b"\r\ntraceparent: x", None, id="twice, once invalid"),
        pytest.param(b"X-" + SAMPLED, None, id="another name"),
    ],
)
def test_sampled(fields: bytes, expected: SpanParent | None) -> None:
    assert sampled_parent(b"GET / HTTP/1.1\r\n" + fields + b"\r\nHost: t\r\n\r\n") == expected


def get(path: bytes, fields: bytes = SAMPLED) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: t\r\nX-Request-ID: r1\r\n" + fields + b"\r\n\r\n"


async def noted(rig: Rig, notes: list[ExchangeNote], raw: bytes) -> ExchangeNote:
    rig.context.trace(Tracer(notes.append))
    client: Client = await rig.client()
    await client.ask(raw)
    await until(lambda: bool(notes))
    [note] = notes
    return note


async def test_an_exchange_and_its_attempt() -> None:
    notes: list[ExchangeNote] = []
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        before_s = clock.now_s()
        note = await noted(rig, notes, get(b"/infer?secret=1"))
        raw = backend.requests[0].head
    assert (note.parent, note.service, note.method, note.path) == (PARENT, "default", "GET", "/infer")
    assert (note.status, note.outcome, note.request_id) == (200, "ok", "r1")
    [attempt] = note.attempts
    assert (attempt.version, attempt.endpoint, attempt.endpoints_tried) == ("v1", backend.url, 1)
    assert (attempt.outcome, attempt.is_fault) == ("ok", False)
    assert before_s <= note.began_s == attempt.claimed_s <= attempt.sent_s <= attempt.ended_s <= note.ended_s
    assert note.ended_s + note.offset_ns / 1e9 == pytest.approx(clock.wall_s(), abs=5)
    assert SAMPLED in raw, "the field is sent on as it came"


async def test_a_rescued_exchange_has_two_attempts() -> None:
    notes: list[ExchangeNote] = []
    async with (
        Backend(backends.reset_at_accept()) as bad,
        Backend(backends.ok()) as good,
        Rig(replay="always", rescue_on=frozenset(("connect", "broken"))) as rig,
    ):
        rig.fill(0, "v1", bad.url)
        rig.fill(1, "v2", good.url)
        rig.route(0, 1)
        note = await noted(rig, notes, get(b"/"))
    assert [(one.version, one.is_fault) for one in note.attempts] == [("v1", True), ("v2", False)]
    assert (note.status, note.outcome) == (200, "ok")


async def test_the_fields_of_an_exchange_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def counted(head: bytes) -> SpanParent | None:
        heads.append(head)
        return sampled_parent(head)

    monkeypatch.setattr(tracing, "sampled_parent", counted)
    notes: list[ExchangeNote] = []
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.context.trace(Tracer(notes.append))
        client = await rig.client()
        await client.ask(get(b"/", b"X: y"))
        await client.ask(get(b"/"))
        await until(lambda: bool(notes))
    assert len(heads) == 2


async def test_attempts_are_noted_across_a_change_of_the_settings() -> None:
    notes: list[ExchangeNote] = []
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)

        class Replaced(Tracer):
            def attempt_ended(self, exchange: TappedExchange, attempt: TappedAttempt, outcome: int) -> None:
                super().attempt_ended(exchange, attempt, outcome)
                rig.context.trace(Tracer(notes.append))

        rig.context.trace(Replaced(notes.append))
        client = await rig.client()
        await client.ask(get(b"/"))
        await until(lambda: bool(notes))
    assert [one.outcome for one in notes[0].attempts] == ["ok"]


async def test_an_attempt_that_ends_after_its_exchange_keeps_nothing() -> None:
    """The rig finds an exchange that is kept."""
    ended: list[int] = []

    class Late(Tracer):
        def exchange_ended(self, exchange: TappedExchange, service: str, outcome: int) -> None:
            super().exchange_ended(exchange, service, outcome)
            assert exchange.attempt is not None
            self.attempt_ended(exchange, exchange.attempt, outcome)
            ended.append(outcome)

    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.context.trace(Late(lambda note: None))
        client = await rig.client()
        await client.ask(get(b"/"))
        await until(lambda: bool(ended))


async def test_without_a_version_there_is_no_attempt() -> None:
    notes: list[ExchangeNote] = []
    async with Rig() as rig:
        note = await noted(rig, notes, get(b"/"))
    assert (note.status, note.outcome, note.attempts) == (503, "refused", ())
    assert note.began_s == note.ended_s


async def test_what_is_not_sampled_is_not_noted() -> None:
    notes: list[ExchangeNote] = []
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.context.trace(Tracer(notes.append))
        client = await rig.client()
        await client.ask(get(b"/", b"X: y"))
        await client.ask(get(b"/", SAMPLED[:-2] + b"00"))
        await client.ask(get(b"/"))
        await until(lambda: bool(notes))
        rig.context.trace(None)
        await client.ask(get(b"/"))
    assert len(notes) == 1
