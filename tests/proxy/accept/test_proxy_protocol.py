"""Connections that begin with a PROXY header, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from router.proxy.accept.listener import Listener
from router.proxy.options import ForwardingOptions, Options, ProxyProtocolOptions
from router.shm import layout as at
from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.http1.test_proxy_header import TCP4, TCP6, v2, vector
from tests.proxy.rig import OPTIONS, Client, Rig, until
from tests.proxy.waiting import turns
from tests.texts import golden

GET = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"


def required(*announcers: str, options: Options = OPTIONS) -> Options:
    return replace(options, proxy_protocol=ProxyProtocolOptions(True, announcers or ("127.0.0.0/8",)))


def refused(rig: Rig) -> int:
    return rig.worker_stats.proxy_headers_refused()


async def ends(client: Client) -> bytes:
    """Return what the router says before it closes or resets."""
    try:
        return await client.rest()
    except ConnectionError:
        return b""


HEADERS = {
    "v1": (LINE, b"192.0.2.7"),
    "v2": (v2(0x21, TCP6 + vector(4, b"\0")), b"2001:db8::7"),
    "Unix": (v2(0x31, bytes(216)), b"unknown"),
    "not told": (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
    "the balancer's own": (v2(0x00, b"", 0x20), b"127.0.0.1"),
}


@pytest.mark.parametrize(("header", "address"), HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("apart", [False, True], ids=["in one", "apart"])
async def test_backends_are_told_who_was_announced(header: bytes, address: bytes, apart: bool) -> None:
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        if apart:
            await client.send(header)
            await until(lambda: rig.data_plane.limiter.connections)
            await client.send(GET)
        else:
            await client.send(header + GET)
        assert (await client.response())[0] == 200
        assert backend.requests[0].field("x-forwarded-for") == address
    assert refused(rig) == 0


async def test_every_cut_of_header_and_request() -> None:
    raw = v2(0x21, TCP6) + GET
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        for cut in range(1, len(raw), 3):
            client = await rig.client()
            await client.send(raw[:cut])
            await turns()
            await client.send(raw[cut:])
            assert (await client.response())[0] == 200
        assert {request.field("x-forwarded-for") for request in backend.requests} == {b"2001:db8::7"}


@pytest.mark.parametrize(
    "raw",
    [GET, b"\x16\x03\x01\x02\x00", b"PROXY TCP4 a b c d\r\n" + GET, v2(0x11, b"x") + GET, b"\r\n" + GET],
    ids=["no header", "TLS", "v1", "v2", "empty line"],
)
async def test_without_a_header_nothing_is_answered_and_nothing_reaches_a_backend(raw: bytes) -> None:
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(raw)
        assert await ends(client) == b""
        assert backend.requests == []
        assert refused(rig) == 1
        assert not rig.context.proxy_header_wait.since


async def test_a_header_from_elsewhere_is_no_header() -> None:
    async with Backend(backends.ok()) as backend, Rig(required("10.0.0.0/8", "unix")) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(LINE + GET)
        assert await ends(client) == b""
        assert backend.requests == []
    assert refused(rig) == 1


async def test_where_none_is_required_a_header_is_a_malformed_request() -> None:
    options = replace(OPTIONS, proxy_protocol=ProxyProtocolOptions(False, ("127.0.0.0/8",)))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(LINE + GET))[0] == 400
        assert backend.requests == []


async def test_a_second_header_is_a_malformed_request() -> None:
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(LINE + LINE + GET))[0] == 400
        assert backend.requests == []


async def test_a_header_that_does_not_end_has_its_time() -> None:
    async with Rig(required(options=replace(OPTIONS, header_timeout_s=0.05))) as rig:
        silent, slow = await rig.client(), await rig.client()
        await slow.send(LINE[:9])
        assert [await ends(silent), await ends(slow)] == [b"", b""]
    assert refused(rig) == 2


async def test_who_only_looks_whether_the_port_is_open_is_not_counted() -> None:
    async with Rig(required()) as rig:
        for said in (b"", LINE[:9]):
            client = await rig.client()
            await client.send(said)
            await until(lambda: rig.context.proxy_header_wait.since)
            client.writer.write_eof()
            assert await ends(client) == b""
    assert refused(rig) == 1


async def test_those_who_wait_for_their_header_are_connections_too() -> None:
    async with Rig(required(options=replace(OPTIONS, connections_max=2))) as rig:
        waiting = [await rig.client() for _ in range(2)]
        await until(lambda: len(rig.context.proxy_header_wait.since) == len(waiting))
        third = await rig.client()
        assert await ends(third) == b""
        assert refused(rig) == 1
        assert rig.worker_stats.limited()["connections_max"] == 1


async def test_a_drain_gives_up_a_header_that_does_not_come() -> None:
    async with Rig(required(options=replace(OPTIONS, shutdown_idle_s=0.05))) as rig:
        client = await rig.client()
        await until(lambda: rig.context.proxy_header_wait.since)
        draining = asyncio.ensure_future(rig.data_plane.drain())
        assert await ends(client) == b""
        await draining


async def test_a_header_that_is_on_its_way_when_a_drain_begins_costs_nobody_a_request() -> None:
    async with Backend(backends.ok()) as backend, Rig(required(options=replace(OPTIONS, shutdown_idle_s=5))) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(LINE[:9])
        await until(lambda: rig.context.proxy_header_wait.since)
        draining = asyncio.ensure_future(rig.data_plane.drain())
        await turns()
        await client.send(LINE[9:] + b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        status, head, _ = await client.response()
        assert (status, b"\r\nConnection: close\r\n" in head) == (200, True)
        await draining


async def test_the_header_is_trusted_by_the_connection_and_claims_by_what_the_header_says() -> None:
    """The balancer is 127.0.0.1. It announces a proxy that is trusted, and then one that is not, which forges."""
    forwarding = ForwardingOptions(trusted=("192.0.2.0/24",))
    claim = GET.replace(b"Host", b"X-Forwarded-For: 198.51.100.9\r\nHost")
    async with Backend(backends.ok()) as backend, Rig(required(options=replace(OPTIONS, forwarding=forwarding))) as rig:
        rig.serve(backend.url)
        for source in (b"192.0.2.7", b"203.0.113.5", b"127.0.0.1"):
            assert (await rig.ask(LINE.replace(b"192.0.2.7", source) + claim))[0] == 200
    assert [request.field("x-forwarded-for") for request in backend.requests] == [
        b"198.51.100.9, 192.0.2.7",
        b"203.0.113.5",
        b"127.0.0.1",
    ]


async def test_a_balancer_on_a_unix_socket_may_announce(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "data.sock"))
    listening.listen(8)
    async with Backend(backends.ok()) as backend, Rig(required("unix")) as rig:
        rig.serve(backend.url)
        listener = Listener(rig.data_plane.new_connection, listening)
        await listener.start()
        client = Client(*await asyncio.open_unix_connection(tmp_path / "data.sock"))
        assert (await client.ask(LINE + GET))[0] == 200
        assert backend.requests[0].field("x-forwarded-for") == b"192.0.2.7"
        client.close()
        listener.stop()


async def test_settings_count_from_the_next_connection() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 200
        rig.data_plane.reconfigure(required())
        assert (await rig.ask(LINE + GET))[0] == 200
        client = await rig.client()
        await client.send(GET)
        assert await ends(client) == b""
    assert refused(rig) == 1


KEPT = GET.replace(b"Connection: close\r\n", b"")
OTHERS = required("10.0.0.0/8")


async def test_connections_of_a_removed_balancer_are_closed() -> None:
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        idle, busy, pending = await rig.client(), await rig.client(), await rig.client()
        assert (await idle.ask(LINE + KEPT))[0] == 200
        await busy.send(LINE + KEPT.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nh"))
        await pending.send(LINE[:9])
        await until(lambda: len(rig.data_plane.limiter.connections) == 2 and rig.context.proxy_header_wait.since)
        rig.data_plane.reconfigure(OTHERS)
        assert await ends(idle) == b""
        assert await ends(pending) == b""
        await busy.send(b"i" + KEPT)
        answers = await ends(busy)
        assert answers.startswith(b"HTTP/1.1 200 ")
        addresses = [request.field("x-forwarded-for") for request in backend.requests]
        assert addresses[:2] == [b"192.0.2.7", b"192.0.2.7"]
        assert set(addresses[2:]) <= {b"127.0.0.1"}
    assert refused(rig) == 1


async def test_connections_of_a_balancer_that_stays_are_kept() -> None:
    async with Backend(backends.ok()) as backend, Rig(required()) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(LINE + KEPT))[0] == 200
        rig.data_plane.reconfigure(required("10.0.0.0/8", "127.0.0.1"))
        assert (await client.ask(KEPT))[0] == 200
        assert [request.field("x-forwarded-for") for request in backend.requests] == [b"192.0.2.7"] * 2


async def test_the_log_names_the_client_and_now_and_then_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Backend(backends.ok()) as backend, Rig(required(options=replace(OPTIONS, access_log=True))) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(LINE + GET))[0] == 200
        for _ in range(3):
            client = await rig.client()
            await client.send(GET)
            assert await ends(client) == b""
    access = [record.getMessage() for record in caplog.records if record.name == "router.access"]
    assert [orjson.loads(line)["client"] for line in access] == ["192.0.2.7"]
    said = [record.getMessage() for record in caplog.records if record.name == "router.proxy.accept.proxy_protocol"]
    assert said == [golden("proxy_protocol.no_header")]
    assert rig.segment.words[rig.segment.layout.worker(0) + at.W_PROXY_HEADERS_REFUSED] == 3


@pytest.mark.parametrize("apart", [False, True], ids=["in one", "apart"])
@pytest.mark.parametrize("header", [LINE, v2(0x11, TCP4)], ids=["v1", "v2"])
async def test_the_header_comes_before_tls(tmp_path: Path, header: bytes, apart: bool) -> None:
    authority = CertificateAuthority(tmp_path)
    options = required(options=replace(OPTIONS, tls=ServerTls(authority.pair())))
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        raw = await rig.client()
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client().wrap_bio(came, goes, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        if apart:
            await raw.send(header)
            await until(lambda: not rig.context.proxy_header_wait.since)
            header = b""
        await raw.send(header + goes.read())
        while not tls.version() or goes.pending == 0:
            came.write(await asyncio.wait_for(raw.reader.read(65536), 5))
            try:
                tls.do_handshake()
                tls.write(GET)
            except ssl.SSLWantReadError:
                await raw.send(goes.read())
        await raw.send(goes.read())
        await until(lambda: backend.requests)
        assert backend.requests[0].field("x-forwarded-for") == b"192.0.2.7"
        assert backend.requests[0].field("x-forwarded-proto") == b"https"


async def test_tls_without_a_header_is_closed(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Rig(required(options=replace(OPTIONS, tls=ServerTls(authority.pair())))) as rig:
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await rig.client(authority.client())
    assert refused(rig) == 1
