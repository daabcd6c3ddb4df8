"""A health check is answered although every connection is taken, whoever crowds the few places kept for it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.proxy.accept.reserve import HANDSHAKES_PER_CLIENT_S, HANDSHAKES_PER_S, RESERVED_S
from router.proxy.options import ForwardingOptions, ProxyProtocolOptions
from router.runtime import clock
from router.tls.contexts import ServerTls
from tests import backends
from tests.backends import Backend
from tests.certificate_authority import CertificateAuthority
from tests.proxy.rig import OPTIONS, Client, Rig, field, until

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n"
HEALTH = b"PROXY UNKNOWN\r\n" + READY
ANNOUNCED = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\n"


@asynccontextmanager
async def full(number: int = 3, **options: Any) -> AsyncIterator[Rig]:
    """Yield a rig whose `connections_max` connections are there and silent."""
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, connections_max=number, **options)) as rig:
        rig.serve(backend.url)
        for _ in range(number):
            await rig.client()
        await until(lambda: rig.data_plane.limiter.connection_count() == number)
        yield rig


def counted(rig: Rig) -> int:
    return rig.worker_stats.limited()["connections_max"]


async def silent(rig: Rig, number: int, head: bytes = b"") -> list[Client]:
    clients = [await rig.client() for _ in range(number)]
    for client in clients:
        await client.send(head)
    return clients


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_readiness_is_answered_although_all_places_are_taken(method: bytes) -> None:
    async with full() as rig:
        for _ in range(3 * rig.context.reserved_max):
            client = await rig.client()
            await client.send(READY.replace(b"GET", method))
            head = await client.head()
            assert (head.split(b" ")[1], field(head, b"connection")) == (b"200", b"close")
            assert (await client.rest() == b"") is (method == b"HEAD")
        assert (counted(rig), len(rig.data_plane.limiter.connections)) == (0, 3)


async def test_anything_else_is_told_that_there_is_no_room() -> None:
    async with full() as rig:
        status, head, _ = await rig.ask(GET)
        assert (status, field(head, b"x-router-error"), field(head, b"retry-after")) == (503, b"connections", b"1")
        assert field(head, b"connection") == b"close"
        assert (await rig.ask(b"OPTIONS / HTTP/1.1\r\nHost: t\r\nMax-Forwards: 0\r\n\r\n"))[0] == 200
        assert counted(rig) == 1
        assert (await rig.ask(b"nonsense\r\n\r\n"))[0] == 400
    assert rig.attempts() == {}


async def test_one_question_is_answered_and_what_is_pipelined_behind_it_is_not() -> None:
    async with full() as rig:
        client = await rig.client()
        await client.send(READY * 1000 + GET)
        assert (await client.rest()).count(b"HTTP/1.1 ") == 1
        await until(lambda: len(rig.data_plane.limiter.connections) == 3)


@pytest.mark.parametrize("head", [b"", b"GET /-/ready HT", b"\r\n\r\n"], ids=["silent", "slow head", "empty lines"])
async def test_many_of_one_client_put_out_the_oldest_of_their_own(head: bytes) -> None:
    async with full() as rig:
        most = rig.context.reserved_max
        guests = await silent(rig, 3 * most, head)
        await until(lambda: counted(rig) == 2 * most)
        assert (await guests[0].response())[0] == 503
        assert (await rig.ask(READY))[0] == 200
        assert len(rig.data_plane.reserve) <= most


async def test_the_one_guest_of_another_client_is_not_put_out() -> None:
    async with full() as rig:
        gone: list[str] = []
        reserve = rig.data_plane.reserve
        reserve.take("balancer", "192.0.2.9", gone.append)
        for number in range(5 * rig.context.reserved_max):
            reserve.take(number, f"2001:db8::{number:x}", gone.append)
        assert ("balancer" in reserve.reserved, len(reserve)) == (True, rig.context.reserved_max)
        assert len(gone) == 4 * rig.context.reserved_max + 1
        reserve.reserved.clear()
        reserve.waits.since.clear()


async def test_a_guest_has_so_long_in_all_however_it_dribbles() -> None:
    async with full() as rig:
        quiet, dribbling = await silent(rig, 2)
        await dribbling.send(b"GET /-/ready HTTP/1.1\r\n")
        await until(lambda: any(downstream.buffer for downstream in rig.data_plane.limiter.connections))
        rig.data_plane.reserve.waits.sweep(clock.now_s() + RESERVED_S - 0.5)
        assert len(rig.data_plane.reserve) == 2
        rig.data_plane.reserve.waits.sweep(clock.now_s() + RESERVED_S + 0.5)
        for client in (quiet, dribbling):
            assert (await client.response())[0] == 503
            assert await client.rest() == b""
        assert counted(rig) == 2


async def test_room_again_is_room_and_nobody_is_a_guest() -> None:
    async with full() as rig:
        next(iter(rig.data_plane.limiter.connections)).abort()
        await until(lambda: len(rig.data_plane.limiter.connections) == 2)
        client = await rig.client()
        for _ in range(2):
            status, head, _ = await client.ask(GET)
            assert (status, field(head, b"connection")) == (200, None)
        assert (counted(rig), len(rig.data_plane.reserve)) == (0, 0)


async def test_a_balancer_that_speaks_proxy_protocol_is_answered_too() -> None:
    introduction = ProxyProtocolOptions(required=True, allowed_senders=("127.0.0.0/8",))
    async with full(proxy_protocol=introduction) as rig:
        assert (await rig.ask(HEALTH))[0] == 200
        assert (await rig.ask(ANNOUNCED + GET))[0] == 503
        most = rig.context.reserved_max
        await silent(rig, 2 * most)  # they do not even introduce themselves
        assert (await rig.ask(HEALTH))[0] == 200
        rig.data_plane.reserve.waits.sweep(clock.now_s() + RESERVED_S + 0.5)
        await until(lambda: len(rig.data_plane.reserve) == 0)
        assert (await rig.ask(HEALTH))[0] == 200


async def test_over_tls_it_is_answered_too(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    tls = ServerTls(authority.pair())
    async with full(tls=tls) as rig:
        trusting = ssl.create_default_context(cafile=authority.file)
        await silent(rig, HANDSHAKES_PER_CLIENT_S // 2)
        await until(lambda: len(rig.data_plane.reserve) == HANDSHAKES_PER_CLIENT_S // 2)
        client = await rig.client(trusting)
        assert (await client.ask(READY))[0] == 200
        client = await rig.client(trusting)
        assert (await client.ask(GET))[0] == 503
        rig.data_plane.reserve.waits.sweep(clock.now_s() + RESERVED_S + 0.5)
        await until(lambda: rig.data_plane.limiter.connection_count() == 3)


async def test_handshakes_of_guests_are_rationed_by_client() -> None:
    async with full() as rig:
        reserve = rig.data_plane.reserve
        granted = {
            name: sum(reserve.take_handshake(name) for _ in range(100))
            for name in ("192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.2", "192.0.2.3", "192.0.2.4")
        }
        each = HANDSHAKES_PER_CLIENT_S
        assert list(granted.values()) == [each, each, 0, each, each, 0]
        assert sum(granted.values()) == HANDSHAKES_PER_S
        rig.context.now_s += 1
        assert reserve.take_handshake("192.0.2.4")


async def test_many_clients_take_no_handshake_from_a_balancer() -> None:
    """Whoever is trusted, or announces clients, is one of few: its health checks do not compete with everybody's guests."""
    trusting = {
        "forwarding": ForwardingOptions(trusted=("10.0.0.0/8",)),
        "proxy_protocol": ProxyProtocolOptions(required=True, allowed_senders=("192.168.0.0/16",)),
    }
    async with full(0, **trusting) as rig:
        reserve = rig.data_plane.reserve
        for number in range(HANDSHAKES_PER_S):
            assert reserve.take_handshake(f"192.0.2.{number}")
        assert not reserve.take_handshake("192.0.2.250")
        for balancer in ("10.0.0.1", "192.168.0.1"):
            granted = sum(reserve.take_handshake(balancer) for _ in range(100))
            assert granted == HANDSHAKES_PER_CLIENT_S
        rig.context.now_s += 1
        assert [reserve.take_handshake("10.0.0.1") for _ in range(3)] == [True] * 3
        taken = sum(reserve.take_handshake(f"192.0.2.{number}") for number in range(100))
        assert taken == HANDSHAKES_PER_S, "and it takes none of theirs"


