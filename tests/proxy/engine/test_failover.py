"""Where a failed exchange goes on: another endpoint, another target, or nowhere."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.rollout.model.route import Flag
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


async def test_a_rollback_that_is_noticed_by_the_rescue_sends_the_request_once() -> None:
    async with (
        Backend(backends.never()) as failed,
        Backend(backends.ok(b"way back")) as good,
        Backend(backends.ok(b"the other")) as other,
        Rig(replay="always") as rig,
    ):
        rig.serve(failed.url, good.url)
        rig.fill(2, "v3", other.url)
        clients = [await rig.client() for _ in range(3)]
        for client in clients:
            await client.send(POST)
        await asyncio.sleep(0.05)
        rig.route(1, 2, flags=Flag.REDISPATCH, wake=False)
        await failed.stop()
        assert [(await client.response())[2] for client in clients] == [b"way back"] * 3
        for client in clients:
            assert (await client.ask(POST))[2] == b"way back", "the connection is in step"
    assert rig.attempts(1) == {"ok": 6}
    assert rig.attempts(2) == {}
    assert (len(good.requests), len(other.requests)) == (6, 0)
