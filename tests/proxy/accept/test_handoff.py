"""A worker hands its clients' connections on to another one, without a byte lost; the other one is in this process, too."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from router.proxy.accept.handoff import Adoption, Handoff, outlets_of
from router.proxy.options import Options, ProxyProtocolOptions
from router.runtime import clock, inlets
from router.runtime.inlets import Inlets
from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.engine.test_misdirection import request, tls_of
from tests.proxy.leak_check import targets
from tests.proxy.rig import OPTIONS, Client, Rig, field, until
from tests.proxy.waiting import turns

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Pair:
    """The worker that leaves and the one that comes."""

    old: Rig
    new: Rig
    folder: Path
    token: int

    def hand_on(self, seconds: float = 5.0) -> asyncio.Task[None]:
        """Begin the old one's end."""

        async def run() -> None:
            handoff = Handoff(self.old.context, self.old.data_plane.limiter, inlets.outlets(self.folder, self.token))
            until_s = clock.now_s() + seconds
            await handoff.run(until_s)
            await self.old.data_plane.drain(until_s)
            await handoff.end(until_s)

        return asyncio.ensure_future(run())


def adoption_by(rig: Rig, inlet: socket.socket) -> Adoption:
    return Adoption(rig.context, rig.data_plane.limiter, rig.data_plane.tls_acceptor, inlet)


@asynccontextmanager
async def two(
    folder: Path, old: Options = OPTIONS, new: Options = OPTIONS, *, to: str, was: str = ""
) -> AsyncIterator[Pair]:
    mine = Inlets(folder, 1)
    async with Rig(old) as first, Rig(new) as second:
        first.serve(was or to)
        second.serve(to)
        adoption = adoption_by(second, mine.sockets[0].dup())
        adoption.start()
        mine.open()
        try:
            yield Pair(first, second, folder, mine.token)
        finally:
            adoption.stop()
            mine.close()
            # Each rig counts what is left in the process.
            for target in (*targets(first.data_plane), *targets(second.data_plane)):
                target.close_idle()


async def idle_client(pair: Pair) -> Client:
    client = await pair.old.client()
    assert (await client.ask(GET))[0] == 200
    return client


async def test_idle_connections_go_on_with_the_other_worker(tmp_path: Path) -> None:
    async with Backend(backends.ok(b"old")) as was, Backend(backends.ok(b"new")) as to:
        async with two(tmp_path, to=to.url, was=was.url) as pair:
            clients = [await idle_client(pair) for _ in range(30)]
            fresh = await pair.old.client()
            await until(lambda: len(pair.old.data_plane.limiter.connections) == 31)
            await asyncio.wait_for(pair.hand_on(), 5)
            assert not pair.old.data_plane.limiter.connections
            for client in (*clients, fresh):
                status, head, body = await client.ask(POST)
                assert (status, body, field(head, b"connection")) == (200, b"new", b"close")
                assert await client.rest() == b""
            assert to.requests[-1].field("x-forwarded-for") == b"127.0.0.1"


async def test_a_request_that_comes_at_any_moment_is_answered(tmp_path: Path) -> None:
    async with Backend(backends.ok(b"x")) as backend, two(tmp_path, to=backend.url) as pair:
        clients = [await idle_client(pair) for _ in range(40)]
        for client in clients[::2]:  # read by none yet
            with socket.socket(fileno=socket.dup(client.writer.get_extra_info("socket").fileno())) as same:
                same.send(POST)
        handing = pair.hand_on()
        for client in clients[1::2]:
            await turns()
            client.writer.write(POST)
        for client in clients:
            assert (await client.response())[0] == 200
        await handing


async def test_half_a_head_and_a_pipeline_go_with_their_bytes(tmp_path: Path) -> None:
    async with Backend(backends.slow(0.1)) as was, Backend(backends.ok(b"new")) as to:
        async with two(tmp_path, to=to.url, was=was.url) as pair:
            half, pipeline = await pair.old.client(), await pair.old.client()
            await half.send(POST[:30])
            await pipeline.send(GET + POST)
            await until(lambda: was.requests and len(pair.old.data_plane.limiter.connections) == 2)
            handing = pair.hand_on()
            await until(lambda: pair.new.data_plane.limiter.connections)
            await half.send(POST[30:])
            assert (await half.response())[2] == b"new"
            assert field((await pipeline.response())[1], b"connection") is None
            status, head, body = await pipeline.response()
            assert (status, body, field(head, b"connection")) == (200, b"new", b"close")
            await handing


async def test_a_stream_ends_where_it_began_and_its_client_goes_on_with_the_other(tmp_path: Path) -> None:
    async with Backend(backends.tokens(5, 0.05, text=b"x")) as was, Backend(backends.ok(b"new")) as to:
        async with two(tmp_path, to=to.url, was=was.url) as pair:
            client = await pair.old.client()
            await client.send(GET)
            await client.head()
            handing = pair.hand_on()
            await asyncio.wait_for(client.reader.readuntil(b"0\r\n\r\n"), 5)
            assert (await client.ask(POST))[2] == b"new"
            await handing


