"""One worker as a whole: services, readiness, drain."""

from __future__ import annotations

import asyncio
import errno
import os
from dataclasses import replace

import pytest

from router.runtime import clock
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.recorder import Recorder
from tests.proxy.rig import OPTIONS, Rig, field
from tests.proxy.waiting import until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


async def test_services_are_matched_by_host_and_longest_prefix_at_a_segment() -> None:
    base = OPTIONS.services[0]
    services = (
        replace(base, name="a", path_prefix=b"/"),
        replace(base, name="b", path_prefix=b"/models"),
        replace(base, name="c", path_prefix=b"/models/x"),
        replace(base, name="d", hosts=frozenset({b"other"})),
    )
    async with Rig(replace(OPTIONS, services=services)) as rig:
        match = rig.context.request_head
        names = {
            target: match(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, host)).service.options.name  # type: ignore[union-attr]
            for host, target in [
                (b"h", b"/"),
                (b"h", b"/modelsX"),
                (b"h", b"/models?x"),
                (b"h:80", b"/models/y"),
                (b"h", b"/models/x/y"),
                (b"OTHER:81", b"/other"),
                (b"other.", b"/dot"),
                (b"Other.:443", b"/dot-and-port"),
                (b"%6fther", b"/encoded"),
                (b"other..", b"/two-dots"),
            ]
        }
        assert names == {
            b"/": "a",
            b"/modelsX": "a",
            b"/models?x": "b",
            b"/models/y": "b",
            b"/models/x/y": "c",
            b"/other": "d",
            b"/dot": "d",
            b"/dot-and-port": "d",
            b"/encoded": "d",
            b"/two-dots": "a",
        }


LOOKALIKES = (
    b"GET /a HTTP/1.1\r\nHost: T.Example.:80\r\nX_Request_Id: 1\r\nx_forwarded_for: 6.6.6.6\r\nX_Model: m\r\n\r\n"
)


async def test_lookalikes_are_left_out_counted_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        for _ in range(3):
            assert (await rig.ask(LOOKALIKES))[0] == 200
        for raw in recorder.requests:
            names = {line.partition(b":")[0].lower() for line in raw.split(b"\r\n")[1:]}
            assert {b"x_request_id", b"x_forwarded_for"}.isdisjoint(names)
            assert names >= {b"x_model", b"x-request-id", b"x-forwarded-for"}
            assert b"\r\nHost: T.Example.:80\r\n" in raw
        assert rig.worker_stats.lookalikes() == 6
    assert [record.args[0] for record in caplog.records if "left out" in record.msg] == ["x_request_id"]  # type: ignore[index]


async def test_a_setting_refuses_lookalikes() -> None:
    async with Recorder() as recorder, Rig(replace(OPTIONS, refuse_lookalikes=True)) as rig:
        rig.serve(recorder.url)
        assert (await rig.ask(LOOKALIKES))[0] == 400
        assert (await rig.ask(GET))[0] == 200
        assert len(recorder.requests) == 1
        assert rig.worker_stats.lookalikes() == 0


async def test_lookalikes_of_trailers_are_left_out() -> None:
    chunked = b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
    trailers = b"2\r\nhi\r\n0\r\nX_Request_ID: 1\r\nContent_Length: 5\r\nX_Forwarded-For: 6.6.6.6\r\nX_Sum: 1\r\n\r\n"
    async with Recorder() as recorder, Rig() as rig:
        rig.serve(recorder.url)
        assert (await rig.ask(chunked + trailers))[0] == 200
        assert recorder.connections[0].raw.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\nX_Sum: 1\r\n\r\n")


async def test_a_request_for_no_service_is_404() -> None:
    service = replace(OPTIONS.services[0], path_prefix=b"/models")
    async with Rig(replace(OPTIONS, services=(service,))) as rig:
        status, _, body = await rig.ask(GET)
        assert status == 404
        assert b"no_service" in body


@pytest.mark.parametrize(
    ("silent_s", "told"),
    [
        (0.0, b'"status":"ready"'),
        (4.0, b'"status":"ready"'),
        (6.0, b'"status":"degraded"'),
        (1e5, b'"status":"degraded"'),
    ],
)
async def test_without_control_a_worker_is_ready_and_says_degraded(silent_s: float, told: bytes) -> None:
    async with Backend(backends.ok(b"served")) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.segment.words[at.H_CONTROL_HEARTBEAT_NS] = max(0, clock.now_ns() - int(silent_s * 1e9))
        status, _, body = await rig.ask(READY)
        assert (status, told in body) == (200, True), body
        assert (await rig.ask(POST))[2] == b"served"


