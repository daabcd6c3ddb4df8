"""TLS on one connection, alone: what an idle one shows, and halves that end one by one."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from router.proxy.deadlines import Deadlines
from router.proxy.tls.transport import TICKET_WAIT_S, EndedWithoutNotice, TlsTransport
from router.runtime import clock
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


class Below(asyncio.Transport):
    """Keeps each write by itself."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def write_eof(self) -> None:
        pass

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing


class Server:
    """The router's side of a connection whose handshake has just ended, and its client, whose next bytes `follows` came with the
    end. `writes` are those since then.
    """

    def __init__(self, tmp_path: Path, version: ssl.TLSVersion, follows: bytes) -> None:
        authority, self.below = CertificateAuthority(tmp_path), Below()
        self.writes = self.below.writes
        self.tickets = Deadlines(TICKET_WAIT_S, TlsTransport.send_ticket)
        context = authority.client()
        context.maximum_version = version
        self.came, self.sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        out = self.sent
        self.client = context.wrap_bio(self.came, out, server_hostname="localhost")
        self.above = Above()
        server = authority.server()
        server.num_tickets = 1
        wrap = partial(server.wrap_bio, server_side=True)
        self.tls = TlsTransport(self.above, wrap, Shaken(), tickets=self.tickets)
        self.tls.connection_made(self.below)
        with pytest.raises(ssl.SSLWantReadError):
            self.client.do_handshake()
        self.tls.data_received(out.read())
        self.deliver()
        with suppress(ssl.SSLWantReadError):  # with TLS 1.2 the server's Finished is not there yet
            self.client.do_handshake()
        self.tls.data_received(out.read() + follows)

    def deliver(self) -> None:
        """Pass what was written to the client."""
        self.came.write(b"".join(self.writes))
        self.writes.clear()

    def has_ticket(self) -> bool:
        """Return whether the client has a ticket after it has read what is there."""
        self.deliver()
        with suppress(ssl.SSLError):
            while self.client.read(100):
                pass
        session = self.client.session
        return session is not None and session.has_ticket


PART: bytes = b"\x17"  # the beginning of a request's record


@pytest.mark.parametrize(
    ("version", "follows", "writes"),
    [
        (ssl.TLSVersion.TLSv1_3, b"", 2),
        (ssl.TLSVersion.TLSv1_3, PART, 1),
        (ssl.TLSVersion.TLSv1_2, PART, 2),
    ],
    ids=["silent", "with the request", "TLS 1.2"],
)
def test_a_ticket_joins_the_answer_of_a_request_that_came_with_the_end(
    version: ssl.TLSVersion, follows: bytes, writes: int, tmp_path: Path
) -> None:
    """A client that sends nothing has its ticket at once. The end of a handshake with TLS 1.2 cannot wait."""
    server = Server(tmp_path, version, follows)
    server.tls.write(b"answer")
    assert len(server.writes) == writes
    assert not server.tickets.since
    server.deliver()
    server.client.do_handshake()
    assert server.client.read(10) == b"answer"
    assert server.has_ticket()


def test_a_ticket_waits_for_the_answer_only_so_long(tmp_path: Path) -> None:
    began_s = clock.now_s()
    server = Server(tmp_path, ssl.TLSVersion.TLSv1_3, PART)
    server.tickets.sweep(began_s + TICKET_WAIT_S / 2)
    assert not server.writes
    server.tickets.sweep(clock.now_s() + TICKET_WAIT_S)
    assert len(server.writes) == 1
    assert server.has_ticket()
    server.tls.write(b"answer")
    assert len(server.writes) == 1


@pytest.mark.parametrize("end", ["close", "write_eof", "set_protocol", "no record"])
def test_a_ticket_that_waits_goes_with_whatever_ends_the_wait(end: str, tmp_path: Path) -> None:
    """The protocol is replaced when another process takes the connection over. An alert reports bytes that are no record."""
    server = Server(tmp_path, ssl.TLSVersion.TLSv1_3, PART)
    assert not server.writes
    if end == "close":
        server.tls.close()
    elif end == "write_eof":
        server.tls.write_eof()
    elif end == "set_protocol":
        server.tls.set_protocol(Above())
    else:
        server.tls.data_received(b"\xff" * 100)
    assert len(server.writes) == 1
    assert not server.tickets.since
    assert server.has_ticket()


def test_a_connection_that_is_lost_waits_no_more(tmp_path: Path) -> None:
    server = Server(tmp_path, ssl.TLSVersion.TLSv1_3, PART)
    server.tls.abort()
    server.tls.connection_lost(None)
    assert not server.tickets.since
    assert not server.writes


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 100_000])
@pytest.mark.parametrize("step", [1_000, 7_001, 200_000])
def test_what_has_come_is_passed_on_whole(size: int, step: int, tmp_path: Path) -> None:
    """A read takes all of a record: nothing waits in OpenSSL when the last byte of it has come, in however many pieces."""
    server = Server(tmp_path, ssl.TLSVersion.TLSv1_3, b"")
    server.client.write(b"x" * size)
    sent = server.sent.read()
    for start in range(0, len(sent), step):
        server.tls.data_received(sent[start : start + step])
        assert not server.tls.ssl.pending()
    assert server.above.got == b"x" * size
