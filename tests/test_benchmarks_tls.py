"""The TLS works of the peers benchmark: what openssl says, who is refused, and a handshake for each request."""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import interpreter
from benchmarks.peers import handshakes, tls
from benchmarks.program import BenchmarkError

TOLD_3_0 = """CONNECTION ESTABLISHED
Protocol version: TLSv1.3
Ciphersuite: TLS_AES_256_GCM_SHA384
Peer certificate: CN = 127.0.0.1
Hash used: SHA256
Signature type: ECDSA
Verification error: self-signed certificate
Server Temp Key: X25519, 253 bits
<<< TLS 1.3, Handshake [length 00d9], NewSessionTicket
    04 00 00 d5 00 00 1c 20
<<< TLS 1.3, Handshake [length 00d9], NewSessionTicket
"""
TOLD_3_5 = """Ciphersuite: TLS_AES_256_GCM_SHA384
Signature type: ecdsa_secp256r1_sha256
Negotiated TLS1.3 group: X25519
"""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(TOLD_3_0, tls.Agreement("TLS_AES_256_GCM_SHA384", "X25519", "ECDSA", 2), id="OpenSSL 3.0"),
        pytest.param(TOLD_3_5, tls.Agreement("TLS_AES_256_GCM_SHA384", "X25519", "ECDSA", 0), id="OpenSSL 3.5"),
        pytest.param("connect:errno=111", tls.Agreement("", "", "", 0), id="no connection"),
    ],
)
def test_what_openssl_says(told: str, expected: tls.Agreement) -> None:
    assert tls.parse(told) == expected


@contextmanager
def _server(folder: Path, answer: bytes, group: str | None = None) -> Iterator[int]:
    """Serve `answer` to each request over TLS, in a thread with a loop of its own; yield the port."""
    made = tls.make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.both)
    if group:
        context.set_ecdh_curve(group)
    ready: list[int] = []
    listening, leave = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            ready.append(server.sockets[0].getsockname()[1])
            loops.append(asyncio.get_running_loop())
            listening.set()
            await leave.wait()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert listening.wait(10)
        yield ready[0]
    finally:
        loops[0].call_soon_threadsafe(leave.set)
        thread.join(10)
        assert not thread.is_alive()


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def test_a_peer_is_asked_for_suite_and_group(tmp_path: Path) -> None:
    with _server(tmp_path, ANSWER) as port:
        found = tls.ask("a peer", port)
    assert (found.suite, found.group, found.signature) == (tls.SUITE, tls.GROUP, "ECDSA")
    assert found.tickets == 2


def test_a_peer_with_another_group_is_refused(tmp_path: Path) -> None:
    with _server(tmp_path, ANSWER, "secp384r1") as port, pytest.raises(BenchmarkError, match=r"a peer .*X25519"):
        tls.ask("a peer", port)


def test_each_request_has_a_handshake_of_its_own(tmp_path: Path) -> None:
    context = tls.client_context()
    with _server(tmp_path, ANSWER) as port:

        async def ask_twice() -> None:
            for _ in range(2):
                await handshakes._ask(port, context)

        asyncio.run(ask_twice())
    assert context.session_stats()["connect"] == 2
    assert context.session_stats()["hits"] == 0


def test_the_load_counts_the_requests_of_all_connections(tmp_path: Path) -> None:
    with _server(tmp_path, ANSWER) as port:
        started: Any = SimpleNamespace(port=port, program=SimpleNamespace(pid=os.getpid()))
        found = handshakes.run("a peer", started, connections=3, seconds=0.01)
    assert found["requests"] >= 3
    assert found["figure"] > 0
    assert sorted(found) == ["busy", "figure", "p50_us", "requests", "requests_per_s", "wakes"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "503", id="another status"),
        pytest.param(ANSWER[:-1], "ended early", id="half an answer"),
    ],
)
def test_an_answer_that_is_no_whole_200_is_an_error(answer: bytes, error: str, tmp_path: Path) -> None:
    with _server(tmp_path, answer) as port, pytest.raises(BenchmarkError, match=error):
        asyncio.run(handshakes._ask(port, tls.client_context()))


def test_the_facts_of_the_interpreter() -> None:
    found = interpreter.facts()
    assert sorted(found) == ["compiler", "loop_ms", "says_optimised", "version"]
    assert found["loop_ms"] > 0
    assert "/" not in f"{found['version']}{found['compiler']}"


@pytest.mark.parametrize(
    ("arguments", "says"), [("'--enable-optimizations' '--with-lto'", True), ("'--enable-shared'", False), ("", False)]
)
def test_whether_a_build_says_that_it_is_optimised(arguments: str, says: bool) -> None:
    assert interpreter.says_optimised(arguments) is says