async def test_a_draining_worker_is_not_ready() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        rig.segment.words[at.H_DRAINING] = 1  # the supervisor was told to stop; the port is open still
        status, head, body = await rig.ask(READY)
        assert (status, field(head, b"retry-after")) == (503, b"1")
        assert b'"draining":true' in body


async def test_at_a_stop_an_idle_client_may_send_once_more_and_is_told_that_it_was_the_last() -> None:
    async with Backend(backends.ok(b"done")) as backend, Rig(replace(OPTIONS, shutdown_idle_s=5.0)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert field((await client.ask(GET))[1], b"connection") is None
        draining = asyncio.create_task(rig.data_plane.drain())
        await until(lambda: rig.context.draining)
        status, head, body = await client.ask(POST)
        assert (status, body, field(head, b"connection")) == (200, b"done", b"close")
        assert await client.rest() == b""
        await asyncio.wait_for(draining, 1)


async def test_drain_finishes_what_is_under_way() -> None:
    async with Backend(backends.slow(0.2, b"done")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client, idle = await rig.client(), await rig.client()
        await idle.ask(GET)
        await client.send(POST)
        await until(lambda: len(backend.requests) == 2)
        rig.listener.stop()
        draining = asyncio.create_task(rig.data_plane.drain())
        status, head, body = await client.response()
        assert (status, body, field(head, b"connection")) == (200, b"done", b"close")
        assert await idle.rest() == b""
        await draining


async def test_via_names_us_in_both_directions_also_when_the_head_is_remembered() -> None:
    options = replace(OPTIONS, via=True)
    async with Backend(backends.interim(103)) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            await client.send(GET)
            assert field(await client.head(), b"via") == b"1.1 rollback-router"
            assert field((await client.response())[1], b"via") == b"1.1 rollback-router"
            assert backend.requests[-1].field("via") == b"1.1 rollback-router"
        rig.data_plane.reconfigure(replace(options, via=False))
        await client.send(GET)
        assert field(await client.head(), b"via") is None
        assert field((await client.response())[1], b"via") is None
        assert backend.requests[-1].field("via") is None


async def test_options_that_may_go_no_further_is_answered_here() -> None:
    ask = b"OPTIONS /a HTTP/1.1\r\nHost: t\r\nMax-Forwards: %d\r\n%b\r\n"
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        status, head, _ = await client.ask(ask % (0, b""))
        assert (status, field(head, b"allow")) == (200, b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")
        assert (await client.ask(ask % (1, b"")))[2] == b"ok"
        assert [request.field("max-forwards") for request in backend.requests] == [b"0"]
        status, head, _ = await client.ask(ask % (0, b"Content-Length: 5\r\n"))
        assert (status, field(head, b"connection")) == (200, b"close")
        assert await client.rest() == b""


async def test_a_loop_ends_after_so_many_passes() -> None:
    """The backend is the router itself."""
    async with Rig(replace(OPTIONS, via=True, passes_max=3)) as rig:
        rig.serve(f"http://127.0.0.1:{rig.port}")
        status, head, body = await rig.ask(GET)
        assert (status, b'"code":"loop_detected"' in body) == (508, True)
        assert head.count(b"Via: 1.1 rollback-router") == 3
        assert b"3 routers" in body
        assert rig.exchanges() == {"server_error": 3}


async def test_descriptors_are_looked_at_in_each_sweep_with_a_connection_and_else_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(fd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async with Rig() as rig:
        word = rig.context.row + at.W_LIMITED + at.LIMITED_DESCRIPTORS
        monkeypatch.setattr(os, "dup", none_left)
        for _ in range(20):
            rig.data_plane.sweep()
        assert rig.segment.words[word] == 2
        await rig.client()
        await until(lambda: rig.data_plane.limiter.connection_count() == 1)
        before = rig.segment.words[word]
        for _ in range(20):
            rig.data_plane.sweep()
        assert rig.segment.words[word] - before == 20
        monkeypatch.undo()
