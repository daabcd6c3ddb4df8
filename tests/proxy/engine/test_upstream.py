"""What backends answer, in every cut, and what of it never looks whole."""

from __future__ import annotations

import asyncio
import json

import pytest

from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, field
from tests.proxy.waiting import turns, until

GET = b"GET /a?b=%20c HTTP/1.1\r\nHost: Test:1\r\n\r\n"


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
            await turns(3)
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


@pytest.mark.parametrize(("length", "connections"), [(b"5", 2), (b"0", 1)], ids=["a body may yet come", "none can"])
async def test_head_has_the_length_and_no_body(length: bytes, connections: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % length
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(2):
            await client.send(b"HEAD / HTTP/1.1\r\nHost: t\r\n\r\n")
            assert field(await client.head(), b"content-length") == length
        assert backend.connections == connections


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


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "garbage": (backends.GARBAGE, "status_line_malformed"),
    "two lengths": (backends.TWO_LENGTHS, "content_length_repeated"),
    "two equal lengths": (OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "content_length_repeated"),
    "a list of lengths": (OK + b"Content-Length: 2, 2\r\n\r\nok", "content_length_malformed"),
    "length and chunked": (backends.LENGTH_AND_CHUNKED, "transfer_encoding_with_length"),
    "unknown coding": (backends.UNKNOWN_CODING, "transfer_coding_unknown"),
    "chunked twice": (backends.CHUNKED_TWICE, "transfer_coding_unknown"),
    "two equal codings": (OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", "transfer_encoding_repeated"),
    "two codings": (
        OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "transfer_encoding_repeated",
    ),
    "coding in 1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding_in_http_1_0"),
    "huge head": (backends.HUGE_HEAD, "head_too_large"),
    "a list of 200": (OK + b"Connection: " + b"a," * 200 + b"a\r\nContent-Length: 0\r\n\r\n", "list_too_long"),
    "unasked 101": (backends.UNASKED_SWITCH, "interim_unexpected"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "head_malformed"),
    "HTTP/2 line": (b"HTTP/2 200\r\n\r\n", "status_line_malformed"),
    "33 interim": (b"HTTP/1.1 103 Early\r\n\r\n" * 33, "interim_unexpected"),
    "obs-fold": (OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n", "head_malformed"),
}


@pytest.mark.parametrize(("raw", "cause"), BROKEN.values(), ids=BROKEN)
async def test_what_the_backend_breaks_is_502_and_its_connection_is_not_used_again(
    raw: bytes, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert refused(rig) == {f"response_{cause}": 1}
    assert [record.args[3] for record in caplog.records if "was refused" in record.msg] == [f"response_{cause}"]  # type: ignore[index]


OTHER_PROTOCOLS = {
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "https://"),
    "TLS handshake": (b"\x16\x03\x03\x00\x7a\x02", "https://"),
    "HTTP/2 settings": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", "HTTP/2"),
    "HTTP/2 goaway": (b"\x00\x00\x08\x07\x00\x00\x00\x00\x00", "HTTP/2"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", "'SSH-2.0-OpenSSH_9.2'"),
    "smtp": (b"220 mail ESMTP\r\n", "'220 mail ESMTP'"),
    "redis": (b"-ERR wrong number of arguments\r\n", "'-ERR wrong number of arguments'"),
    "HTTP/0.9": (b"hello", "'hello'"),
    "two bytes": (b"\xff\xfe", r"\xff\xfe"),
    "a field after it": (b"HTTP/2 200\r\nset-cookie: secret\r\n\r\n", "'HTTP/2 200'"),
}


@pytest.mark.parametrize(("raw", "words"), OTHER_PROTOCOLS.values(), ids=OTHER_PROTOCOLS)
async def test_a_backend_of_another_protocol_is_named(raw: bytes, words: str) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        code, _, body = await client.ask(GET)
        assert code == 502
        assert words in json.loads(body)["detail"]
        assert b"secret" not in body
    assert refused(rig) == {"response_status_line_malformed": 1}


def refused(rig: Rig) -> dict[str, int]:
    counts = {cause: rig.scalar(at.L_REFUSED_ANSWERS + number) for number, cause in enumerate(at.REFUSED_ANSWERS)}
    return {cause: count for cause, count in counts.items() if count}


@pytest.mark.parametrize("body", [b"5\r\nhelloX\r\n0\r\n\r\n", b"zz\r\n", b"0\r\nA B: c\r\n\r\n"])
async def test_a_malformed_chunk_is_a_refused_answer(body: bytes) -> None:
    async with Backend(backends.sending(OK + b"Transfer-Encoding: chunked\r\n\r\n" + body)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.rest()
    assert rig.attempts() == {"truncated": 1}
    assert refused(rig) == {"response_chunk_malformed": 1}


@pytest.mark.parametrize(
    "raw",
    [backends.response(200, b"ok"), backends.response(500, b"no"), backends.response(404, b"")],
    ids=["200", "500", "404"],
)
async def test_an_answer_that_is_relayed_or_missing_is_not_counted_as_refused(raw: bytes) -> None:
    async with Backend(backends.sending(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET)
        await client.head()
    assert refused(rig) == {}


async def test_bytes_after_the_response_are_dropped_with_their_connection() -> None:
    async with Backend(backends.sending(backends.response(200, b"ok") + b"EXTRA")) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(3):
            assert (await client.ask(GET))[2] == b"ok"
        assert backend.connections == 3


async def test_an_early_answer_to_a_large_upload_is_delivered_although_the_write_fails() -> None:
    raw = backends.response(413, b"too much")
    async with Backend(backends.early(raw)) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        client.writer.write(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 8_000_000)
        status, head, body = await client.response()
        assert (status, body, field(head, b"connection")) == (413, b"too much", b"close")
    assert rig.attempts() == {"client_error": 1}


async def test_an_idle_connection_that_speaks_is_dropped() -> None:
    idle = asyncio.Event()

    async def speak(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(backends.response(200, b"ok"))
        await idle.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
        await connection.closed()

    async with Backend(speak) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[2] == b"ok"
        await rig.quiet()
        idle.set()
        await until(lambda: not backend.open)
        assert (await client.ask(GET))[2] == b"ok"
        assert backend.connections == 2