async def test_many_clients_put_out_each_other_and_no_balancer() -> None:
    """As many addresses as places: the oldest guest of theirs goes, though the balancer's is older."""
    async with full(forwarding=ForwardingOptions(trusted=("10.0.0.0/8",))) as rig:
        reserve, out = rig.data_plane.reserve, []
        reserve.take("check", "10.0.0.1", out.append)
        for number in range(3 * rig.context.reserved_max):
            reserve.take(number, f"192.0.2.{number}", out.append)
        assert out == list(range(2 * rig.context.reserved_max + 1))
        for number in range(3 * rig.context.reserved_max):
            reserve.take(f"check {number}", f"10.0.0.{number}", out.append)
        assert "check" in out, "balancers alone put out each other"
        assert len(reserve) == rig.context.reserved_max
        for guest in list(reserve.reserved):
            reserve.leave(guest)
        for number in range(rig.context.reserved_max):
            reserve.take(f"carried {number}", "10.0.0.1", out.append)
        reserve.take("stranger", "192.0.2.1", out.append)
        reserve.take("last", "10.0.0.1", out.append)
        assert "stranger" in reserve.reserved, "one balancer's crowd is a crowd like others"
        for guest in list(reserve.reserved):
            reserve.leave(guest)


async def test_a_stop_ends_guests_as_well() -> None:
    async with full() as rig:
        guests = await silent(rig, 2)
        await until(lambda: len(rig.data_plane.reserve) == 2)
        await asyncio.wait_for(rig.data_plane.drain(), 3)
        ends = [
            await guest.rest() for guest in guests
        ]  # put out after RESERVED_S or cut by the stop, which takes as long here
        assert all(end == b"" or end.startswith(b"HTTP/1.1 503 ") for end in ends), ends
        assert rig.data_plane.limiter.connection_count() == 0
