"""TLS on the listener: handshakes that stand, that fail, that stall; certificates that change under load."""

from __future__ import annotations

import asyncio
import gc
import re
import ssl
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from router.proxy.tls.transport import TlsTransport
from router.shm import layout as at
from router.tls.contexts import AEAD, ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, Client, Rig, until
from tests.proxy.waiting import turns
from tests.texts import golden

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


def secured(tls: ServerTls, **changed: float) -> Rig:
    return Rig(replace(OPTIONS, tls=tls, **changed))  # type: ignore[arg-type]


def counted(rig: Rig) -> tuple[int, int]:
    """Return (handshakes that ended, of these failed)."""
    row = rig.segment.layout.worker(0)
    return rig.segment.words[row + at.W_HANDSHAKES], rig.segment.words[row + at.W_HANDSHAKES_FAILED]


def shown(client: Client) -> tuple[str, ...]:
    """Return the names in the certificate that the router showed."""
    der = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return tuple(names.value.get_values_for_type(x509.DNSName))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_requests_over_one_connection_say_https(version: ssl.TLSVersion, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    context = authority.client()
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair())) as rig:
        rig.serve(backend.url)
        client = await rig.client(context)
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            assert (await client.ask(GET))[::2] == (200, b"ok")
        assert {request.field("x-forwarded-proto") for request in backend.requests} == {b"https"}
        assert counted(rig) == (1, 0)


async def test_an_answer_that_closes_says_goodbye_before_it(tmp_path: Path) -> None:
    """ssl raises for an end without close_notify."""
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair())) as rig:
        rig.serve(backend.url)
        for request in (b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
            client = await rig.client(authority.client())
            await client.send(request)
            assert b"\r\nConnection: close\r\n" in await client.rest()


async def test_plain_http_is_told_so_and_other_bytes_are_not_answered(tmp_path: Path) -> None:
    async with secured(ServerTls(CertificateAuthority(tmp_path).pair())) as rig:
        client = await rig.client()
        status, head, _ = await client.ask(GET)
        assert (status, b"X-Router-Error: tls_required" in head) == (400, True)
        assert await client.rest() == b""
        client = await rig.client()
        await client.send(b"\x00\x01")
        assert await client.rest() == b""
        assert counted(rig) == (2, 2)


@pytest.mark.parametrize("sent", [0, 1, 4, 40], ids=lambda size: f"{size} bytes of a hello")
async def test_a_handshake_that_stalls_is_given_up(sent: int, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(hello, out, server_hostname="localhost").do_handshake()
    async with secured(ServerTls(authority.pair()), tls_handshake_timeout_s=0.05) as rig:
        client = await rig.client()
        if sent:
            await client.send(out.read(sent))
        assert await client.rest() == b""
        assert counted(rig) == (1, 1)
        assert not rig.data_plane.limiter.connections


def hello(authority: CertificateAuthority) -> bytes:
    out = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        authority.client().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


HALF_OPEN: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "nothing": (lambda hello: b"", False),
    "a byte": (lambda hello: hello[:1], False),
    "a part of a hello": (lambda hello: hello[:-1], False),
    "a hello": (lambda hello: hello, True),
    "a hello and a part of a record": (lambda hello: hello + b"\x14\x03", True),
    "a hello in small records": (
        lambda hello: b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in hello[5:-1]),
        True,
    ),
}
"""What a client has sent when it falls silent, and whether OpenSSL has been needed for it."""
FAREWELLS: dict[str, Callable[[Rig, Client], object]] = {
    "leaves": lambda rig, client: client.close(),
    "resets": lambda rig, client: client.reset(),
    "is late": lambda rig, client: rig.context.handshake_wait.sweep(1e12),
    "sends nonsense": lambda rig, client: client.writer.write(b"\x16\x03\x03\xff\xff" + b"x" * 70_000),
    "is cut by a stop": lambda rig, client: rig.data_plane.tls_acceptor.abort(),
}


