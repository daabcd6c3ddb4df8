"""421 for requests that belong to another certificate than their connection's; nothing for all others."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from router.proxy.engine.misdirection import HOST_REMEMBERED_BYTES_MAX, HOSTS_REMEMBERED_MAX
from router.proxy.options import ForwardingOptions, Options, ProxyProtocolOptions
from router.shm import layout as at
from router.tls.certificate_names import PresentedCertificate
from router.tls.contexts import Pair, ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, SERVICE, Client, Rig

HOSTS = ("a.test", "*.b.test")


@dataclass
class MisdirectionRig:
    """A router with three certificates: the first for localhost, d.test and shared.test; a.test; *.b.test and shared.test."""

    rig: Rig
    backend: Backend
    authority: CertificateAuthority

    async def client(self, name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Client:
        """Return a connection that asks for `name`; None: for none."""
        context = self.authority.client()
        context.check_hostname = False
        context.maximum_version = version
        return await self.rig.client(context, name or "127.0.0.1")  # an address is never sent as SNI

    async def ask(self, name: str | None, host: str, target: str = "/") -> int:
        status, _, _ = await (await self.client(name)).ask(request(host, target))
        return status


def request(host: str, target: str = "/", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def tls_of(authority: CertificateAuthority) -> ServerTls:
    first = authority.pair("localhost", "127.0.0.1", "d.test", "shared.test")
    a = replace(authority.pair("a.test", file="a"), names=("a.test",))
    b = replace(authority.pair("*.b.test", "shared.test", file="b"), names=("*.b.test",))
    return ServerTls(first, (a, b))


@asynccontextmanager
async def misdirection_rig(tmp_path: Path, **changed: object) -> AsyncIterator[MisdirectionRig]:
    authority = CertificateAuthority(tmp_path)
    options: Options = replace(OPTIONS, tls=tls_of(authority), **changed)  # type: ignore[arg-type]
    async with Backend(backends.ok()) as backend, Rig(options) as rig:
        rig.serve(backend.url)
        yield MisdirectionRig(rig, backend, authority)


@pytest.mark.parametrize(
    ("name", "host", "status"),
    [
        ("a.test", "a.test", 200),
        ("a.test", "A.TEST:8443", 200),
        ("a.test", "a.test.", 200),
        ("A.Test", "a.test", 200),
        ("x.b.test", "y.b.test", 200),
        ("x.b.test", "shared.test", 200),
        ("localhost", "d.test", 200),
        (None, "d.test", 200),
        (None, "127.0.0.1", 200),
        (None, "unknown.test", 200),
        ("a.test", "unknown.test", 200),
        ("nobody.test", "shared.test:1", 200),
        (None, "a.test", 421),
        ("nobody.test", "a.test", 421),
        ("localhost", "A.test:443", 421),
        ("localhost", "a.test.", 421),
        ("a.test", "x.b.test", 421),
        ("a.test", "shared.test", 421),
        ("a.test", "localhost", 421),
        ("a.test", "127.0.0.1:443", 421),
        ("x.b.test", "a.test", 421),
        ("x.b.test", "%61.test", 421),
    ],
)
async def test_a_host_of_another_certificate_is_misdirected(
    name: str | None, host: str, status: int, tmp_path: Path
) -> None:
    async with misdirection_rig(tmp_path) as it:
        assert await it.ask(name, host) == status
        assert len(it.backend.requests) == (status == 200)


async def test_a_name_with_a_dot_at_its_end_chooses_its_certificate(tmp_path: Path) -> None:
    """Python refuses to send one, other clients send it (RFC 6066 §3 forbids it)."""
    async with misdirection_rig(tmp_path) as it:
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-connect", f"127.0.0.1:{it.rig.port}", "-servername", "a.test.", "-quiet"),
            *("-CAfile", it.authority.file, "-ign_eof"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        ask = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
        out, _ = await asyncio.wait_for(client.communicate(ask), 20)
        assert out.startswith(b"HTTP/1.1 200 "), out


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_each_request_of_a_connection_is_looked_at(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """Also one whose head was remembered from a connection on which it was right; and the answer closes."""
    async with misdirection_rig(tmp_path) as it:
        right = await it.client("a.test", version)
        for _ in range(3):
            assert (await right.ask(request("a.test")))[0] == 200
        wrong = await it.client("x.b.test", version)
        for _ in range(2):
            assert (await wrong.ask(request("y.b.test")))[0] == 200
        status, head, body = await wrong.ask(request("a.test"))
        assert status == 421
        assert b"\r\nX-Router-Error: misdirected\r\n" in head
        assert b"\r\nConnection: close\r\n" in head
        assert orjson.loads(body)["code"] == "misdirected"
        assert await wrong.rest() == b""
        assert (await right.ask(request("a.test")))[0] == 200, "what is remembered of the head has kept its service"
        row = it.rig.segment.layout.worker(0)
        assert it.rig.segment.words[row + at.W_ACCEPTED] == 1


async def test_many_hosts_on_one_connection(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path) as it:
        client = await it.client("x.b.test")
        for number in range(100):
            assert (await client.ask(request(f"h{number}.b.test")))[0] == 200
        assert (await client.ask(request("a.test")))[0] == 421


async def test_whatever_form_the_target_has(tmp_path: Path) -> None:
    """The authority of an absolute target counts, not the Host field (RFC 9112 §3.2.2); HTTP/1.0 may name no host."""
    async with misdirection_rig(tmp_path) as it:
        assert await it.ask("a.test", "a.test", "https://x.b.test/") in (400, 421)
        assert await it.ask("a.test", "x.b.test", "https://a.test/") in (200, 400)
        assert await it.ask("a.test", "a.test", "https://a.test/") == 200
        client = await it.client("a.test")
        assert (await client.ask(b"GET / HTTP/1.0\r\n\r\n"))[0] == 200
        client = await it.client("a.test")
        assert (await client.ask(b"GET / HTTP/1.0\r\nHost: x.b.test\r\n\r\n"))[0] == 421


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS", "DELETE", "BREW"])
async def test_whatever_the_method_is(method: str, tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path) as it:
        client = await it.client("a.test")
        await client.send(request("x.b.test", method=method))
        answer = await client.rest()
        assert answer.startswith(b"HTTP/1.1 421 ")
        assert answer.endswith(b"\r\n\r\n") == (method == "HEAD")
        client = await it.client("a.test")
        await client.send(b"OPTIONS * HTTP/1.1\r\nHost: x.b.test\r\nMax-Forwards: 0\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 421 ")
        client = await it.client("a.test")
        await client.send(b"POST / HTTP/1.1\r\nHost: x.b.test\r\nContent-Length: 5\r\n\r\nhello")
        assert (await client.rest()).startswith(b"HTTP/1.1 421 ")
        assert it.backend.requests == []


async def test_a_websocket_is_no_way_round(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path) as it:
        client = await it.client("a.test")
        await client.send(
            b"GET / HTTP/1.1\r\nHost: x.b.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await client.rest()).startswith(b"HTTP/1.1 421 ")


async def test_readiness_is_answered_on_every_connection(tmp_path: Path) -> None:
    """A health check asks by address and seldom sends a name."""
    async with misdirection_rig(tmp_path) as it:
        for name, host in ((None, "a.test"), ("a.test", "127.0.0.1"), ("x.b.test", "a.test")):
            assert await it.ask(name, host, "/-/ready") == 200


async def test_a_host_that_no_service_takes(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path, services=(replace(SERVICE, hosts=frozenset((b"a.test",))),)) as it:
        assert await it.ask("a.test", "a.test") == 200
        assert await it.ask("a.test", "unknown.test") == 404
        assert await it.ask("x.b.test", "y.b.test") == 404
        assert await it.ask("x.b.test", "a.test") == 421
        assert len(it.backend.requests) == 1


@pytest.mark.parametrize("host", ["A.Test", "a.test.", "a.test:8443", "A.TEST.:1", "%61.test"])
@pytest.mark.parametrize("name", ["a.test", "A.TEST"])
async def test_sni_and_host_are_compared_in_one_form(name: str, host: str, tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path, services=(replace(SERVICE, hosts=frozenset((b"a.test",))),)) as it:
        assert await it.ask(name, host) == 200
        assert await it.ask("x.b.test", host) == 421


async def test_trusted_proxies_carry_requests_for_many_hosts(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path, forwarding=ForwardingOptions(trusted=("127.0.0.0/8",))) as it:
        for name in (None, "a.test", "x.b.test"):
            client = await it.client(name)
            for host in ("a.test", "x.b.test", "d.test"):
                assert (await client.ask(request(host)))[0] == 200


@pytest.mark.parametrize(("source", "status"), [("203.0.113.9", 421), ("10.0.0.9", 200)])
async def test_behind_the_proxy_protocol_the_announced_client_counts(source: str, status: int, tmp_path: Path) -> None:
    """A balancer passes TLS through: the name that was asked for is the client's, and the client may be a trusted proxy."""
    async with misdirection_rig(
        tmp_path,
        proxy_protocol=ProxyProtocolOptions(required=True, allowed_senders=("127.0.0.1",)),
        forwarding=ForwardingOptions(trusted=("10.0.0.0/8",)),
    ) as it:
        context = it.authority.client()
        context.check_hostname = False
        client = await it.rig.client()
        await client.send(f"PROXY TCP4 {source} 127.0.0.1 40000 443\r\n".encode())
        await client.writer.start_tls(context, server_hostname="a.test")
        assert (await client.ask(request("a.test")))[0] == 200
        assert (await client.ask(request("x.b.test")))[0] == status


