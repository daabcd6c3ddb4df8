"""One request through the data plane: what arrives, what comes back, who is tried next, what is counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field, until

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


async def test_a_slow_reader_holds_the_backend_back_and_memory_stays_bounded() -> None:
    size = 8 << 20
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET)
        active = rig.plane.services[0].active
        await until(lambda: any(exchange.paused_at_s > 0 for exchange in active.open))
        assert not rig.plane.services[0].idle.since  # its clock stands still
        head, _, body = (await client.head()), b"", await client.exactly(size)
        assert len(body) == size
        assert head.startswith(b"HTTP/1.1 200")
    assert rig.attempts() == {"ok": 1}


async def test_a_backend_connection_held_back_for_one_client_is_not_held_back_for_the_next() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        slow = await rig.client()
        await asyncio.sleep(0.01)
        (connection,) = rig.plane.connections
        write = connection.write

        def write_and_be_congested(data: bytes) -> None:
            write(data)
            connection.pause_writing()  # as the loop does when the client takes less than we write

        connection.write = write_and_be_congested  # type: ignore[method-assign]
        assert (await slow.ask(GET))[0] == 200
        assert (await rig.ask(GET))[0] == 200
        assert backend.connections == 1
        await slow.send(GET)
        assert (await rig.ask(GET))[0] == 200
        assert len(backend.requests) == 3, "a client that takes nothing has to wait"
        connection.resume_writing()
        assert (await slow.response())[0] == 200


async def test_a_client_that_pipelines_and_takes_nothing_is_not_answered_into_memory() -> None:
    number, size = 300, 100_000
    async with Backend(backends.sending(backends.response(200, b"x" * size))) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.reader._limit = 1024  # type: ignore[attr-defined]  # the reader stops taking bytes
        await client.send(GET * number)
        await until(lambda: rig.plane.write_wait.since)
        asked = len(backend.requests)
        assert asked < number / 2
        await asyncio.sleep(0.05)
        assert len(backend.requests) == asked
        client.reader._limit = 1 << 24  # type: ignore[attr-defined]
        for _ in range(number):
            assert (await client.response())[0] == 200
    assert rig.attempts() == {"ok": number}
