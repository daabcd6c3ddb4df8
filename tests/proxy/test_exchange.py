"""Requests through one data plane to real backends on loopback: what arrives, what comes back, what is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.rollout.route import NO_SLOT, Flag
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


async def closed_port() -> str:
    """Return a URL where nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_request_arrives_unchanged_with_what_the_router_adds() -> None:
    async with Backend(backends.ok(b"yes")) as backend, Rig() as rig:
        rig.serve(backend.url)
        status, head, body = await rig.ask(GET)
    (request,) = backend.requests
    ident = field(head, b"x-request-id")
    assert (status, body) == (200, b"yes")
    assert field(head, b"x-served-version") == b"v1"
    assert request.raw == (
        b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\nX-Forwarded-Host: Test:1\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\nX-Request-ID: " + (ident or b"?") + b"\r\n\r\n"
    )
    assert rig.attempts() == {"ok": 1}
    assert rig.exchanges() == {"ok": 1}
    assert rig.scalar(at.L_BEGUN) == 1


@pytest.mark.parametrize("raw", [GET, POST, CHUNKED_POST], ids=["get", "length", "chunked"])
async def test_every_cut_of_a_request_is_the_same_request(raw: bytes) -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(raw))[0] == 200
        whole = backend.requests[0]
        for cut in range(1, len(raw)):
            await client.send(raw[:cut])
            await asyncio.sleep(0)
            assert (await client.ask(raw[cut:]))[0] == 200
            assert (backend.requests[-1].line, backend.requests[-1].body) == (whole.line, whole.body)


ANSWERS = {
    "length": backends.response(200, b"hello world"),
    "chunked": backends.CHUNKED + backends.chunk(b"hello") + backends.chunk(b" world") + backends.LAST_CHUNK,
    "empty": backends.response(200, b""),
    "server error": backends.response(500, b"broken"),
    "after 103": b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + backends.response(200, b"hello"),
}


@pytest.mark.parametrize("raw", ANSWERS.values(), ids=ANSWERS)
async def test_every_cut_of_a_response_is_the_same_response(raw: bytes) -> None:
    async def in_two(cut: int) -> None:
        async def answer(connection: backends.Connection, _: backends.RawRequest) -> None:
            await connection.send(raw[:cut])
            await asyncio.sleep(0.001)
            await connection.send(raw[cut:])

        backend.behaviour = backends.answering(answer)

    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        end = raw[-8:]
        await client.send(GET)
        whole = await asyncio.wait_for(client.reader.readuntil(end[-4:] if end.endswith(b"\r\n\r\n") else end), 5)
        if raw.startswith(backends.CHUNKED):
            whole += await client.exactly(len(raw) - len(backends.CHUNKED))
        body = raw.rpartition(b"\n\r\n")[2] if b"103" in raw else raw.partition(b"\r\n\r\n")[2]
        for cut in range(1, len(raw)):
            await in_two(cut)
            await client.send(GET)
            got = await client.exactly(len(whole))
            assert got.partition(b"X-Request-ID")[0] == whole.partition(b"X-Request-ID")[0]
            assert got.endswith(body)
    assert backend.connections == 1


async def test_connections_are_kept_on_both_sides() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(10):
            assert (await client.ask(POST))[0] == 200
        assert backend.connections == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with Backend(backends.echo()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        paths = [b"/%d" % number for number in range(20)]
        await client.send(b"".join(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path for path in paths))
        answers = [(await client.response())[2].split(b" ")[1] for _ in paths]
        assert answers == paths


async def test_valid_requests_before_garbage_are_served_then_400() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET + POST + b"GARBAGE\r\n\r\n")
        statuses = [(await client.response())[0] for _ in range(3)]
        assert statuses == [200, 200, 400]
        assert await client.rest() == b""
        assert len(backend.requests) == 2