@pytest.mark.parametrize("farewell", FAREWELLS)
@pytest.mark.parametrize("sent", HALF_OPEN)
async def test_nothing_is_left_of_a_half_open_handshake(sent: str, farewell: str, tmp_path: Path) -> None:
    """No object of it, and without a run of the garbage collector: under load nobody waits for one."""
    authority = CertificateAuthority(tmp_path)
    pattern, needs_openssl = HALF_OPEN[sent]
    async with secured(ServerTls(authority.pair())) as rig:
        client = await rig.client()
        data = pattern(hello(authority))
        client.writer.write(data)
        await until(lambda: rig.context.handshake_wait.since)
        [tls] = rig.context.handshake_wait.since
        await until(lambda tls=tls: not data or tls._first == data or tls._wrap is None)
        assert hasattr(tls, "ssl") == needs_openssl
        left = [weakref.ref(tls)]
        if needs_openssl:
            left.append(weakref.ref(tls.ssl))
        del tls
        gc.disable()
        try:
            FAREWELLS[farewell](rig, client)
            await until(lambda: not rig.context.handshake_wait.since)
            await until(lambda: not any(ref() for ref in left))
        finally:
            gc.enable()
        assert (rig.data_plane.limiter.connection_count(), counted(rig)) == (0, (1, 1))


async def test_nothing_is_left_of_a_connection_that_stood(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair())) as rig:
        rig.serve(backend.url)
        for ending in ("close", "reset"):
            client = await rig.client(authority.client())
            assert (await client.ask(GET))[0] == 200
            [downstream] = rig.data_plane.limiter.connections
            tls = downstream.transport
            left = [weakref.ref(tls), weakref.ref(tls.ssl)]
            del downstream, tls
            gc.disable()
            try:
                getattr(client, ending)()
                await until(lambda: not rig.data_plane.limiter.connections)
                await until(lambda left=left: not any(ref() for ref in left))
            finally:
                gc.enable()


@pytest.mark.parametrize("pieces", [1, 2, 7], ids=lambda size: f"{size} bytes at a time")
async def test_a_hello_may_come_in_pieces(pieces: int, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    context = authority.client()
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair())) as rig:
        rig.serve(backend.url)
        came, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        peer = context.wrap_bio(came, out, server_hostname="localhost")
        client = await rig.client()
        while True:
            try:
                peer.do_handshake()
                break
            except ssl.SSLWantReadError:
                data = out.read()
                for start in range(0, len(data), pieces):
                    await client.send(data[start : start + pieces])
                    await turns()
                came.write(await asyncio.wait_for(client.reader.read(65536), 5))
        peer.write(GET)
        await client.send(out.read())
        answer = b""
        while b"ok" not in answer:
            came.write(await asyncio.wait_for(client.reader.read(65536), 5))
            while True:
                try:
                    answer += peer.read(65536)
                except ssl.SSLWantReadError:
                    break
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_reset_within_the_handshake_is_counted(tmp_path: Path) -> None:
    async with secured(ServerTls(CertificateAuthority(tmp_path).pair())) as rig:
        client = await rig.client()
        await client.send(b"\x16\x03\x01")
        await until(lambda: rig.context.handshake_wait.since)
        client.reset()
        await until(lambda: counted(rig) == (1, 1))


async def test_handshakes_are_connections_too(tmp_path: Path) -> None:
    """Who finds no room is closed unanswered, and counted where plain HTTP's 503 is: not as a handshake that failed."""
    async with secured(ServerTls(CertificateAuthority(tmp_path).pair()), connections_max=2) as rig:
        waiting = [await rig.client() for _ in range(2)]
        await until(lambda: len(rig.context.handshake_wait.since) == 2)
        assert await (await rig.client()).rest() == b""
        assert len(waiting) == len(rig.context.handshake_wait.since)
        assert (rig.worker_stats.limited()["connections_max"], counted(rig)) == (1, (0, 0))


