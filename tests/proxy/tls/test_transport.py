"""TLS on one connection, alone: what an idle one shows, and halves that end one by one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import partial
from pathlib import Path

import pytest

from router.proxy.tls.transport import EndedWithoutNotice, TlsTransport
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import until


class Above(asyncio.Protocol):
    """Keeps what it is told; its own direction stays open after the peer's end."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = False
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.got += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.lost.append(error)


class Peer:
    """The server's side of a connection, moved by hand: `out` holds what it has not sent yet."""

    def __init__(self, context: ssl.SSLContext, sock: socket.socket) -> None:
        self.came, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self.came, self.out, server_side=True)
        self.sock = sock

    def send(self) -> None:
        self.sock.sendall(self.out.read())

    async def receive(self) -> None:
        self.came.write(await asyncio.get_running_loop().sock_recv(self.sock, 65536))


class Shaken:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def handshake_started(self, tls: TlsTransport) -> None:
        pass

    def handshake_ended(self, tls: TlsTransport, error: Exception | None) -> None:
        self.error = error


async def connected(tmp_path: Path, version: ssl.TLSVersion) -> tuple[TlsTransport, Above, Peer]:
    """Return a connection whose server has not sent its session tickets yet."""
    authority = CertificateAuthority(tmp_path)
    server = authority.server()
    server.maximum_version = version
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    above = Above()
    wrap = partial(authority.client().wrap_bio, server_hostname="localhost")
    tls = TlsTransport(above, wrap, Shaken())
    await asyncio.get_running_loop().create_connection(lambda: tls, sock=ours)
    peer = Peer(server, theirs)
    while True:
        await peer.receive()
        try:
            peer.ssl.do_handshake()
            break
        except ssl.SSLWantReadError:
            peer.send()
    if version == ssl.TLSVersion.TLSv1_2:
        peer.send()
    await until(lambda: tls.established)
    return tls, above, peer


async def test_session_tickets_are_no_end_and_an_end_is(tmp_path: Path) -> None:
    tls, above, peer = await connected(tmp_path, ssl.TLSVersion.TLSv1_3)
    assert not tls.shows_eof()
    assert peer.out.pending, "the tickets"
    peer.send()
    assert not tls.shows_eof(), "although it can be read"
    with pytest.raises(ssl.SSLWantReadError):
        peer.ssl.unwrap()
    peer.send()
    assert tls.shows_eof()
    assert above.ended
    tls.abort()
    peer.sock.close()
    await until(lambda: above.lost == [None])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_the_halves_end_one_by_one(version: ssl.TLSVersion, tmp_path: Path) -> None:
    tls, above, peer = await connected(tmp_path, version)
    tls.write(b"a" * 40_000)
    tls.write_eof()
    tls.write(b"nothing may follow")
    got = b""
    while len(got) < 40_000:
        await peer.receive()
        while peer.came.pending:
            try:
                got += peer.ssl.read(65536)
            except ssl.SSLWantReadError:
                break
    assert got == b"a" * 40_000
    peer.ssl.write(b"still here")
    with pytest.raises((ssl.SSLWantReadError, ssl.SSLZeroReturnError)):
        peer.ssl.read(1)
        peer.ssl.unwrap()
        raise ssl.SSLZeroReturnError
    peer.send()
    await until(lambda: above.got == b"still here")
    tls.close()
    peer.sock.close()
    await until(lambda: above.lost)


async def test_an_end_without_goodbye_is_told_as_an_error(tmp_path: Path) -> None:
    tls, above, peer = await connected(tmp_path, ssl.TLSVersion.TLSv1_3)
    peer.ssl.write(b"hello")
    peer.send()
    peer.sock.close()
    await until(lambda: above.lost)
    assert (above.got, above.ended, type(above.lost[0])) == (b"hello", False, EndedWithoutNotice)
    assert tls.is_closing()


async def test_bytes_that_are_no_record_end_it(tmp_path: Path) -> None:
    tls, above, peer = await connected(tmp_path, ssl.TLSVersion.TLSv1_3)
    peer.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    await until(lambda: above.lost)
    assert str(above.lost[0]).startswith("TLS: ")
    assert above.got == b""
    peer.sock.close()
    assert tls.is_closing()