async def test_bytes_after_connection_close_do_not_harm_the_request_before() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGARBAGE")
        status, head, _ = await client.response()
        assert (status, field(head, b"connection")) == (200, b"close")
        assert await client.rest() == b""


async def test_http_1_0_is_closed_unless_kept_alive() -> None:
    async with Backend(backends.tokens(2, 0.0)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await client.rest()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"data: token\n\n" * 2
        backend.behaviour = backends.ok()
        client = await rig.client()
        for _ in range(2):
            status, head, _ = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (status, field(head, b"connection")) == (200, b"keep-alive")


async def test_a_body_that_ends_with_the_connection_is_sent_on_in_chunks() -> None:
    async with Backend(backends.close_delimited(b"hello")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            await client.send(GET)
            assert field(await client.head(), b"transfer-encoding") == b"chunked"
            assert await client.exactly(15) == b"5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("code", [204, 304])
async def test_statuses_without_a_body_keep_the_connection(code: int) -> None:
    async with Backend(backends.bodiless(code)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            assert (await client.ask(GET))[0] == code
        assert backend.connections == 1


async def test_head_has_the_length_and_no_body() -> None:
    async with Backend(backends.ok(b"hello")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            await client.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
            assert field(await client.head(), b"content-length") == b"5"
        assert backend.connections == 1


async def test_expect_100_continue_is_asked_of_the_backend() -> None:
    async with Backend(backends.continuing()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(b"hello"))[0] == 200
        assert backend.requests[0].body == b"hello"


async def test_a_final_answer_instead_of_100_ends_the_connections() -> None:
    async with Backend(backends.early(backends.response(417, b"no"), then_close=False)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        status, head, _ = await client.response()
        assert (status, field(head, b"connection")) == (417, b"close")
        assert await client.rest() == b""
    assert rig.attempts() == {"client_error": 1}


async def test_a_stream_is_handed_on_event_by_event() -> None:
    async with Backend(backends.tokens(3, 0.05)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
        event = backends.chunk(b"data: token\n\n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await client.exactly(len(event)) == event
        assert loop.time() - began < 0.04  # the first event came before the second was made
        assert rig.scalar(at.L_BEGUN) == 1
        assert await client.exactly(2 * len(event) + 5) == event * 2 + backends.LAST_CHUNK


CUT = {
    "length": (backends.response(200, b"x" * 1000), 500, b"x"),
    "chunked": (backends.CHUNKED + backends.chunk(b"x" * 1000) + backends.LAST_CHUNK, 500, b""),
}


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize(("raw", "at_byte", "_"), CUT.values(), ids=CUT)
async def test_a_body_that_was_cut_never_looks_whole(raw: bytes, at_byte: int, _: bytes, reset: bool) -> None:
    async with Backend(backends.cut_after(raw, at_byte, reset=reset)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert len(body) < 1000
        assert not body.endswith(b"0\r\n\r\n")
    assert rig.attempts() == {"truncated": 1}
    assert rig.exchanges() == {"truncated": 1}
    assert rig.scalar(at.L_BEGUN) == 1
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0


BROKEN = {
    "garbage": backends.GARBAGE,
    "two lengths": backends.TWO_LENGTHS,
    "length and chunked": backends.LENGTH_AND_CHUNKED,
    "unknown coding": backends.UNKNOWN_CODING,
    "chunked twice": backends.CHUNKED_TWICE,
    "huge head": backends.HUGE_HEAD,
    "unasked 101": backends.UNASKED_SWITCH,
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "HTTP/2 line": b"HTTP/2 200\r\n\r\n",
    "33 interim": b"HTTP/1.1 103 Early\r\n\r\n" * 33,
    "obs-fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_what_the_backend_breaks_is_502_and_its_connection_is_not_used_again(raw: bytes) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        answer = b""
        while b"problem+json" not in answer:
            answer = await client.head()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert field(answer, b"x-router-error") == b"upstream_broken"
        await client.exactly(int(field(answer, b"content-length") or b"0"))
        backend.behaviour = backends.ok()
        assert (await client.ask(GET))[0] == 200
        assert backend.connections == 2
    assert rig.attempts() == {"truncated": 1, "ok": 1}
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 1


async def test_bytes_after_the_response_are_dropped_with_their_connection() -> None:
    async with Backend(backends.sending(backends.response(200, b"ok") + b"EXTRA")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(3):
            assert (await client.ask(GET))[2] == b"ok"
        assert backend.connections == 3


# ---------------------------------------------------------------- rescue
async def test_a_refused_connection_is_rescued_on_the_standby_and_stays_a_fault_of_the_first() -> None:
    async with Backend(backends.ok(b"way back")) as standby, Rig() as rig:
        rig.serve(await closed_port(), standby.url)
        status, head, body = await rig.ask(POST)
        assert (status, body, field(head, b"x-served-version")) == (200, b"way back", b"v2")
    assert rig.attempts(0) == {"connect_failed": 1}
    assert rig.attempts(1) == {"ok": 1}
    assert rig.scalar(at.L_RESCUED, 0) == 1
    assert rig.exchanges() == {"ok": 1}


async def test_another_endpoint_recovers_without_a_fault_of_the_version() -> None:
    async with Backend(backends.ok()) as good, Rig() as rig:
        rig.fill(0, "v1", await closed_port(), good.url)
        rig.route(0)
        for _ in range(20):
            assert (await rig.ask(POST))[0] == 200
    assert rig.attempts() == {"ok": 20}
    assert rig.scalar(at.L_ENDPOINT_RETRIES) > 0


async def test_nobody_to_rescue_is_502() -> None:
    async with Rig() as rig:
        rig.serve(await closed_port(), await closed_port())
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"x-router-error")) == (502, b"connect_failed")
    assert rig.attempts(0) == {"connect_failed": 1}
    assert rig.attempts(1) == {"connect_failed": 1}
    assert rig.exchanges() == {"connect_failed": 1}


@pytest.mark.parametrize(
    ("replay", "raw", "status"),
    [
        ("unsent", GET, 502),
        ("unsent", POST, 502),
        ("idempotent", GET, 200),
        ("idempotent", POST, 502),
        ("always", POST, 200),
        ("always", CHUNKED_POST, 200),
        ("never", POST, 502),
    ],
)
async def test_a_sent_request_is_tried_again_only_where_the_service_allows_it(
    replay: str, raw: bytes, status: int
) -> None:
    async with (
        Backend(backends.cut_after(b"", 0)) as broken,
        Backend(backends.ok(b"rescued")) as standby,
        Rig(replay=replay) as rig,
    ):
        rig.serve(broken.url, standby.url)
        assert (await rig.ask(raw))[0] == status
        assert len(standby.requests) == (1 if status == 200 else 0)
        if status == 200:
            assert b"hello" in standby.requests[0].body or raw == GET
    assert rig.attempts(0) == {"truncated": 1}


async def test_never_replay_means_not_even_what_was_not_sent() -> None:
    async with Backend(backends.ok()) as standby, Rig(replay="never") as rig:
        rig.serve(await closed_port(), standby.url)
        assert (await rig.ask(POST))[0] == 502


async def test_a_body_larger_than_the_replay_limit_is_not_tried_again() -> None:
    options = replace(OPTIONS, replay_bytes_max=1000, services=(replace(OPTIONS.services[0], replay="always"),))
    async with Backend(backends.cut_after(b"", 0)) as broken, Backend(backends.ok()) as standby, Rig(options) as rig:
        rig.serve(broken.url, standby.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 4000\r\n\r\n" + b"x" * 500)
        await asyncio.sleep(0.05)
        assert (await client.ask(b"x" * 3500))[0] == 502


async def test_a_stale_connection_is_counted_and_a_sent_post_is_not_repeated() -> None:
    async def close_after_one(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(backends.response(200, b"ok"))
        await connection.read_head()  # the next request arrives …
        connection.reset()  # … as the backend closes

    async with Backend(close_after_one) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(POST))[0] == 200
        assert (await client.ask(POST))[0] == 502
    assert rig.scalar(at.L_STALE_CONNECTION) == 1
    assert len(backend.requests) == 1


# ---------------------------------------------------------------- time
async def test_no_first_byte_in_time_is_504_and_timed_out() -> None:
    async with Backend(backends.never()) as backend, Rig(first_byte_timeout_s=0.2) as rig:
        rig.serve(backend.url)
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"x-router-error")) == (504, b"upstream_timeout")
    assert rig.attempts() == {"timed_out": 1}
    assert sum(rig.lanes.slot_histogram(0, 0, at.L_ABANDONED)) == 1


async def test_silence_within_the_response_cuts_it() -> None:
    raw = backends.CHUNKED + backends.chunk(b"token")
    async with Backend(backends.stall_after(raw, len(raw))) as backend, Rig(idle_timeout_s=0.2) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        answer = await client.rest()
        assert answer.endswith(b"5\r\ntoken\r\n")
    assert rig.attempts() == {"timed_out": 1}
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0


async def test_a_client_that_leaves_while_it_waits_frees_the_backend_and_is_no_fault() -> None:
    async with Backend(backends.never()) as backend, Rig(hang_wait_min_s=0.1) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await asyncio.sleep(0.2)
        client.reset()
        async with asyncio.timeout(1):
            while backend.open:
                await asyncio.sleep(0)
    assert rig.attempts() == {"client_gone": 1}
    assert rig.scalar(at.L_ABANDONED_LONG) == 1
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0


async def test_a_half_closed_client_is_still_answered() -> None:
    async with Backend(backends.slow(0.1, b"late")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        client.writer.write_eof()
        assert (await client.rest()).endswith(b"late")
    assert rig.exchanges() == {"ok": 1}


async def test_a_client_that_closed_is_taken_for_gone_after_the_grace() -> None:
    async with Backend(backends.never()) as backend, Rig(replace(OPTIONS, half_close_grace_s=0.1)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        client.close()
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            while not rig.attempts():
                await asyncio.sleep(0)
    assert rig.attempts() == {"client_gone": 1}


LATE_CLIENTS = {
    "head": (b"GET / HTTP/1.1\r\nHost:", 408),
    "body": (b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nhell", 408),
    "chunk": (b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 408),
}


@pytest.mark.parametrize(("raw", "status"), LATE_CLIENTS.values(), ids=LATE_CLIENTS)
async def test_a_client_that_stops_is_408_and_no_fault(raw: bytes, status: int) -> None:
    options = replace(OPTIONS, header_timeout_s=0.2, body_timeout_s=0.2)
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(raw))[0] == status
        assert await client.rest() == b""
        assert backend.requests == []
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0


async def test_an_idle_connection_is_closed_silently() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, keepalive_idle_s=0.2)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        assert await client.rest() == b""


async def test_a_bad_chunk_after_the_head_cuts_the_backend_without_a_last_chunk() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await asyncio.sleep(0.05)
        assert (await client.ask(b"ZZ\r\n"))[0] == 400
        assert await client.rest() == b""
        assert backend.requests == []
    assert rig.attempts() == {"client_gone": 1}
    assert rig.exchanges() == {"refused": 1}


# ---------------------------------------------------------------- limits
async def test_a_declared_body_above_the_limit_is_413_and_reaches_nobody() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, body_bytes_max=100)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 101\r\n\r\n"))[0] == 413
        raw = (
            b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"
            + b"x" * 100
            + b"\r\n1\r\nx\r\n0\r\n\r\n"
        )
        assert (await rig.ask(raw))[0] == 413
        assert backend.requests == []


async def test_a_full_target_is_503_saturated() -> None:
    async with Backend(backends.never()) as backend, Rig(replace(OPTIONS, in_flight_max=2)) as rig:
        rig.serve(backend.url)
        waiting = [await rig.client() for _ in range(2)]
        for client in waiting:
            await client.send(POST)
        await asyncio.sleep(0.05)
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"retry-after")) == (503, b"1")
        for client in waiting:
            client.reset()
    assert rig.attempts() == {"saturated": 1, "client_gone": 2}


async def test_one_connection_too_many_is_503() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, connections_max=1)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 200
        other = await rig.client()
        assert (await other.rest()).startswith(b"HTTP/1.1 503 ")


async def test_a_slow_reader_holds_the_backend_back_and_memory_stays_bounded() -> None:
    size = 8 << 20
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET)
        await asyncio.sleep(0.3)
        (exchange,) = rig.plane.services[0].active.open  # type: ignore[union-attr]
        assert exchange.paused_at_s > 0
        assert not rig.plane.services[0].idle.since  # its clock stands still
        head, _, body = (await client.head()), b"", await client.exactly(size)
        assert len(body) == size
        assert head.startswith(b"HTTP/1.1 200")
    assert rig.attempts() == {"ok": 1}


async def test_a_slow_backend_holds_the_client_back() -> None:
    async def slow_reader(connection: backends.Connection) -> None:
        head = await connection.read_head()
        await asyncio.sleep(0.3)
        backend.requests.append(backends.RawRequest(head, await connection.read_body(head), 1))
        await connection.send(backends.response(200, b"ok"))

    size = 15 << 20  # more than the socket buffers of both connections take
    async with Backend(slow_reader) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        await asyncio.sleep(0.2)
        (exchange,) = rig.plane.services[0].active.open  # type: ignore[union-attr]
        assert exchange.downstream._paused
        assert (await client.response())[0] == 200
        assert len(backend.requests[0].body) == size


# ---------------------------------------------------------------- the route
async def test_a_switch_moves_the_next_request_and_leaves_the_stream() -> None:
    async with Backend(backends.tokens(5, 0.05)) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        stream = await rig.client()
        await stream.send(GET)
        await stream.head()
        rig.route(1, 0)
        _, head, body = await rig.ask(GET)
        assert (body, field(head, b"x-served-version")) == (b"new", b"v2")
        event = backends.chunk(b"data: token\n\n")
        assert await stream.exactly(5 * len(event) + 5) == event * 5 + backends.LAST_CHUNK
        assert len(old.requests) == 1


async def test_the_route_is_read_for_every_claim_even_without_a_wake() -> None:
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        client = await rig.client()
        assert (await client.ask(GET))[2] == b"old"
        generation = rig.route(1, 0, wake=False)
        assert (await client.ask(GET))[2] == b"new"
        assert rig.lanes.acknowledged(0, 0) == generation


async def test_a_route_whose_slot_is_damaged_is_not_taken_over() -> None:
    async with Backend(backends.ok(b"old")) as old, Backend(backends.ok(b"new")) as new, Rig() as rig:
        rig.serve(old.url, new.url)
        rig.wall.words[rig.wall.layout.slot(0, 1) + at.S_CRC] ^= 1
        before = rig.lanes.acknowledged(0, 0)
        generation = rig.route(1, 0)
        assert (await rig.ask(GET))[2] == b"old"
        assert rig.lanes.acknowledged(0, 0) == before
        rig.wall.words[rig.wall.layout.slot(0, 1) + at.S_CRC] ^= 1
        assert (await rig.ask(GET))[2] == b"new"
        assert rig.lanes.acknowledged(0, 0) == generation


async def test_no_active_version_is_503_no_route() -> None:
    async with Rig() as rig:
        rig.route()
        status, head, _ = await rig.ask(GET)
        assert (status, field(head, b"x-router-error")) == (503, b"no_route")
        status, _, body = await rig.ask(b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n")
        assert status == 503
        assert b'"unavailable"' in body


async def test_requests_that_wait_on_a_rolled_back_version_flee_where_replay_is_allowed() -> None:
    async with (
        Backend(backends.never()) as hung,
        Backend(backends.ok(b"way back")) as good,
        Rig(replay="always") as rig,
    ):
        rig.serve(hung.url, good.url)
        client = await rig.client()
        await client.send(POST)
        await asyncio.sleep(0.05)
        rig.route(1, NO_SLOT, flags=Flag.FLEE)
        assert (await client.response())[2] == b"way back"
    assert rig.attempts(0) == {"timed_out": 1}


async def test_cut_ends_what_is_left_on_a_slot() -> None:
    async with Backend(backends.never()) as hung, Backend(backends.ok()) as good, Rig() as rig:
        rig.serve(hung.url, good.url)
        client = await rig.client()
        await client.send(POST)
        await asyncio.sleep(0.05)
        generation = rig.route(1, NO_SLOT, flags=Flag.FLEE)
        from router.shm.slots import Slots

        Slots(rig.wall, 0).cut(0, generation)
        rig.plane.refresh()
        assert (await client.response())[0] == 503
    assert rig.attempts(0) == {"cut": 1}


async def test_drain_finishes_what_is_under_way() -> None:
    async with Backend(backends.slow(0.2, b"done")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client, idle = await rig.client(), await rig.client()
        await idle.ask(GET)
        await client.send(POST)
        await asyncio.sleep(0.05)
        rig.listener.stop()
        draining = asyncio.create_task(rig.plane.drain())
        status, head, body = await client.response()
        assert (status, body, field(head, b"connection")) == (200, b"done", b"close")
        assert await idle.rest() == b""
        await draining


# ---------------------------------------------------------------- services
async def test_services_are_matched_by_host_and_longest_prefix_at_a_segment() -> None:
    base = OPTIONS.services[0]
    services = (
        replace(base, name="a", path_prefix=b"/"),
        replace(base, name="b", path_prefix=b"/models"),
        replace(base, name="c", path_prefix=b"/models/x"),
        replace(base, name="d", hosts=frozenset({b"other"})),
    )
    async with Rig(replace(OPTIONS, services=services)) as rig:
        match = rig.plane.request_head
        names = {
            target: match(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host))[1].options.name  # type: ignore[union-attr]
            for host, target in [
                (b"h", b"/"),
                (b"h", b"/modelsX"),
                (b"h", b"/models?x"),
                (b"h:80", b"/models/y"),
                (b"h", b"/models/x/y"),
                (b"OTHER:81", b"/other"),
            ]
        }
        assert names == {
            b"/": "a",
            b"/modelsX": "a",
            b"/models?x": "b",
            b"/models/y": "b",
            b"/models/x/y": "c",
            b"/other": "d",
        }


async def test_a_request_for_no_service_is_404() -> None:
    service = replace(OPTIONS.services[0], path_prefix=b"/models")
    async with Rig(replace(OPTIONS, services=(service,))) as rig:
        status, _, body = await rig.ask(GET)
        assert status == 404
        assert b"no_service" in body


STYLES = {
    b"/v1/chat/completions": (b"application/json", b'"type":"server_error"'),
    b"/v2/models/m/infer": (b"application/json", b'{"error":"'),
    b"/other": (b"application/problem+json", b'"title":"Service Unavailable"'),
}


@pytest.mark.parametrize(("path", "expected"), STYLES.items())
async def test_errors_come_in_the_form_of_the_route(path: bytes, expected: tuple[bytes, bytes]) -> None:
    async with Rig() as rig:
        rig.route()
        _, head, body = await rig.ask(b"GET %b HTTP/1.1\r\nHost: t\r\n\r\n" % path)
        assert field(head, b"content-type") == expected[0]
        assert expected[1] in body
