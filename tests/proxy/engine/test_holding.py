"""A failed answer is held back while the request is tried on the standby: what clients get, and what is counted where."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.proxy.rescue.held_answer import HELD_BYTES_MAX
from router.rollout.model.route import Flag
from router.shm import layout as at
from tests import backends
from tests.backends import LAST_CHUNK, Backend, Behaviour, Connection, RawRequest, chunk, response
from tests.proxy.rig import OPTIONS, Client, Rig, field, until

GET = b"GET /a HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 500 Oops\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
UNFRAMED = b"HTTP/1.1 500 Oops\r\n\r\nsorry"


def failing_once(told: asyncio.Event, at: int, raw: bytes = response(500, b"sorry")) -> Behaviour:
    """Send the first `at` bytes of a failure, and the rest once `told`."""

    async def answer(connection: Connection, _: RawRequest) -> None:
        await connection.send(raw[:at])
        await told.wait()
        await connection.send(raw[at:])

    return backends.answering(answer)


FAILING = [
    pytest.param(backends.status(500, b"sorry"), id="in one read"),
    pytest.param(backends.status(503, b""), id="without a body"),
    pytest.param(backends.drip(response(502, b"sorry" * 3, "Connection: close"), 0.001), id="byte by byte"),
    pytest.param(backends.drip(CHUNKED + chunk(b"sor") + chunk(b"ry") + LAST_CHUNK, 0.001), id="chunked"),
    pytest.param(backends.cut_after(UNFRAMED, len(UNFRAMED)), id="until it closes"),
]


@pytest.mark.parametrize("behaviour", FAILING)
async def test_a_5xx_is_rescued_and_stays_a_fault_of_the_first_version(behaviour: Behaviour) -> None:
    async with Backend(behaviour) as bad, Backend(backends.ok(b"saved")) as standby, Rig(replay="always") as rig:
        rig.serve(bad.url, standby.url)
        client = await rig.client()
        for _ in range(2):  # the connection stays usable
            status, head, body = await client.ask(POST)
            assert (status, body, field(head, b"x-served-version")) == (200, b"saved", b"v2")
        client.close()
    assert rig.attempts(0) == {"server_error": 2}
    assert rig.attempts(1) == {"ok": 2}
    assert rig.exchanges() == {"ok": 2}
    assert rig.scalar(at.L_RESCUED) == 2
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 2
    assert [request.body for request in standby.requests] == [b"hello"] * 2


@pytest.mark.parametrize("behaviour", FAILING)
@pytest.mark.parametrize(
    ("second", "fault"),
    [
        (backends.status(500, b"also"), "server_error"),
        (backends.drip(response(500, b"also"), 0.001), "server_error"),
        (backends.cut_after(b"", 0), "truncated"),
        (backends.reset_at_accept(), "truncated"),
        (backends.status(429, b"later"), "throttled"),
    ],
    ids=["5xx", "5xx, byte by byte", "closes", "resets", "throttles"],
)
async def test_if_the_rescue_fails_the_client_gets_the_first_answer(
    behaviour: Behaviour, second: Behaviour, fault: str
) -> None:
    async with Backend(behaviour) as bad, Backend(second) as standby, Rig(replay="always") as rig:
        rig.serve(bad.url, standby.url)
        client = await rig.client()
        await client.send(POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 50")
        assert b"X-Served-Version: v1\r\n" in answer
        assert b"also" not in answer
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.endswith(b"\r\n\r\n") or b"sor" in answer
    assert rig.attempts(0) == {"server_error": 1}
    assert sum(rig.attempts(1).values()) == 1
    assert rig.exchanges() == {"server_error": 1}
    ends = rig.scalar(at.L_EXCHANGES + at.ROLE_ACTIVE * at.OUTCOME_COUNT + 3, 0)
    assert ends == 1, "it counts at the version whose answer it got"


async def test_a_4xx_of_the_standby_is_its_answer() -> None:
    """The newer version fails on a request that the older one refuses: the client gets to know why."""
    async with (
        Backend(backends.status(500)) as bad,
        Backend(backends.status(400, b"no such field")) as standby,
        Rig(replay="always") as rig,
    ):
        rig.serve(bad.url, standby.url)
        assert (await rig.ask(POST))[::2] == (400, b"no such field")
    assert rig.exchanges() == {"client_error": 1}


@pytest.mark.parametrize(
    ("service", "raw", "standby"),
    [
        ({"replay": "unsent"}, POST, True),
        ({"replay": "never"}, POST, True),
        ({"replay": "idempotent"}, POST, True),
        ({"replay": "always", "rescue_on": frozenset(("connect", "timeout", "broken"))}, POST, True),
        ({"replay": "always"}, POST, False),
    ],
    ids=["unsent", "never", "not idempotent", "not set", "no standby"],
)
async def test_a_5xx_is_handed_on_where_it_may_not_be_rescued(
    service: dict[str, str], raw: bytes, standby: bool
) -> None:
    async with Backend(backends.status(500, b"sorry")) as bad, Backend(backends.ok()) as other, Rig(**service) as rig:
        rig.serve(bad.url, other.url if standby else None)
        assert (await rig.ask(raw))[::2] == (500, b"sorry")
        assert not other.requests
    assert rig.attempts(0) == {"server_error": 1}
    assert rig.scalar(at.L_RESCUED) == 0


async def test_a_get_is_rescued_where_idempotent_methods_may_be_repeated() -> None:
    async with Backend(backends.status(500)) as bad, Backend(backends.ok()) as other, Rig(replay="idempotent") as rig:
        rig.serve(bad.url, other.url)
        assert (await rig.ask(GET))[0] == 200


@pytest.mark.parametrize("framed", ["length", "chunked"])
async def test_a_larger_5xx_is_handed_on(framed: str) -> None:
    body = b"s" * (HELD_BYTES_MAX + 1)
    raw = response(500, body) if framed == "length" else CHUNKED + chunk(body[:-1]) + chunk(b"s") + LAST_CHUNK
    async with Backend(backends.sending(raw)) as bad, Backend(backends.ok()) as other, Rig(replay="always") as rig:
        rig.serve(bad.url, other.url)
        client = await rig.client()
        await client.send(POST.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n"))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 500")
        assert answer.count(b"s" * 1000) >= HELD_BYTES_MAX // 1000
        assert answer.endswith(LAST_CHUNK if framed == "chunked" else b"s")
        assert not other.requests
    assert rig.attempts(0) == {"server_error": 1}
    assert rig.exchanges() == {"server_error": 1}


async def test_a_slow_5xx_is_handed_on_as_it_comes() -> None:
    raw = response(500, b"sorry")
    async with Backend(backends.stall_after(raw, len(raw) - 2)) as bad, Backend(backends.ok()) as other:
        async with Rig(replay="always") as rig:
            rig.data_plane.services[0].held.duration_s = 0.05
            rig.serve(bad.url, other.url)
            client = await rig.client()
            await client.send(POST)
            assert (await client.head()).startswith(b"HTTP/1.1 500")
            assert await client.exactly(3) == b"sor"
            client.reset()
            await rig.quiet()
        assert not other.requests
    assert rig.attempts(0) == {"client_gone": 1}


async def test_a_5xx_that_breaks_before_it_is_whole_is_rescued_as_broken() -> None:
    raw = response(500, b"sorry")
    async with Backend(backends.cut_after(raw, len(raw) - 2)) as bad, Backend(backends.ok()) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            assert (await rig.ask(POST))[0] == 200
    assert rig.attempts(0) == {"truncated": 1}


async def test_a_client_that_leaves_during_a_rescue_is_no_fault_of_the_standby() -> None:
    async with Backend(backends.status(500)) as bad, Backend(backends.never()) as waits, Rig(replay="always") as rig:
        rig.serve(bad.url, waits.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: len(waits.requests) == 1)
        client.reset()
        await rig.quiet()
        assert rig.data_plane.services[0].rescue_budget.in_flight == 0
    assert rig.attempts(0) == {"server_error": 1}
    assert rig.attempts(1) == {"client_gone": 1}
    assert rig.exchanges() == {"client_gone": 1}


async def test_a_rescue_that_waits_for_too_long_ends_with_the_first_answer() -> None:
    async with Backend(backends.status(500, b"sorry")) as bad, Backend(backends.never()) as waits:
        async with Rig(replay="always", first_byte_timeout_s=0.2) as rig:
            rig.serve(bad.url, waits.url)
            assert (await rig.ask(POST))[::2] == (500, b"sorry")
    assert rig.attempts(1) == {"timed_out": 1}


async def test_a_full_standby_is_not_asked() -> None:
    async with Backend(backends.status(500, b"sorry")) as bad, Backend(backends.never()) as waits:
        async with Rig(
            replace(OPTIONS, in_flight_max=1, services=(replace(OPTIONS.services[0], replay="always"),))
        ) as rig:
            rig.serve(bad.url, waits.url)
            first = await rig.client()
            await first.send(POST)
            await until(lambda: len(waits.requests) == 1)
            assert (await rig.ask(POST))[::2] == (500, b"sorry")
            first.reset()
            await rig.quiet()


@pytest.mark.parametrize("at_byte", [0, -2], ids=["before the first answer", "while it comes"])
async def test_a_switch_sends_nothing_twice(at_byte: int) -> None:
    told = asyncio.Event()
    async with Backend(failing_once(told, at_byte)) as bad, Backend(backends.ok(b"saved")) as standby:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, standby.url)
            client = await rig.client()
            await client.send(POST)
            await until(lambda: len(bad.requests) == 1)
            if at_byte:
                await until(lambda: bool(rig.data_plane.services[0].held.since))
            rig.route(1, 0, flags=Flag.REDISPATCH, wake=bool(at_byte))  # else the rescue notices it
            told.set()
            assert (await client.response())[::2] == (200, b"saved")
            assert (len(bad.requests), len(standby.requests)) == (1, 1)
            client.close()
    # Before its first answer the request may be moved by a sweep that notices the switch.
    assert rig.attempts(0) == {"server_error": 1} or (not at_byte and rig.attempts(0) == {"timed_out": 1})
    assert rig.attempts(1) == {"ok": 1}
    assert rig.exchanges() == {"ok": 1}


async def test_a_switch_during_a_rescue_sends_nothing_twice() -> None:
    async with Backend(backends.status(500, b"sorry")) as bad, Backend(backends.slow(0.1, b"saved")) as standby:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, standby.url)
            client = await rig.client()
            await client.send(POST)
            await until(lambda: len(standby.requests) == 1)
            rig.route(1, 0, flags=Flag.REDISPATCH)
            assert (await client.response())[::2] == (200, b"saved")
            assert (len(bad.requests), len(standby.requests)) == (1, 1)
            client.close()
    assert rig.exchanges() == {"ok": 1}


async def test_an_upload_that_goes_on_is_sent_whole_to_the_standby() -> None:
    head = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n"
    bad_behaviour = backends.early(response(500, b"no"), then_close=False)
    async with Backend(bad_behaviour) as bad, Backend(backends.echo()) as other, Rig(replay="always") as rig:
        rig.serve(bad.url, other.url)
        client = await rig.client()
        await client.send(head + b"01234")
        await until(lambda: bool(rig.attempts(0)))
        await client.send(b"56789")
        status, _, body = await client.response()
        assert (status, body[-10:]) == (200, b"0123456789")
        client.close()
    assert rig.attempts(0) == {"server_error": 1}


async def test_the_first_answer_reaches_an_old_client_without_chunks() -> None:
    raw = CHUNKED + chunk(b"sor") + chunk(b"ry") + LAST_CHUNK
    async with Backend(backends.drip(raw, 0.001)) as bad, Backend(backends.status(500)) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            client = await rig.client()
            await client.send(b"POST /infer HTTP/1.0\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello")
            answer = await client.rest()
            assert answer.startswith(b"HTTP/1.1 500")
            assert answer.endswith(b"\r\n\r\nsorry")


async def test_a_head_request_is_rescued() -> None:
    async with Backend(backends.status(500)) as bad, Backend(backends.ok()) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            client = await rig.client()
            await client.send(b"HEAD /a HTTP/1.1\r\nHost: t\r\n\r\n")
            assert (await client.head()).startswith(b"HTTP/1.1 200")
            client.close()


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
)
ERROR = b'data: {"error": {"message": "the engine is dead", "type": "server_error"}}\n\n'
BUSY = b'data: {"error": {"message": "later", "type": "rate_limit_error"}}\n\n'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
TOKEN = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'


async def streamed(first: bytes, second: bytes) -> tuple[bytes, Rig]:
    """Return what a client gets of two versions that stream these bytes, and the rig."""
    async with Backend(backends.sending(first)) as bad, Backend(backends.sending(second)) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            client = await rig.client()
            await client.send(CHAT)
            return await client.rest(), rig


GOOD_STREAM = STREAM + chunk(TOKEN) + chunk(b"data: [DONE]\n\n") + LAST_CHUNK


@pytest.mark.parametrize("path", ["known", "other"])
async def test_an_event_stream_that_begins_with_an_error_is_rescued(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == "other":
        monkeypatch.setattr(f"{__name__}.CHAT", CHAT.replace(b"/v1/chat/completions", b"/generate"))
    answer, rig = await streamed(STREAM + chunk(ERROR) + LAST_CHUNK, GOOD_STREAM)
    assert TOKEN in answer
    assert ERROR not in answer
    assert answer.count(b"HTTP/1.1 200") == 1
    assert rig.attempts(0) == {"invalid": 1}
    assert rig.attempts(1) == {"ok": 1}
    assert rig.scalar(at.L_PAIRS_WELL) == 1


async def test_the_error_of_the_first_stream_is_the_answer_if_the_rescue_fails() -> None:
    answer, rig = await streamed(STREAM + chunk(ERROR) + LAST_CHUNK, STREAM + chunk(ERROR) + LAST_CHUNK)
    assert answer.count(ERROR) == 1
    assert b"X-Served-Version: v1\r\n" in answer
    assert answer.endswith(LAST_CHUNK)
    assert rig.attempts(0) == rig.attempts(1) == {"invalid": 1}
    assert rig.exchanges() == {"invalid": 1}
    assert rig.scalar(at.L_PAIRS_FAILED) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(STREAM + chunk(BUSY) + LAST_CHUNK, id="busy"),
        pytest.param(STREAM + chunk(TOKEN) + chunk(ERROR) + LAST_CHUNK, id="after content"),
    ],
)
async def test_another_event_stream_is_handed_on(first: bytes) -> None:
    answer, rig = await streamed(first, GOOD_STREAM)
    assert b'"error"' in answer
    assert rig.scalar(at.L_RESCUED) == 0


async def test_a_head_without_an_event_is_not_held_back() -> None:
    async with Backend(backends.stall_after(STREAM, len(STREAM))) as silent, Backend(backends.ok()) as other:
        async with Rig(replay="always") as rig:
            rig.serve(silent.url, other.url)
            client = await rig.client()
            await client.send(CHAT)
            assert (await client.head()).startswith(b"HTTP/1.1 200")
            client.reset()
            await rig.quiet()


@pytest.mark.parametrize(
    "answer",
    [
        response(503, b"x", "Retry-After: 1"),
        response(529, b"x"),
        response(503, b"The request queue is full"),
    ],
    ids=["Retry-After", "status", "text"],
)
async def test_a_version_that_is_busy_is_not_rescued(answer: bytes) -> None:
    async with Backend(backends.sending(answer)) as busy, Backend(backends.ok()) as other, Rig(replay="always") as rig:
        rig.serve(busy.url, other.url)
        assert (await rig.ask(POST))[0] in (503, 529)
        assert not other.requests
    assert rig.attempts(0) == {"throttled": 1}
    assert rig.exchanges() == {"throttled": 1}


async def test_a_503_that_says_in_its_body_that_it_is_busy_is_not_rescued() -> None:
    told, body = asyncio.Event(), b"The request queue is full"
    behaviour = failing_once(told, -len(body), response(503, body))
    async with Backend(behaviour) as busy, Backend(backends.ok()) as other, Rig(replay="always") as rig:
        rig.serve(busy.url, other.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: bool(rig.data_plane.services[0].held.since))
        told.set()
        assert (await client.response())[::2] == (503, body)
        assert not other.requests
        client.close()
    assert rig.attempts(0) == {"throttled": 1}


async def test_failures_of_one_endpoint_at_once_are_one_pair() -> None:
    async with Backend(backends.status(500)) as bad, Backend(backends.ok()) as other, Rig(replay="always") as rig:
        rig.serve(bad.url, other.url)
        client = await rig.client()
        for _ in range(5):
            assert (await client.ask(POST))[0] == 200
        client.close()
    assert rig.scalar(at.L_RESCUED) == 5
    assert rig.scalar(at.L_PAIRS_WELL) == 1


async def test_rescues_that_fail_become_few() -> None:
    async with Backend(backends.status(500, b"one")) as bad, Backend(backends.status(500, b"two")) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            client = await rig.client()
            for _ in range(60):
                assert (await client.ask(POST))[::2] == (500, b"one")
            client.close()
    assert len(other.requests) <= 5 + 6
    assert rig.scalar(at.L_RESCUES_REFUSED) == 60 - len(other.requests)
    assert rig.attempts(0) == {"server_error": 60}


def failing_for(*words: bytes) -> Behaviour:
    """Answer 500 to bodies that hold one of the words."""

    async def answer(connection: Connection, request: RawRequest) -> None:
        await connection.send(response(500 if any(word in request.body for word in words) else 200, b"x"))

    return backends.answering(answer)


async def test_a_client_that_fails_everywhere_uses_up_no_rescues_of_others() -> None:
    async def ask(address: str, body: bytes) -> int:
        client = Client(*await asyncio.open_connection("127.0.0.1", rig.port, local_addr=(address, 0)))
        raw = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        status = (await client.ask(raw))[0]
        client.close()
        return status

    async with Backend(failing_for(b"poison", b"flaky")) as bad, Backend(failing_for(b"poison")) as other:
        async with Rig(replay="always") as rig:
            rig.serve(bad.url, other.url)
            assert [await ask(f"127.0.0.{number}", b"fine") for number in (2, 3)] == [200, 200]
            assert {await ask("127.0.0.4", b"poison %d" % number) for number in range(30)} == {500}
            assert len(other.requests) <= 1 + 3
            assert [await ask("127.0.0.2", b"flaky") for _ in range(5)] == [200] * 5
    assert rig.scalar(at.L_PAIRS_FAILED) == 1