async def test_a_handshake_that_is_under_way_when_a_drain_begins_costs_nobody_a_request(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok()) as backend, secured(ServerTls(authority.pair()), shutdown_idle_s=5) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await until(lambda: rig.context.handshake_wait.since)
        draining = asyncio.ensure_future(rig.data_plane.drain())
        await turns()
        await client.writer.start_tls(authority.client(), server_hostname="localhost")
        status, head, _ = await client.ask(GET)
        assert (status, b"\r\nConnection: close\r\n" in head) == (200, True)
        await draining


@pytest.mark.parametrize("auth", ["required", "optional"])
async def test_certificates_of_clients(auth: str, tmp_path: Path) -> None:
    authority, stranger = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "stranger")
    pair = authority.pair()
    known = authority.client(authority.pair("client.test", file="client"))
    unknown = authority.client(stranger.pair("client.test", file="stranger-client"))
    async with Backend(backends.ok()) as backend:
        tls = ServerTls(pair, client_ca=authority.file, client_auth=auth)
        async with secured(tls) as rig:
            rig.serve(backend.url)
            assert (await (await rig.client(known)).ask(GET))[0] == 200
            for context, admitted in ((authority.client(), auth == "optional"), (unknown, False)):
                client = await rig.client(context)
                if admitted:
                    assert (await client.ask(GET))[0] == 200
                else:
                    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
                        await client.ask(GET)


async def test_sni_chooses_the_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    first = authority.pair("localhost")
    other = replace(authority.pair("a.test", "*.b.test", file="other"), names=("a.test", "*.b.test"))
    async with secured(ServerTls(first, (other,))) as rig:
        for name in ("a.test", "A.TEST", "x.b.test"):
            assert shown(await rig.client(authority.client(), name)) == ("a.test", "*.b.test")
        assert shown(await rig.client(authority.client(), "localhost")) == ("localhost",)
        context = authority.client()
        context.check_hostname = False
        for name in ("x.y.b.test", "b.test", "127.0.0.1"):  # an address is never sent as SNI
            assert shown(await rig.client(context, name)) == ("localhost",)


def spoil(path: str) -> None:
    Path(path).write_text("broken")


async def test_a_new_pair_is_shown_to_new_connections_and_a_bad_one_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = CertificateAuthority(tmp_path)
    context = authority.client()
    context.check_hostname = False
    pair = authority.pair("one.test")
    async with Backend(backends.ok()) as backend, secured(ServerTls(pair)) as rig:
        rig.serve(backend.url)
        old = await rig.client(context)
        names: list[tuple[str, ...]] = []

        async def connect_all_the_time() -> None:
            while ("three.test",) not in names and len(names) < 500:
                client = await rig.client(context)
                names.append(shown(client))
                assert (await client.ask(GET))[0] == 200
                client.close()

        load = asyncio.ensure_future(connect_all_the_time())
        authority.pair("two.test")
        await rig.data_plane.tls_acceptor.reload_changed()
        await until(lambda: ("two.test",) in names)
        spoil(pair.key)
        for _ in range(2):
            await rig.data_plane.tls_acceptor.reload_changed()
        rig.data_plane.tls_acceptor.reconfigure(rig.options)  # as SIGHUP does
        await until(lambda: len(caplog.messages) == 2)
        assert all(golden("tls.old_files_stay") in line for line in caplog.messages)
        caplog.clear()
        assert shown(await rig.client(context)) == ("two.test",)
        authority.pair("three.test")
        await rig.data_plane.tls_acceptor.reload_changed()
        await asyncio.wait_for(load, 5)
        assert (await old.ask(GET))[0] == 200, "who is connected is not touched"
        assert counted(rig)[1] == 0, "and nobody was refused"


