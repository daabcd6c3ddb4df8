"""One request through the data plane: what arrives, what comes back, who is tried next, what is counted."""

from __future__ import annotations

import gc
from dataclasses import replace

from router.proxy.engine.upstream import Upstream
from router.runtime import clock
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.leak_check import alive
from tests.proxy.recorder import Wire
from tests.proxy.rig import OPTIONS, Rig, field
from tests.proxy.waiting import until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


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


async def test_no_first_byte_in_time_is_504_and_timed_out() -> None:
    async with Backend(backends.never()) as backend, Rig(first_byte_timeout_s=0.2) as rig:
        rig.serve(backend.url)
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"x-router-error")) == (504, b"upstream_timeout")
    assert rig.attempts() == {"timed_out": 1}
    assert sum(rig.worker_stats.slot_histogram(0, 0, at.L_ABANDONED)) == 1


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
        await until(lambda: len(backend.requests) == 2)
        status, head, _ = await rig.ask(POST)
        assert (status, field(head, b"retry-after")) == (503, b"1")
        for client in waiting:
            client.reset()
    assert rig.attempts() == {"saturated": 1, "client_gone": 2}


async def test_ten_thousand_requests_leave_no_object_that_waits_for_the_garbage_collector() -> None:
    """Behind transports that the test holds: the request path alone, at most one request under way."""
    async with Rig() as rig:
        rig.serve("http://127.0.0.1:9")
        active = rig.data_plane.services[0].active
        assert active is not None
        client, backend = Wire(rig.data_plane), Transport()
        upstream = Upstream(rig.context, active.pools[0])
        upstream.connection_made(backend)  # type: ignore[arg-type]
        active.pools[0].release(upstream, clock.now_s())
        gc.disable()
        before = alive()
        for _ in range(10_000):
            client.feed(GET)
            upstream.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            client.written = b""
        after = alive()
        gc.enable()
        client.leave()
        upstream.connection_lost(None)
        del upstream
    assert after == before
    assert rig.attempts() == {"ok": 10_000}


class Transport:
    """One that drops what is written."""

    def write(self, data: bytes) -> None: ...

    def set_write_buffer_limits(self, high: int) -> None: ...

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def abort(self) -> None: ...
