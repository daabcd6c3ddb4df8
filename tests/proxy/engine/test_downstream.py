"""What clients send, in every cut and order, and how the connection goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field, until
from tests.proxy.waiting import turns

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"
POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("raw", [GET, POST, CHUNKED_POST], ids=["get", "length", "chunked"])
async def test_every_cut_of_a_request_is_the_same_request(raw: bytes) -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(raw))[0] == 200
        whole = backend.requests[0]
        for cut in range(1, len(raw)):
            await client.send(raw[:cut])
            await turns()
            assert (await client.ask(raw[cut:]))[0] == 200
            assert (backend.requests[-1].line, backend.requests[-1].body) == (whole.line, whole.body)


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


async def test_http_1_0_is_closed_unless_kept_alive() -> None:
    async with Backend(backends.tokens(2, 0.0)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        answer = await client.rest()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"data: token\n\n" * 2
        assert backend.requests[0].field("host") == b"127.0.0.1:%d" % backend.port
        backend.behaviour = backends.ok()
        client = await rig.client()
        for _ in range(2):
            status, head, _ = await client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (status, field(head, b"connection")) == (200, b"keep-alive")


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


async def test_a_client_that_leaves_while_it_waits_frees_the_backend_and_is_no_fault() -> None:
    async with Backend(backends.never()) as backend, Rig(hang_wait_min_s=0.0) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: len(backend.requests) == 1)
        client.reset()
        await until(lambda: not backend.open)
    assert rig.attempts() == {"client_gone": 1}
    assert rig.scalar(at.L_ABANDONED_LONG) == 1
    assert rig.scalar(at.L_FAULTS_UNBEGUN) == 0


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


async def test_a_bad_chunk_after_the_head_cuts_the_backend_without_a_last_chunk() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await until(lambda: len(backend.open) == 1)
        await rig.has_read(client)
        assert (await client.ask(b"ZZ\r\n"))[0] == 400
        assert await client.rest() == b""
        await until(lambda: not backend.open)
        assert backend.requests == []
    assert rig.attempts() == {"client_gone": 1}
    assert rig.exchanges() == {"refused": 1}


async def test_an_empty_line_does_not_free_a_connection_of_its_deadline() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, header_timeout_s=0.2)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        await client.send(b"\r\n")
        assert await client.rest() == b""
