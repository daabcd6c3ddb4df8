"""A complete 2xx that is no answer ends as `invalid`; its client has had it by then, and nothing else is ever called so."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from router.proxy.engine import closing
from router.proxy.options import ValidationOptions
from router.proxy.tap import validation
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, until
from tests.proxy.validators import Deferring, post, validated
from tests.texts import golden

ANSWERS = ValidationOptions(
    response_not_empty=True,
    response_finite=("",),
    response_schema='{"required": ["label"]}',
    response_label_in=(("/label", ("fraud", "ok")),),
    response_bytes_max=64,
    stream_end="[DONE]",
)
ASK = post(b"{}")
HEAD = ASK.replace(b"POST", b"HEAD")
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN, DONE = b"data: token\n\n", b"data: [DONE]\n\n"


def stream(*events: bytes) -> bytes:
    return EVENTS + b"".join(map(backends.chunk, events)) + backends.LAST_CHUNK


def fields(body: bytes, status: int = 200, *more: str) -> bytes:
    return backends.response(status, body, *more, content_type="application/json")


@pytest.mark.parametrize(
    ("request_", "answer", "outcome", "counted"),
    [
        pytest.param(ASK, fields(b'{"label": "ok"}'), "ok", "response.ok", id="good"),
        pytest.param(ASK, fields(b""), "invalid", "response.empty", id="empty"),
        pytest.param(ASK, fields(b"<html>"), "invalid", "response.json", id="no JSON"),
        pytest.param(ASK, fields(b'{"label": "ok", "s": NaN}'), "invalid", "response.finite", id="NaN"),
        pytest.param(ASK, fields(b'{"label": "perhaps"}'), "invalid", "response.label", id="label"),
        pytest.param(ASK, fields(b"[1]"), "invalid", "response.label", id="no label"),
        pytest.param(ASK, fields(b'{"label": "ok"' + b" " * 64 + b"}"), "ok", "response.unchecked_large", id="large"),
        pytest.param(
            ASK, fields(b"x", 200, "Content-Encoding: gzip"), "ok", "response.unchecked_encoded", id="compressed"
        ),
        pytest.param(ASK, fields(b"{}", 404), "client_error", None, id="404"),
        pytest.param(ASK, fields(b"{}", 500), "server_error", None, id="500"),
        pytest.param(ASK, fields(b"{", 206), "ok", None, id="a part"),
        pytest.param(ASK, b"HTTP/1.1 204 X\r\n\r\n", "ok", None, id="204"),
        pytest.param(HEAD, fields(b"{}")[:-2], "ok", None, id="HEAD"),
        pytest.param(ASK.replace(b"POST", b"GET"), fields(b"{"), "ok", None, id="another method"),
        pytest.param(ASK, stream(TOKEN, DONE), "ok", "stream.ok", id="stream"),
        pytest.param(
            ASK, stream(TOKEN + TOKEN, b"data: [DO", b"NE]\n\n"), "ok", "stream.ok", id="stream, cut anywhere"
        ),
        pytest.param(ASK, stream(TOKEN), "invalid", "stream.end", id="stream without its end"),
        pytest.param(ASK, stream(DONE), "invalid", "stream.empty", id="stream that says nothing"),
        pytest.param(ASK.replace(b"1.1", b"1.0", 1), stream(TOKEN), "invalid", "stream.end", id="stream for HTTP/1.0"),
    ],
)
async def test_how_it_ends(request_: bytes, answer: bytes, outcome: str, counted: str | None) -> None:
    async with Backend(backends.sending(answer)) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(request_)
        head = await client.head()
        assert int(head.split(b" ")[1]) == int(answer.split(b" ")[1])
        await until(lambda: rig.exchanges() == {outcome: 1})
        assert rig.attempts() == {outcome: 1}
        assert validated(rig) == ({counted: 1} if counted else {})
        begun = 0 if outcome == "server_error" else 1
        assert (rig.scalar(at.L_BEGUN), rig.scalar(at.L_FAULTS_UNBEGUN)) == (begun, 1 - begun)


async def test_the_client_gets_what_came_and_its_connection_goes_on() -> None:
    nan = b'{"label": "ok", "s": NaN}'
    async with Backend(backends.ok(nan)) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK + ASK)
        for _ in range(2):
            status, _, body = await client.response()
            assert (status, body) == (200, nan)
        assert (await client.ask(ASK))[2] == nan
        assert rig.exchanges() == {"invalid": 3}
        assert backend.connections == 1, "so does the backend's"


@pytest.mark.parametrize("sent", range(len(EVENTS) + 1, len(stream(TOKEN))))
async def test_what_is_cut_is_truncated(sent: int) -> None:
    async with Backend(backends.cut_after(stream(TOKEN), sent)) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK)
        await client.rest()
        assert (rig.attempts(), validated(rig)) == ({"truncated": 1}, {})


async def test_a_client_that_leaves_in_the_middle_is_gone() -> None:
    async with Backend(backends.stall_after(stream(TOKEN), len(EVENTS) + 8)) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK)
        await client.head()
        client.reset()
        await until(lambda: rig.exchanges() == {"client_gone": 1})
        assert validated(rig) == {}


@pytest.mark.parametrize("how", ["reset", "cut", "shut", "dropped", "retired", "nothing"])
async def test_whatever_happens_before_it_was_looked_at_it_was_whole(how: str) -> None:
    async with Backend(backends.sending(fields(b"{"))) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        deferring = Deferring(rig)
        client = await rig.client()
        status, _, body = await client.ask(ASK)
        assert (status, body) == (200, b"{")
        assert rig.exchanges() == {}, "the client has it before it is looked at"
        (target,) = rig.data_plane.services[0].targets.values()
        if how == "reset":
            client.reset()
            await until(lambda: rig.exchanges())
        elif how == "shut":
            for downstream in list(rig.data_plane.limiter.connections):
                downstream.abort()
        elif how == "dropped":  # by a client that takes nothing, at that very moment
            for downstream in list(rig.data_plane.limiter.connections):
                closing.abandon_client(downstream)
        elif how == "cut":
            next(iter(target.in_flight)).cut()
        elif how == "retired":
            rig.fill(1, "v2", backend.url)
            rig.route(1)
        deferring.go_on()
        assert (rig.exchanges(), rig.attempts()) == ({"invalid": 1}, {"invalid": 1})
        assert validated(rig) == {"response.json": 1}, "it is checked once"
        if how == "dropped":
            await until(lambda: not rig.data_plane.limiter.connections)
        if how in ("cut", "nothing", "retired"):
            await client.send(ASK)
            assert (await client.response())[0] == 200
            deferring.go_on()


async def test_a_whole_response_that_waits_for_its_check_is_not_idle() -> None:
    async with Backend(backends.sending(stream(TOKEN))) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        deferring = Deferring(rig)
        client = await rig.client()
        await client.send(ASK)
        await until(lambda: deferring.later)
        rig.data_plane.services[0].idle.sweep(math.inf)
        deferring.go_on()
        assert rig.attempts() == {"invalid": 1}


async def test_the_next_request_waits_until_the_answer_was_looked_at() -> None:
    async with Backend(backends.sending(fields(b"{"))) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        deferring = Deferring(rig)
        client = await rig.client()
        await client.ask(ASK)
        await client.send(ASK)
        (downstream,) = rig.data_plane.limiter.connections
        await until(lambda: downstream.buffer)
        assert len(backend.requests) == 1
        await until(lambda: deferring.go_on() or rig.exchanges().get("invalid") == 2)


async def test_after_one_invalid_answer_all_are_looked_at() -> None:
    sampled = replace(ANSWERS, response_share=0.25)
    answers = [backends.sending(fields(b'{"label": "ok"}'))] * 20 + [backends.sending(fields(b"{"))]
    async with Backend(backends.in_turn(*answers)) as backend, Rig(validation=sampled) as rig:
        rig.context.random = Random(5)
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(20):
            await client.ask(ASK)
        assert 1 <= validated(rig)["response.ok"] <= 10
        for _ in range(60):  # one of four is looked at: 3 in 10^8 that none is
            await client.ask(ASK)
            if validated(rig).get("response.json"):
                break
        first = rig.exchanges()["invalid"]
        for _ in range(10):
            await client.ask(ASK)
        await until(lambda: rig.exchanges()["invalid"] == first + 10)


async def test_a_bug_of_ours_is_no_fault_of_the_version(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(validation, "answer_complaint", broken)
    async with Backend(backends.sending(fields(b"{"))) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(ASK))[0] == 200
        await until(lambda: rig.exchanges() == {"ok": 1})
        assert validated(rig) == {"response.fault": 1}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    caplog.clear()


async def test_an_answer_before_the_end_of_the_request_is_not_looked_at() -> None:
    async def early(connection: backends.Connection) -> None:
        await connection.read_head()
        await connection.send(fields(b"{"))
        await connection.closed()

    async with Backend(early) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(ASK[:-1])
        assert (await client.response())[0] == 200
        await until(lambda: rig.exchanges() == {"ok": 1})
        assert validated(rig) == {"response.unchecked_early": 1}


async def test_it_is_logged_and_not_for_every_request(caplog: pytest.LogCaptureFixture) -> None:
    async with Backend(backends.sending(fields(b"{"))) as backend, Rig(validation=ANSWERS) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(3):
            await client.ask(ASK)
        await until(lambda: rig.exchanges() == {"invalid": 3})
    told = [record.getMessage() for record in caplog.records]
    assert told == [golden("validator.not_json")]