async def test_tls_can_be_switched_on_and_off_by_reload(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        plain = await rig.client()
        tls = replace(rig.options, tls=ServerTls(authority.pair()))
        rig.data_plane.reconfigure(tls)
        await until(lambda: rig.data_plane.tls_acceptor.ssl_context)
        assert (await (await rig.client(authority.client())).ask(GET))[0] == 200
        assert (await plain.ask(GET))[0] == 200
        rig.data_plane.reconfigure(rig.options)
        await until(lambda: not rig.data_plane.tls_acceptor.ssl_context)
        assert (await rig.ask(GET))[0] == 200
        assert [request.field("x-forwarded-proto") for request in backend.requests] == [b"https", b"http", b"http"]


async def test_beyond_the_limit_an_announced_address_takes_the_place_in_the_reserve(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with secured(ServerTls(authority.pair()), connections_max=1) as rig:
        first = await rig.client(authority.client())
        acceptor = rig.data_plane.tls_acceptor
        for announced, client in (("192.0.2.7", "192.0.2.7"), ("", "127.0.0.1")):
            tls = acceptor.wrap(asyncio.Protocol(), announced)
            assert isinstance(tls, TlsTransport)
            tls.connection_made(first.writer.transport)
            assert rig.context.reserved[tls][0] == client
            acceptor.handshake_ended(tls, None)


async def test_openssl_speaks_to_it(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok(b"hello")) as backend, secured(ServerTls(authority.pair())) as rig:
        rig.serve(backend.url)
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{rig.port}", "-CAfile", authority.file, "-quiet"),
            *("-verify_return_error", "-servername", "localhost", "-ign_eof"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        ask = b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"
        out, _ = await asyncio.wait_for(client.communicate(ask), 10)
        assert out.endswith(b"\r\n\r\nhello")


async def agreed(port: int, *arguments: str) -> str:
    """Return the suite that `openssl s_client` agrees on with this port, empty if none."""
    client = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", "-brief", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(client.communicate(), 20)
    found = re.search(rb"^Ciphersuite: (\S+)$", out, re.MULTILINE)
    return found[1].decode() if found else ""


OLD = ("ECDHE-{}-AES128-SHA256", "ECDHE-{}-AES256-SHA384", "ECDHE-{}-AES128-SHA")


@pytest.mark.parametrize("key", ["RSA", "ECDSA"])
async def test_tls_1_2_is_authenticated_encryption_with_forward_secrecy(key: str, tmp_path: Path) -> None:
    old = [name.format(key) for name in OLD]
    if key == "RSA":
        old += ["AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA256"]
    async with secured(ServerTls(CertificateAuthority(tmp_path).pair(rsa=key == "RSA"))) as rig:
        for name in AEAD:
            expected = name if f"-{key}-" in name else ""
            assert (name, await agreed(rig.port, "-tls1_2", "-cipher", name)) == (name, expected)
        for name in old:
            assert (name, await agreed(rig.port, "-tls1_2", "-cipher", name)) == (name, "")
        assert await agreed(rig.port, "-tls1_2", "-cipher", ":".join(old)) == ""
        assert await agreed(rig.port, "-tls1_2") in AEAD, "who offers everything gets one of these"
        assert await agreed(rig.port, "-tls1_3") == "TLS_AES_256_GCM_SHA384"
        assert await agreed(rig.port, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0") == ""


async def test_whoever_needs_other_suites_names_them(tmp_path: Path) -> None:
    tls = ServerTls(CertificateAuthority(tmp_path).pair(rsa=True), ciphers=("AES128-SHA", "ECDHE-RSA-AES128-SHA256"))
    async with secured(tls) as rig:
        for name in tls.ciphers:
            assert await agreed(rig.port, "-tls1_2", "-cipher", name) == name
        assert await agreed(rig.port, "-tls1_2") == "AES128-SHA", "the router's order counts"
        assert await agreed(rig.port, "-tls1_2", "-cipher", AEAD[1]) == ""
        assert await agreed(rig.port) == "TLS_AES_256_GCM_SHA384", "TLS 1.3 is not affected"
