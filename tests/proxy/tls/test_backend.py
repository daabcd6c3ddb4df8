"""TLS to backends: who is trusted, what is said of who is not, how often hands are shaken."""

from __future__ import annotations

import asyncio
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from router.proxy.tls.backend import BackendContext
from router.rollout.model.endpoint import parse_endpoint
from router.shm import layout as at
from router.tls.contexts import BackendTls, Pair
from tests import backends
from tests.backend_certificates import CASES, Case
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, Rig, until
from tests.proxy.waiting import turns

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
ERROR = b'"detail":"no connection to the backend: '


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_trusted_certificates(case: Case, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = BackendTls(ca=authority.file if case.trusted else None, **case.settings)  # type: ignore[arg-type]
    async with Backend(backends.ok(), tls=authority.server(*case.names, days=case.days)) as backend:
        async with Rig(backend_tls=tls) as rig:
            rig.serve(backend.url)
            status, _, body = await rig.ask(GET)
            if case.refused is None:
                assert (status, body) == (200, b"ok")
                return
            assert status == 502
            assert ERROR + f"TLS: {case.refused}".encode() in body
            assert rig.attempts() == {"connect_failed": 1}
            assert caplog.messages == [f"TLS handshakes with {backend.url} fail: {case.refused}"]
    assert backend.requests == []


async def test_http_1_is_what_backends_are_asked_for(tmp_path: Path) -> None:
    """One that speaks both would choose h2 (RFC 7301 §3.2)."""
    authority, chosen = CertificateAuthority(tmp_path), list[str | None]()
    server = authority.server()
    server.set_alpn_protocols(["h2", "http/1.1"])

    async def behave(connection: backends.Connection) -> None:
        chosen.append(connection.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await connection.read_request()
        await connection.send(backends.response())

    async with Backend(behave, tls=server) as backend, Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
        rig.serve(backend.url)
        assert (await rig.ask(GET))[0] == 200
    assert chosen == ["http/1.1"]


async def test_connections_are_reused_and_sessions_taken_up(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    server = authority.server()
    async with Backend(backends.ok(), tls=server) as backend, Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        for _ in range(20):
            assert (await client.ask(GET))[0] == 200
        assert (backend.connections, server.session_stats()["accept_good"], server.session_stats()["hits"]) == (1, 1, 0)
        [pool] = rig.data_plane.services[0].targets[0].pools
        [idle] = pool._idle
        idle.idle_since_s -= 1.0  # old enough to be looked at: the tickets that came are no end
        assert (await client.ask(GET))[0] == 200
        assert backend.connections == 1
        idle.close()
        del idle  # a reference of ours would be left
        await until(lambda: not pool._idle)
        assert (await client.ask(GET))[0] == 200
        assert (server.session_stats()["accept_good"], server.session_stats()["hits"]) == (2, 1)


async def test_an_idle_connection_that_has_ended_is_not_used(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    async with Backend(backends.ok(), tls=authority.server()) as backend:
        async with Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
            rig.serve(backend.url)
            client = await rig.client()
            for connections in range(1, 4):
                assert (await client.ask(GET))[0] == 200
                assert backend.connections == connections
                for connection in list(backend.open):
                    connection.writer.close()
                await until(lambda: not rig.data_plane.services[0].targets[0].pools[0]._idle)
            assert rig.scalar(at.L_STALE_CONNECTION) == 0


async def test_a_certificate_of_ours_is_shown_where_it_is_asked_for(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    pair = authority.pair("router.test", file="router")
    server = authority.server()
    server.load_verify_locations(authority.file)
    server.verify_mode = ssl.CERT_REQUIRED
    async with Backend(backends.ok(), tls=server) as backend:
        async with Rig(backend_tls=BackendTls(ca=authority.file, pair=Pair(pair.certificate, pair.key))) as rig:
            rig.serve(backend.url)
            assert (await rig.ask(GET))[0] == 200
        async with Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
            rig.serve(backend.url)
            assert (await rig.ask(GET))[0] == 502
            assert sum(rig.attempts().values()) == 1  # TLS 1.3 says so only after the handshake: perhaps `truncated`


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(backends.response())
    writer.close()


async def _resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("behave", "status", "detail"),
    [
        pytest.param(_silent, 504, b"no connection within 0.05 s", id="silent in the handshake"),
        pytest.param(_plain, 502, b"TLS: wrong version number", id="speaks no TLS"),
        pytest.param(_resetting, 502, b"", id="resets in the handshake"),
    ],
)
async def test_handshakes_that_never_stand(behave: object, status: int, detail: bytes) -> None:
    server = await asyncio.start_server(behave, "127.0.0.1", 0)  # type: ignore[arg-type]
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with Rig(replace(OPTIONS, connect_timeout_s=0.05 if status == 504 else 5.0)) as rig:
        rig.serve(url)
        found, _, body = await rig.ask(GET)
        assert (found, detail in body) == (status, True)
        assert rig.attempts() == {"connect_failed": 1}
    server.close()


async def test_a_body_that_only_the_end_delimits_needs_a_goodbye(tmp_path: Path) -> None:
    """Whoever can forge a FIN could shorten it (RFC 9112 §9.8)."""
    authority = CertificateAuthority(tmp_path)
    until_close = b"HTTP/1.1 200 OK\r\n\r\nhello"

    async def behave(connection: backends.Connection) -> None:
        await connection.read_request()
        await connection.send(until_close)
        if rude:
            connection.writer.transport.abort()

    async with Backend(behave, tls=authority.server()) as backend:
        async with Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
            rig.serve(backend.url)
            rude = False
            client = await rig.client()
            await client.send(GET)
            await client.head()
            assert await client.exactly(len(b"5\r\nhello\r\n0\r\n\r\n")) == b"5\r\nhello\r\n0\r\n\r\n"
            rude = True
            await client.send(GET)
            await client.head()
            assert await client.exactly(len(b"5\r\nhello\r\n")) == b"5\r\nhello\r\n"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.exactly(5)
            await until(lambda: rig.attempts() == {"ok": 1, "truncated": 1})


async def test_large_bodies_pass_both_ways_and_a_slow_reader_loses_nothing(tmp_path: Path) -> None:
    """The backend closes at once, while the client has yet to read: what is on its way must not be thrown away."""
    authority = CertificateAuthority(tmp_path)
    body = bytes(range(256)) * 16384  # 4 MiB

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        assert request.body == body
        await connection.send(backends.response(200, body, "Connection: close"))
        connection.writer.close()

    async with Backend(backends.answering(answer), tls=authority.server()) as backend:
        async with Rig(backend_tls=BackendTls(ca=authority.file)) as rig:
            rig.serve(backend.url)
            client = await rig.client()
            await client.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: rig.data_plane.services[0].targets[0].in_flight)
            await until(lambda: rig.context.write_wait.since)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            status, _, got = await client.response()
            assert (status, got == body) == (200, True)


async def test_what_is_read_while_a_reload_comes_is_not_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority, stranger = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path, "stranger")
    async with Backend(backends.ok(), tls=authority.server()) as backend:
        endpoint = parse_endpoint(backend.url)
        context = BackendContext(BackendTls(ca=authority.file))
        asking = asyncio.ensure_future(context.wrap(asyncio.Protocol(), endpoint, None))
        await turns()  # the file is being read, in a thread
        context.reconfigure(BackendTls(ca=stranger.file))
        first = (await asking).tls.ssl.context
        assert (await context.wrap(asyncio.Protocol(), endpoint, None)).tls.ssl.context is not first
        last = (await context.wrap(asyncio.Protocol(), endpoint, None)).tls.ssl.context
        context.reconfigure(BackendTls(ca=str(tmp_path / "none.pem")))
        assert (await context.wrap(asyncio.Protocol(), endpoint, None)).tls.ssl.context is last, "it cannot be read"
        assert [line[:30] for line in caplog.messages] == ["backend_tls is not applied: ca"]
        caplog.clear()


async def test_a_reading_that_is_given_up_is_begun_again(tmp_path: Path) -> None:
    context = BackendContext(BackendTls(ca=CertificateAuthority(tmp_path).file))
    endpoint = parse_endpoint("https://127.0.0.1:1")
    disk_works = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        asyncio.get_running_loop().set_default_executor(threads)
        threads.submit(disk_works.wait)
        asking = asyncio.ensure_future(context.wrap(asyncio.Protocol(), endpoint, None))
        await turns()
        asking.cancel()
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError)
        disk_works.set()
        assert (await context.wrap(asyncio.Protocol(), endpoint, None)).tls.ssl.context.verify_mode == ssl.CERT_REQUIRED
