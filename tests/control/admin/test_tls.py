"""The admin port over TLS, and a command that connects to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import cast

import pytest
import uvloop

from router.cli.client import Client
from router.control.admin import app, connections
from router.control.admin.connections import ConnectionLimiter
from router.errors import CommandError
from router.runtime import clock
from router.tls import contexts
from router.tls.contexts import ServerTls
from tests.certificate_authority import CertificateAuthority
from tests.control import fake_control
from tests.waiting import until

Served = tuple[int, ConnectionLimiter, ssl.SSLContext]


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The admin port over TLS: its port, its limiter, and what a client trusts."""
    authority = CertificateAuthority(tmp_path)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(256)
    application = fake_control.application()
    runner = await app.serve(application, sock, contexts.server_context(ServerTls(authority.pair())))
    yield sock.getsockname()[1], application[app.CONNECTIONS], authority.client()
    await runner.cleanup()


async def livez(port: int, trust: ssl.SSLContext, source: str = "127.0.0.1") -> bytes:
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, local_addr=(source, 0))
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    return answer.partition(b"\r\n")[0]


async def test_slow_handshakes_keep_nobody_out(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    port, limiter, trust = served
    slow = []
    for _ in range(3 * connections.HANDSHAKES_MAX):
        slow.append(await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0)))
        slow[-1][1].write(b"\x16\x03\x01")  # the beginning of a record
    await until(lambda: limiter.counts["handshake_evicted"] >= 2 * connections.HANDSHAKES_MAX)
    for _ in range(5):
        assert await livez(port, trust) == b"HTTP/1.1 200 OK"
    await until(lambda: len(limiter) == 0)  # a handshake is no connection of the limiter
    reader, _ = slow[0]
    assert await asyncio.wait_for(ended(reader), 5)
    limiter.sweep(clock.now_s())
    assert [record.args[0] for record in caplog.records if "handshakes" in record.msg] == [  # type: ignore[index]
        connections.HANDSHAKES_MAX
    ]
    for _, writer in slow:
        writer.close()


async def test_the_oldest_of_the_busiest_address_is_closed_and_not_one_of_another(served: Served) -> None:
    port, limiter, trust = served
    other = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.8", 0))
    slow = [
        await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
        for _ in range(connections.HANDSHAKES_MAX)
    ]
    await until(lambda: limiter.counts["handshake_evicted"] == 1)
    assert await asyncio.wait_for(ended(slow[0][0]), 5)
    await other[1].start_tls(trust, server_hostname="localhost")
    other[1].write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert await asyncio.wait_for(other[0].readline(), 5) == b"HTTP/1.1 200 OK\r\n"
    for _, writer in (*slow, other):
        writer.close()


async def test_a_handshake_has_its_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    port, limiter, trust = served
    monkeypatch.setattr(connections, "HANDSHAKE_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(ended(reader), 5)
    assert limiter.counts["handshake_timeout"] == 1
    monkeypatch.undo()
    assert await livez(port, trust) == b"HTTP/1.1 200 OK"
    writer.close()


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b""])
async def test_what_is_no_handshake_is_closed(data: bytes, served: Served) -> None:
    port, limiter, trust = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    assert await asyncio.wait_for(ended(reader), 5)
    assert await livez(port, trust) == b"HTTP/1.1 200 OK"
    assert not any(limiter.counts.values())
    writer.close()


async def test_a_stop_ends_pending_handshakes(tmp_path: Path) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    context = contexts.server_context(ServerTls(CertificateAuthority(tmp_path).pair()))
    runner = await app.serve(fake_control.application(), sock, context)
    reader, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
    writer.write(b"\x16")
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await runner.cleanup()
        await ended(reader)
    writer.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_no_first_byte_of_a_fast_client_is_lost(
    run: Callable[[Coroutine[None, None, None]], None], tmp_path: Path
) -> None:
    """Under the loop of the process, too: where it reads before the handshake begins, a ClientHello could be lost."""
    authority = CertificateAuthority(tmp_path)
    context, trust = contexts.server_context(ServerTls(authority.pair())), authority.client()

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    def clients(port: int) -> None:
        for _ in range(100):
            with (
                socket.create_connection(("127.0.0.1", port), 5) as plain,
                trust.wrap_socket(plain, server_hostname="localhost") as secured,
            ):
                secured.sendall(b"hello")
                assert secured.recv(5) == b"hello"

    async def main() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        counts = dict.fromkeys(connections.REASONS, 0)
        acceptor = connections.AdminTlsAcceptor(listening, context, counts, Echo)
        acceptor.start()
        await asyncio.to_thread(clients, listening.getsockname()[1])
        acceptor.stop()
        assert not any(counts.values())

    run(main())


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        await reader.read()
    except ConnectionResetError:
        pass
    return True


async def test_a_command_trusts_the_configured_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = CertificateAuthority(tmp_path)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    context = contexts.server_context(ServerTls(authority.pair()))
    runner = await app.serve(fake_control.application(), sock, context)
    client = Client(f"https://127.0.0.1:{sock.getsockname()[1]}")
    with pytest.raises(CommandError, match="no router answers at https"):
        await asyncio.to_thread(client.get, "/v1/status")
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)
    assert await asyncio.to_thread(client.get, "/v1/status")
    await runner.cleanup()