async def test_certificates_that_are_loaded_anew_change_nothing_for_who_is_connected(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path) as it:
        old = await it.client("a.test")
        assert (await old.ask(request("a.test")))[0] == 200
        it.authority.pair("a.test", "x.b.test", file="a")
        await it.rig.data_plane.tls_acceptor.reload_changed()
        assert await it.ask("a.test", "x.b.test") == 200, "the new certificate covers both"
        assert (await old.ask(request("a.test")))[0] == 200
        assert (await old.ask(request("x.b.test")))[0] == 421, "the one that this client has seen does not"


@pytest.mark.parametrize(
    ("option", "belongs_to"),
    [pytest.param("-tls1_2", "a.test", id="TLS 1.2"), pytest.param("-tls1_3", "x.b.test", id="TLS 1.3")],
)
async def test_a_session_that_is_taken_up_under_another_name(option: str, belongs_to: str, tmp_path: Path) -> None:
    """In TLS 1.2 OpenSSL goes by the name of the session, whose certificate the client has seen; in 1.3 by the name asked for
    (RFC 8446 §4.2.11). Either way one of the two hosts is served, and the other is not.
    """
    ticket = tmp_path / "ticket"
    async with misdirection_rig(tmp_path) as it:

        async def over_openssl(name: str, host: str, *more: str) -> bytes:
            client = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", "-connect", f"127.0.0.1:{it.rig.port}", "-servername", name, "-ign_eof"),
                *("-CAfile", it.authority.file, option, *more),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            ask = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            return (await asyncio.wait_for(client.communicate(ask), 20))[0]

        assert b"HTTP/1.1 200 " in await over_openssl("a.test", "a.test", "-sess_out", str(ticket))
        assert b"HTTP/1.1 200 " in await over_openssl("a.test", "a.test", "-sess_in", str(ticket))
        for host in ("a.test", "x.b.test"):
            out = await over_openssl("x.b.test", host, "-sess_in", str(ticket))
            assert b"\nReused, " in out
            assert b"HTTP/1.1 %d " % (200 if host == belongs_to else 421) in out


