"""Malformed requests as bytes: one log line, a problem document, no version in the answer."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from router.control.admin import app
from router.control.admin.http_protocol import MalformedRequests, reason
from router.settings.sections.admin import Admin
from tests.control.conftest import AdminHarness, StartAdmin, token
from tests.texts import golden

HOST = b"Host: localhost\r\n"
POST = b"POST /v1/services/fraud/freeze HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MALFORMED = {
    "binary junk": (b"\x00\xff\xfe\x1b[31m\r\n\r\n", 400),
    "an escape sequence as method": (b"\x1b[2J / HTTP/1.1\r\n\r\n", 400),
    "TLS on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 64, 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "no method": (b" / HTTP/1.1\r\n\r\n", 400),
    "a bad method": (b"G\x01T / HTTP/1.1\r\n\r\n", 400),
    "a bad version": (b"GET / HTTP/9.x\r\n\r\n", 400),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", 400),
    "a field without a colon": (b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n", 400),
    "a space before the colon": (b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n", 400),
    "a NUL in a field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n", 400),
    "a long request line": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 431),
    "a long field": (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "a thousand fields": (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 1000 + b"\r\n", 431),
    "a bad Content-Length": (POST + b"Content-Length: x\r\n\r\n", 400),
    "a negative Content-Length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a huge Content-Length": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a length and chunks": (POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a bad chunk": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
    "a bad chunk later": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nxx\r\n", 400),
    "an unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n{}", 400),
    "an unknown Expect": (POST + b"Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}", 417),
}
TWINS = {
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n", 200),
    "chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
    "an upgrade that is not taken": (
        b"GET /v1/status HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
    "an upgrade to HTTP/2": (
        b"GET /livez HTTP/1.1\r\n" + HOST + b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\n\r\n",
        200),
    "100-continue": (POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", 100),
}  # fmt: skip


async def exchange(admin: AdminHarness, raw: bytes) -> bytes:
    """Return everything that comes back until the end; our side closes after the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rpartition(":")[2]))
    writer.write(raw)
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await asyncio.wait_for(reader.readexactly(int(length[1])), 10) if length else b""
    finally:
        writer.close()
    return head + body


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_no_request(admin: AdminHarness, name: str, caplog: pytest.LogCaptureFixture) -> None:
    raw, status = MALFORMED[name]
    answer = await exchange(admin, raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"\r\nContent-Type: application/problem+json" in head
    assert b"\r\nServer: rollback-router\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert not re.search(rb"(?i)aiohttp|python|uvloop|Traceback", answer)
    problem = json.loads(body)
    assert (problem["status"], problem["detail"].isprintable()) == (status, True)
    assert f"X-Request-ID: {problem['request_id']}".encode() in head
    assert len(caplog.records) <= 1
    for record in caplog.records:
        assert (record.levelname, record.exc_info, record.getMessage().isprintable()) == ("WARNING", None, True)
    assert admin.fake.calls == []
    assert (await admin.call("GET", "/livez"))[0] == 200


@pytest.mark.parametrize("name", TWINS)
async def test_what_is_odd_but_right(admin: AdminHarness, name: str, caplog: pytest.LogCaptureFixture) -> None:
    raw, status = TWINS[name]
    assert int((await exchange(admin, raw)).split()[1]) == status
    assert caplog.records == []


WAITS = b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
FREEZE = b"POST /v1/services/svc/freeze HTTP/1.1\r\n"
TOKEN = b"Authorization: Bearer ann-secret\r\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (FREEZE + HOST + WAITS + b"Content-Length: 2\r\n\r\n", 401),
        (FREEZE + HOST + b"Authorization: Bearer guess\r\n" + WAITS + b"Content-Length: 2\r\n\r\n", 401),
        (FREEZE + b"Host: evil.example\r\n" + TOKEN + WAITS + b"Content-Length: 2\r\n\r\n", 421),
        (FREEZE + HOST + TOKEN + WAITS + b"Content-Length: 9999999\r\n\r\n", 413),
        (FREEZE + HOST + TOKEN + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n", 415),
        (b"PUT /v1/services/svc/freeze HTTP/1.1\r\n" + HOST + TOKEN + WAITS + b"Content-Length: 2\r\n\r\n", 405),
        (b"POST /v1/nothing HTTP/1.1\r\n" + HOST + TOKEN + WAITS + b"Content-Length: 2\r\n\r\n", 404),
        (FREEZE + HOST + TOKEN + WAITS + b"Content-Length: 2\r\n\r\n", 100),
        (FREEZE + HOST + TOKEN + WAITS + b"Transfer-Encoding: chunked\r\n\r\n", 100),
    ],
)
async def test_a_100_is_sent_only_if_the_body_is_wanted(start_admin: StartAdmin, raw: bytes, status: int) -> None:
    admin = await start_admin(Admin(tokens=(token("ann", "admin"),)))
    assert int((await exchange(admin, raw)).split()[1]) == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 9999999\r\n\r\n", 413),
        (b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 501),
        (b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\nContent-Length: 2\r\n\r\n{}", 400),
        (b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 2\r\n\r\n{}", 400),
        ('If-Match: "\u0663"\r\nContent-Length: 2\r\n\r\n{}'.encode(), 400),
        (
            b"Idempotency-Key: a\r\nAuthorization: Bearer b\r\nContent-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
            200,
        ),
    ],
)
async def test_a_request_that_could_be_read_in_two_ways(admin: AdminHarness, fields: bytes, status: int) -> None:
    assert int((await exchange(admin, POST + fields)).split()[1]) == status


@pytest.mark.parametrize("raw", [b"POST /livez HTTP/1.1\r\n", b"GET /v1/nothing HTTP/1.1\r\n"])
async def test_an_unread_bad_chunk_is_no_traceback(
    admin: AdminHarness, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rpartition(":")[2]))
    writer.write(raw + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.write(b"zz\r\n")
    await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert len(caplog.records) <= 1


async def test_a_client_that_closes_within_a_body_is_no_traceback(
    admin: AdminHarness, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(admin.url.rpartition(":")[2]))
    writer.write(POST + b"Content-Length: 100\r\n\r\n{")
    limiter = admin.application[app.CONNECTIONS]
    async with asyncio.timeout(5):
        while len(limiter) != 1 or limiter.waiting:
            await asyncio.sleep(0)
    writer.transport.abort()
    async with asyncio.timeout(5):
        while len(limiter):
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert [record for record in caplog.records if record.exc_info] == []
    assert admin.fake.calls == []


async def test_many_are_one_line_and_a_count(start_admin: StartAdmin, caplog: pytest.LogCaptureFixture) -> None:
    admin = await start_admin()
    for _ in range(20):
        await exchange(admin, b"\x1b[31m\r\n\r\n")
    assert len(caplog.records) == 1
    assert golden("admin.malformed_requests") in caplog.text
    _, _, figures = await admin.call("GET", "/metrics")
    assert 'rollback_router_admin_refused_total{why="malformed"} 20.0\n' in figures


def test_a_reason_is_one_visible_line() -> None:
    assert reason(ValueError("bad:\n\n  b'\x1b'\n   ^")) == "bad"
    assert reason(ValueError("")) == "ValueError"
    assert len(reason(ValueError("x" * 5000))) < 200
    assert "\x1b" not in reason(ValueError("a\x1b[31mb"))
    malformed = MalformedRequests()
    malformed.record(None, ValueError("x"))
    assert malformed.counts == {"malformed": 1}
