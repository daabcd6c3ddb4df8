"""Resumed TLS sessions on the listener: what the first handshake has verified still holds, and no more than that."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, Rig

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
TIMEOUT_S = 5


def _ask(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None, name: str, host: str
) -> tuple[int, bool, ssl.SSLSession | None]:
    """Return (status, whether the session was resumed, the session of this connection)."""
    with (
        socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as below,
        context.wrap_socket(below, server_hostname=name, session=session) as client,
    ):
        client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        if not answer:
            raise ConnectionError("closed without a response")
        return int(answer.split()[1]), bool(client.session_reused), client.session


async def asked(
    rig: Rig, context: ssl.SSLContext, session: ssl.SSLSession | None = None, name: str = "localhost", host: str = "t"
) -> tuple[int, bool, ssl.SSLSession | None]:
    return await asyncio.to_thread(_ask, rig.port, context, session, name, host)


def client_of(authority: CertificateAuthority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.client()
    context.minimum_version = context.maximum_version = version
    return context


@VERSIONS
async def test_a_worker_resumes_its_sessions_also_those_with_a_client_certificate(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    context = client_of(authority, version)
    own = authority.pair("client.test", file="client")
    context.load_cert_chain(own.certificate, own.key)
    tls = ServerTls(authority.pair(), client_ca=authority.file)
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, tls=tls)) as rig:
        rig.serve(backend.url)
        status, resumed, session = await asked(rig, context)
        assert (status, resumed) == (200, False)
        for _ in range(3):
            status, resumed, session = await asked(rig, context, session)
            assert (status, resumed) == (200, True)


@VERSIONS
async def test_a_session_from_before_client_certificates_were_required_does_not_pass(
    version: ssl.TLSVersion, tmp_path: Path
) -> None:
    authority = CertificateAuthority(tmp_path)
    context = client_of(authority, version)
    tls = ServerTls(authority.pair())
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, tls=tls)) as rig:
        rig.serve(backend.url)
        _, _, session = await asked(rig, context)
        rig.data_plane.tls_acceptor._tls = required = replace(tls, client_ca=authority.file)
        await rig.data_plane.tls_acceptor._load(required)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asked(rig, context, session)


@VERSIONS
async def test_a_certificate_that_is_loaded_again_ends_earlier_tickets(version: ssl.TLSVersion, tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    context = client_of(authority, version)
    tls = ServerTls(authority.pair())
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, tls=tls)) as rig:
        rig.serve(backend.url)
        _, _, session = await asked(rig, context)
        rig.data_plane.tls_acceptor._tls = again = replace(tls)
        await rig.data_plane.tls_acceptor._load(again)
        status, resumed, _ = await asked(rig, context, session)
        assert (status, resumed) == (200, False)


@pytest.mark.parametrize(
    ("version", "by_session", "by_name"),
    [(ssl.TLSVersion.TLSv1_2, 200, 421), (ssl.TLSVersion.TLSv1_3, 421, 200)],
    ids=["TLS 1.2", "TLS 1.3"],
)
async def test_a_session_resumed_under_another_name_serves_the_hosts_of_one_certificate(
    version: ssl.TLSVersion, by_session: int, by_name: int, tmp_path: Path
) -> None:
    """TLS 1.2 keeps the name of the session (RFC 6066 §3); TLS 1.3 takes that of the new connection (RFC 8446 §4.2.11)."""
    authority = CertificateAuthority(tmp_path)
    context = client_of(authority, version)
    other = replace(authority.pair("a.test", file="other"), names=("a.test",))
    tls = ServerTls(authority.pair("localhost"), (other,))
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, tls=tls)) as rig:
        rig.serve(backend.url)
        status, _, session = await asked(rig, context, name="a.test", host="a.test")
        assert status == 200
        assert (await asked(rig, context, session, "a.test", "a.test"))[:2] == (200, True)
        context.check_hostname = False
        assert (await asked(rig, context, session, "localhost", "a.test"))[:2] == (by_session, True)
        assert (await asked(rig, context, session, "localhost", "localhost"))[:2] == (by_name, True)


def _ticket(port: int, context: ssl.SSLContext) -> bool:
    """Send a request together with the end of the handshake; return whether the client has a ticket. The backend is silent, so no
    answer comes.
    """
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as below:
        came, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(came, out, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                below.sendall(out.read())
                came.write(below.recv(65536))
        client.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        below.sendall(out.read())
        came.write(below.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            client.read(1)
        return client.session is not None and client.session.has_ticket


async def test_a_ticket_does_not_wait_for_an_answer_that_takes_long(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    context = client_of(authority, ssl.TLSVersion.TLSv1_3)
    async with Backend(backends.never()) as backend, Rig(replace(OPTIONS, tls=ServerTls(authority.pair()))) as rig:
        rig.serve(backend.url)
        assert await asyncio.to_thread(_ticket, rig.port, context)