async def test_one_certificate_is_asked_nothing(tmp_path: Path) -> None:
    """Nor is plain HTTP: the translation of a head is the context's own."""
    authority = CertificateAuthority(tmp_path)
    pair: Pair = authority.pair("a.test")
    context = authority.client()
    context.check_hostname = False
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, tls=ServerTls(pair))) as rig:
        rig.serve(backend.url)
        client = await rig.client(context)
        for host in ("a.test", "b.test", "127.0.0.1"):
            assert (await client.ask(request(host)))[0] == 200
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(request("a.test")))[0] == 200
        [downstream] = rig.data_plane.limiter.connections
        assert downstream._translate == rig.context.request_head


async def test_the_access_log_says_what_was_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "router.access")
    async with misdirection_rig(tmp_path, access_log=True) as it:
        assert await it.ask("a.test", "x.b.test", "/secret?x=1") == 421
        [line] = [orjson.loads(text) for text in caplog.messages if text.startswith("{")]
        assert (line["status"], line["code"], line["target"]) == (421, "misdirected", "/secret?x=1")


def test_a_connection_of_another_process_is_known_by_its_certificate() -> None:
    """The same one of ours, wherever it stands now, or one that we do not have: then it is held against what it covers."""
    a, b, c = frozenset(("a.test",)), frozenset(("*.b.test", "shared.test")), frozenset(("c.test", "shared.test"))
    before = PresentedCertificate((a, b), {"x.b.test": 1}, 1)
    moved = PresentedCertificate((a, c, b), {"c.test": 1, "x.b.test": 2}, 0).matching(*before.identity())
    assert moved.index == 2
    gone = PresentedCertificate((a, c), {"c.test": 1}, 0).matching(*before.identity())
    assert [gone.misdirects(host) for host in (b"x.b.test", b"shared.test", b"other.test")] == [False] * 3
    assert [gone.misdirects(host) for host in (b"a.test", b"c.test")] == [True] * 2
    nameless = gone.matching([], [])
    assert [nameless.misdirects(host) for host in (b"a.test", b"shared.test", b"other.test")] == [True, True, False]


async def test_long_hosts_are_not_remembered(tmp_path: Path) -> None:
    async with misdirection_rig(tmp_path) as it:
        client = await it.client("a.test")
        for number in range(40):
            assert (await client.ask(request(f"h{number}" + "a" * 30_000)))[0] == 200
        (downstream,) = it.rig.data_plane.limiter.connections
        kept = inspect.getclosurevars(downstream._translate).nonlocals["verdicts"]
        assert sum(map(len, kept)) <= HOSTS_REMEMBERED_MAX * HOST_REMEMBERED_BYTES_MAX