async def test_the_worker_that_leaves_begins_no_request_from_the_first_step_on(tmp_path: Path) -> None:
    async with Backend(backends.ok(b"old")) as was, Backend(backends.ok(b"new")) as to:
        async with two(tmp_path, to=to.url, was=was.url) as pair:
            clients = [await idle_client(pair) for _ in range(20)]
            began = len(was.requests)
            handing = pair.hand_on()
            await turns()
            assert {(await client.ask(POST))[2] for client in clients} == {b"new"}
            await handing
            assert len(was.requests) == began


async def test_over_tls_a_relay_stays_until_the_connection_ends(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = replace(OPTIONS, tls=ServerTls(authority.pair()))
    async with Backend(backends.ok(b"x" * 300_000)) as backend, two(tmp_path, tls, to=backend.url) as pair:
        client, silent = await pair.old.client(), await pair.old.client()
        for one in (client, silent):
            await one.writer.start_tls(authority.client(), server_hostname="localhost")
            assert (await one.ask(GET))[0] == 200
        handing = pair.hand_on(seconds=0.5)
        await until(lambda: not pair.old.data_plane.limiter.connections)
        status, head, body = await client.ask(POST)
        assert (status, len(body), field(head, b"connection")) == (200, 300_000, b"close")
        last = backend.requests[-1]
        assert (last.field("x-forwarded-for"), last.field("x-forwarded-proto")) == (b"127.0.0.1", b"https")
        assert await client.rest() == b""
        client.close()
        await handing
        try:
            assert await silent.rest() == b""
        except (ssl.SSLError, ConnectionError):
            pass


async def test_whom_a_balancer_announced_stays_who_he_is(tmp_path: Path) -> None:
    announced = replace(OPTIONS, proxy_protocol=ProxyProtocolOptions(required=True, allowed_senders=("127.0.0.0/8",)))
    async with Backend(backends.ok()) as backend, two(tmp_path, announced, announced, to=backend.url) as pair:
        client, waiting = await pair.old.client(), await pair.old.client()
        await client.send(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + GET)
        assert (await client.response())[0] == 200
        handing = pair.hand_on()
        assert (await client.ask(GET))[0] == 200
        assert backend.requests[-1].field("x-forwarded-for") == b"192.0.2.7"
        await waiting.send(b"PROXY TCP4 192.0.2.8 192.0.2.1 1 2\r\n" + GET)
        assert (await waiting.response())[0] == 200
        assert backend.requests[-1].field("x-forwarded-for") == b"192.0.2.8"
        await handing


async def test_nobody_who_takes_them_means_that_they_end_here_with_an_answer(tmp_path: Path) -> None:
    idle = replace(OPTIONS, shutdown_idle_s=1.0)
    async with Backend(backends.ok(b"old")) as backend, two(tmp_path, idle, to=backend.url) as pair:
        client = await idle_client(pair)
        outlets = inlets.outlets(tmp_path, pair.token)
        for outlet in outlets:
            outlet.close()
        assert await outlets_of(tmp_path, pair.token + 1, 0.05) == []
        dead = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        dead[1].close()
        handoff = Handoff(pair.old.context, pair.old.data_plane.limiter, [dead[0]])
        await asyncio.wait_for(handoff.run(clock.now_s() + 5), 1)
        draining = asyncio.ensure_future(pair.old.data_plane.drain())
        status, head, body = await client.ask(POST)
        assert (status, body, field(head, b"connection")) == (200, b"old", b"close")
        client.close()
        await draining


async def test_what_was_taken_over_is_handed_on_again(tmp_path: Path) -> None:
    async with Backend(backends.ok()) as backend, two(tmp_path, to=backend.url) as pair:
        client = await idle_client(pair)
        await pair.hand_on()
        await until(lambda: pair.new.data_plane.limiter.connections)
        async with Rig() as third:
            third.serve(backend.url)
            mine = Inlets(tmp_path, 1)
            adoption = adoption_by(third, mine.sockets[0].dup())
            adoption.start()
            mine.open()
            again = Handoff(pair.new.context, pair.new.data_plane.limiter, inlets.outlets(tmp_path, mine.token))
            await again.run(clock.now_s() + 5)
            await until(lambda: third.data_plane.limiter.connections)
            assert (await client.ask(GET))[0] == 200
            client.close()
            await until(lambda: not third.data_plane.limiter.connections)
            adoption.stop()
            mine.close()
            for target in targets(pair.new.data_plane):
                target.close_idle()


@pytest.mark.parametrize("hosts", [("x.b.test", "shared.test"), ("unknown.test",)])
async def test_what_a_client_verified_goes_with_its_connection(hosts: tuple[str, ...], tmp_path: Path) -> None:
    certificates = replace(OPTIONS, tls=tls_of(CertificateAuthority(tmp_path)))
    async with (
        Backend(backends.ok()) as backend,
        two(tmp_path, certificates, certificates, to=backend.url) as pair,
    ):
        clients = {}
        for host in ("a.test", *hosts):
            context = CertificateAuthority(tmp_path, "other").client()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            clients[host] = await pair.old.client(context, "a.test")
            assert (await clients[host].ask(request("a.test")))[0] == 200
        handing = pair.hand_on()
        await until(lambda: not pair.old.data_plane.limiter.connections)
        for host, client in clients.items():
            assert (await client.ask(request(host)))[0] == (421 if "b.test" in host or "shared" in host else 200)
            client.close()
        await handing
