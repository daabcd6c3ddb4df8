"""A line for each request: who, what, how it ended, how much."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from router.proxy.options import ForwardingOptions
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Client, Rig, until

LOGGED = replace(OPTIONS, access_log=True)
POST = b"POST /infer?a HTTP/1.1\r\nHost: t\r\nX-Request-ID: 1\r\nContent-Length: 5\r\n\r\nhello"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.INFO, "router.access")

    def read() -> list[dict[str, Any]]:
        said = [record.getMessage() for record in caplog.records if record.name == "router.access"]
        assert not any("\n" in line for line in said)
        return [orjson.loads(line) for line in said]

    return read


async def exchanged(client: Client, raw: bytes) -> int:
    """Ask; return how many bytes came back."""
    _, head, body = await client.ask(raw)
    return len(head) + len(body)


async def test_each_request_has_a_line_with_its_own_sizes(lines: Lines) -> None:
    async with Backend(backends.ok(b"answer")) as backend, Rig(LOGGED) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        sizes = [await exchanged(client, POST), await exchanged(client, b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n")]
        backend.behaviour = backends.tokens(3, 0.0)
        await client.send(b"GET / HTTP/1.1\r\nHost: t\r\nX-Request-ID: 2\r\nConnection: close\r\n\r\n")
        sizes.append(len(await client.rest()))
    first, last = lines()
    assert 0.0 < first.pop("seconds") < 5.0
    assert first.pop("generation") > 0
    assert first == {
        "client": "127.0.0.1",
        "method": "POST",
        "target": "/infer?a",
        "service": "default",
        "version": "v1",
        "status": 200,
        "outcome": "ok",
        "request_id": "1",
        "request_bytes": 5,
        "response_bytes": sizes[0],
    }
    assert (last["request_bytes"], last["response_bytes"]) == (0, sizes[2])


async def test_our_own_answers_have_their_status_and_size(lines: Lines) -> None:
    async with Backend(backends.reset_at_accept()) as backend, Rig(LOGGED) as rig:
        client = await rig.client()
        sizes = [await exchanged(client, POST)]
        rig.serve(backend.url)
        sizes.append(await exchanged(client, POST.replace(b"5\r\n\r\nhello", b"0\r\n\r\n")))
        sizes.append(await exchanged(client, POST.replace(b"Length: 5", b"Length: 99999999")))
    found = lines()
    assert [line["status"] for line in found] == [503, 502, 413]
    assert [line["response_bytes"] for line in found] == sizes
    assert (found[2]["code"], found[2]["outcome"], found[2]["service"]) == ("body_too_large", "refused", None)


async def test_what_is_malformed_is_told_without_method_and_target(lines: Lines) -> None:
    async with Rig(LOGGED) as rig:
        size = await exchanged(await rig.client(), b"GET / HTTP/1.1\r\n\r\n")
    (line,) = lines()
    assert (line["method"], line["target"], line["status"], line["code"]) == (None, None, 400, "bad_request")
    assert (line["client"], line["response_bytes"]) == ("127.0.0.1", size)


async def test_a_client_that_leaves_has_a_line(lines: Lines) -> None:
    async with Backend(backends.never()) as backend, Rig(LOGGED) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: backend.requests)
        client.reset()
        await until(lines)
    (line,) = lines()
    assert (line["status"], line["outcome"], line["response_bytes"]) == (499, "client_gone", 0)


async def test_a_chunked_body_has_no_size_beforehand(lines: Lines) -> None:
    async with Backend(backends.ok()) as backend, Rig(LOGGED) as rig:
        rig.serve(backend.url)
        await rig.ask(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert lines()[0]["request_bytes"] is None


async def test_the_client_is_the_right_most_that_is_not_trusted_and_nothing_breaks_a_line(lines: Lines) -> None:
    options = replace(LOGGED, forwarding=ForwardingOptions(trusted=("127.0.0.0/8",)))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        chain = b"X-Forwarded-For: 6.6.6.6, 192.0.2.7, 127.0.0.9\r\n"
        assert (await client.ask(b"GET / HTTP/1.1\r\nHost: t\r\n" + chain + b"\r\n"))[0] == 200
        assert (await client.ask(b'GET /"%0a\xff HTTP/1.1\r\nHost: t\r\n\r\n'))[0] == 200
    assert [line["client"] for line in lines()] == ["192.0.2.7", "127.0.0.1"]
    assert lines()[1]["target"] == '/"%0a\xff'


async def test_what_is_malformed_is_not_told_of_the_client_before_it(lines: Lines) -> None:
    trusting = replace(LOGGED, forwarding=ForwardingOptions(trusted=("127.0.0.0/8",)))
    async with Backend(backends.ok()) as backend, Rig(trusting) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.ask(POST.replace(b"Host", b"X-Forwarded-For: 203.0.113.9\r\nHost"))
        assert (await client.ask(b"GET / HTTP/1.1\r\n\r\n"))[0] == 400
    assert [line["client"] for line in lines()] == ["203.0.113.9", "127.0.0.1"]


async def test_a_connection_from_before_the_log_has_lines_without_a_size(lines: Lines) -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(POST))[0] == 200
        rig.data_plane.reconfigure(LOGGED)
        assert (await client.ask(POST))[0] == 200
        assert await exchanged(await rig.client(), POST) == lines()[1]["response_bytes"]
    assert [line["response_bytes"] is None for line in lines()] == [True, False]


async def test_a_websocket_is_a_line_when_it_ends(lines: Lines) -> None:
    accept = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello"
    async with Backend(backends.sending(accept)) as backend, Rig(LOGGED) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(
            b"GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )
        came = await client.head() + await client.exactly(5)
        client.close()
        await until(lines)
    assert [(line["status"], line["response_bytes"]) for line in lines()] == [(101, len(came))]
