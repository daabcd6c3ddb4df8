"""One client that holds all places costs others little; a client alone, and clients that nothing tells apart, lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from router.proxy.options import ForwardingOptions, ProxyProtocolOptions
from router.proxy.routing.client_shares import HOLD_S, PROBE_AFTER_S, STUCK_S
from router.proxy.routing.concurrency import WAITED_MIN_S
from router.rollout.outcome import FAULTS
from router.runtime import clock
from router.shm import layout as at
from tests import backends
from tests.backends import Backend, Connection
from tests.proxy.engine.test_tunnel import ASK, SWITCH
from tests.proxy.rig import OPTIONS, SERVICE, Client, Rig, field, until

HEAVY, OTHER, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
PLACES = 16
QUICK = b"GET /quick HTTP/1.1\r\nHost: t\r\n\r\n"
STREAM = b"GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"
HUNG = b"GET /hung HTTP/1.1\r\nHost: t\r\n\r\n"
UPLOAD = b"POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nsome"
KINDS = {"streams": STREAM, "hung": HUNG, "uploads": UPLOAD}


async def model(connection: Connection) -> None:
    """A model server: streams, hangs and tunnels end when the client goes."""
    while True:
        target = (await connection.read_request()).head.split(b" ")[1]
        if target == b"/quick":
            await connection.send(backends.response(200, b"ok"))
            continue
        if target == b"/ws":
            await connection.send(SWITCH)
        elif target == b"/stream":
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")
        try:
            await connection.reader.read()
        except ConnectionError:  # the router resets what is of no use to anyone
            pass
        return


@asynccontextmanager
async def saturable(**options: Any) -> AsyncIterator[Rig]:
    chosen = replace(OPTIONS, **({"in_flight_max": PLACES, "requests_max": 8 * PLACES} | options))
    async with Backend(model) as backend, Rig(chosen) as rig:
        rig.serve(backend.url)
        yield rig


async def of(rig: Rig, address: str) -> Client:
    """Return a connection from `address`."""
    streams = await asyncio.open_connection("127.0.0.1", rig.port, local_addr=(address, 0))
    client = Client(*streams)
    rig._clients.append(client)
    return client


async def hold(rig: Rig, number: int, raw: bytes, address: str = HEAVY) -> list[Client]:
    """Have `address` hold `number` places."""
    before = held(rig)
    clients = [await of(rig, address) for _ in range(number)]
    for client in clients:
        await client.send(raw)
    await until(lambda: held(rig) == before + number)
    return clients


def held(rig: Rig) -> int:
    return sum(len(target.in_flight) for service in rig.data_plane.services for target in service.targets.values())


async def status(rig: Rig, raw: bytes, address: str) -> tuple[int, bytes | None]:
    """Return the status and the router's code of one request from `address`."""
    client = await of(rig, address)
    await client.send(raw)
    head = await client.head()
    client.close()
    return int(head.split(b" ")[1]), field(head, b"x-router-error")


def limited(rig: Rig) -> dict[str, int]:
    return {name: count for name, count in rig.worker_stats.limited().items() if count}


def later(rig: Rig, seconds: float) -> None:
    rig.data_plane.concurrency.sweep(clock.now_s() + seconds)


def pass_time(monkeypatch: pytest.MonkeyPatch, rig: Rig, seconds: float) -> None:
    """Let it be later from now on, also for the sweeps, which set the time of the data plane ten times a second."""
    before = clock.now_s
    monkeypatch.setattr(clock, "now_s", lambda: before() + seconds)
    rig.context.now_s = clock.now_s()


async def first_logged(clients: list[Client], end: bool) -> bytes:
    """Return what the first of them got that gets a head, or all of whose connection `end`s first."""
    reading = [asyncio.create_task(client.rest() if end else client.head()) for client in clients]
    done, left = await asyncio.wait(reading, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    return done.pop().result()


def age(rig: Rig, seconds: float) -> None:
    """Have everything that is under way be older."""
    for service in rig.data_plane.services:
        for target in service.targets.values():
            for exchange in target.in_flight:
                assert exchange.attempt is not None
                exchange.attempt.claimed_s -= seconds


def names_no_client(rig: Rig) -> bool:
    return not any(rig.attempts().get(outcome.label) for outcome in FAULTS)


# -- tunnels
async def test_tunnels_take_at_most_half_and_requests_still_pass() -> None:
    async with saturable() as rig:
        tunnels = await hold(rig, PLACES // 2, ASK)
        await until(lambda: rig.scalar(at.L_TUNNELS) == PLACES // 2)
        assert await status(rig, ASK, HEAVY) == (503, b"tunnels")
        assert await status(rig, ASK, OTHER) == (503, b"tunnels")
        for address in (HEAVY, OTHER):
            assert (await status(rig, QUICK, address))[0] == 200
        assert limited(rig) == {"tunnels": 2}
        tunnels[0].reset()
        await until(lambda: held(rig) == PLACES // 2 - 1)
        assert (await status(rig, ASK, OTHER))[0] == 101
    assert (rig.exchanges()["refused"], rig.attempts().get("saturated")) == (2, None)
    assert names_no_client(rig)


async def test_requests_for_a_tunnel_count_before_they_are_answered() -> None:
    async with saturable() as rig:
        await hold(rig, PLACES // 2, ASK.replace(b"/ws", b"/hung"))
        assert await status(rig, ASK, HEAVY) == (503, b"tunnels")
        assert (await status(rig, QUICK, HEAVY))[0] == 200


async def test_an_upgrade_that_was_refused_gives_its_place_back() -> None:
    async with saturable() as rig:
        for _ in range(PLACES):
            assert (await status(rig, ASK.replace(b"/ws", b"/quick"), HEAVY))[0] == 200
        (target,) = rig.data_plane.services[0].targets.values()
        assert target.upgrades == 0


async def test_tunnels_of_all_services_together_take_at_most_half_of_requests_max() -> None:
    services = tuple(replace(OPTIONS.services[0], name=name, path_prefix=b"/" + name.encode()) for name in "abc")
    async with Backend(model) as backend:
        options = replace(OPTIONS, services=services, in_flight_max=8, requests_max=10)
        async with Rig(options) as rig:
            for index in range(3):
                rig.fill(0, "v1", f"{backend.url}", service=index)
                rig.route(0, service=index)
            for path, number in ((b"/a", 4), (b"/b", 1)):
                await hold(rig, number, ASK.replace(b"/ws", path))
            assert await status(rig, ASK.replace(b"/ws", b"/c"), HEAVY) == (503, b"tunnels")


# -- whether the version answers others
@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
async def test_others_show_that_the_version_answers(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """Else slow requests of one client, and nobody else's, would pass for a version that hangs."""
    async with saturable() as rig:
        await hold(rig, PLACES, raw)
        assert await status(rig, QUICK, OTHER) == (503, b"saturated")
        pass_time(monkeypatch, rig, PROBE_AFTER_S)
        for address in (OTHER, THIRD, OTHER):
            assert (await status(rig, QUICK, address))[0] == 200
            await until(lambda: held(rig) == PLACES)
            assert await status(rig, QUICK, HEAVY) == (429, b"client_share"), "it has its share"
        assert names_no_client(rig)


async def test_one_other_is_let_in_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that hangs for it, too, is none the better for it; a tunnel shows nothing."""
    async with saturable() as rig:
        await hold(rig, PLACES, HUNG)
        assert await status(rig, QUICK, OTHER) == (503, b"saturated")
        pass_time(monkeypatch, rig, PROBE_AFTER_S)
        assert await status(rig, ASK, OTHER) == (503, b"saturated")
        (one,) = await hold(rig, 1, HUNG, OTHER)
        for address in (OTHER, THIRD):
            assert await status(rig, QUICK, address) == (503, b"saturated")
        assert held(rig) == PLACES + 1
        one.reset()
        await until(lambda: held(rig) == PLACES)
        assert (await status(rig, QUICK, THIRD))[0] == 200


async def test_clients_with_their_share_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody holds more than others: then none is let in beyond the limit."""
    async with saturable(services=(replace(SERVICE, first_byte_timeout_s=30.0),)) as rig:
        for address in (HEAVY, OTHER):
            await hold(rig, PLACES // 2, HUNG, address)
        for address in (HEAVY, OTHER):
            assert (await status(rig, QUICK, address))[0] == 503
            pass_time(monkeypatch, rig, PROBE_AFTER_S)
        assert await status(rig, QUICK, OTHER) == (503, b"saturated")
        assert held(rig) == PLACES


# -- a client's share
@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
async def test_one_client_alone_takes_everything_and_nothing_happens(raw: bytes) -> None:
    async with saturable() as rig:
        clients = await hold(rig, PLACES, raw)
        for _ in range(3):
            assert await status(rig, QUICK, HEAVY) == (503, b"saturated")
            later(rig, 2 * STUCK_S)
        assert held(rig) == PLACES
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        assert (await status(rig, QUICK, HEAVY))[0] == 200, "its last place is its own"
    assert set(limited(rig)) == {"in_flight_max"}


@pytest.mark.parametrize("raw", KINDS.values(), ids=KINDS)
async def test_what_comes_free_while_another_is_refused_is_for_the_other(raw: bytes) -> None:
    async with saturable() as rig:
        clients = await hold(rig, PLACES, raw)
        assert await status(rig, QUICK, OTHER) == (503, b"saturated")
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        assert await status(rig, QUICK, HEAVY) == (429, b"client_share")
        for _ in range(3):
            assert (await status(rig, QUICK, OTHER))[0] == 200
        assert (await status(rig, QUICK, THIRD))[0] == 200
        assert limited(rig) == {"in_flight_max": 1, "client_share": 1}
    assert names_no_client(rig)


@pytest.mark.parametrize(
    ("raw", "after_s"),
    [(STREAM, STUCK_S), (HUNG, WAITED_MIN_S), (UPLOAD, STUCK_S)],
    ids=KINDS,
)
async def test_what_never_ends_is_ended_where_another_was_not_let_in_for_long(raw: bytes, after_s: float) -> None:
    async with saturable() as rig:
        clients = await hold(rig, PLACES, raw)
        for _ in range(3):
            assert (await status(rig, QUICK, OTHER))[0] == 503
        age(rig, after_s - STUCK_S - 2)
        later(rig, STUCK_S + 1)
        assert held(rig) == PLACES, "none is old enough"
        assert (await status(rig, QUICK, OTHER))[0] == 503
        age(rig, 2)
        later(rig, 2 * STUCK_S + 2)
        assert held(rig) == PLACES - 1, "one was refused since"
        assert (await status(rig, QUICK, OTHER))[0] == 200
        assert await status(rig, QUICK, HEAVY) == (429, b"client_share")
        assert (await status(rig, QUICK, OTHER))[0] == 200
        told = await first_logged(clients, end=raw is STREAM)
        if raw is STREAM:
            assert told.endswith(b"event\r\n"), "no last chunk: it was cut"
        else:
            assert told.startswith(b"HTTP/1.1 429 ")
    assert limited(rig)["client_share_cut"] == 1
    assert rig.exchanges()["cut" if raw is STREAM else "refused"] > 0
    assert names_no_client(rig)


async def test_idle_tunnels_make_room_for_a_tunnel_of_another() -> None:
    async with saturable() as rig:
        tunnels = await hold(rig, PLACES // 2, ASK)
        assert await status(rig, ASK, OTHER) == (503, b"tunnels")
        later(rig, STUCK_S + 1)
        with pytest.raises(ConnectionResetError):
            await tunnels[0].rest()
        assert await status(rig, ASK, HEAVY) == (429, b"client_share")
        assert (await status(rig, ASK, OTHER))[0] == 101
        assert (await status(rig, QUICK, HEAVY))[0] == 200, "requests have places of their own"
    assert names_no_client(rig)


async def test_under_requests_max_it_is_the_same_over_all_services() -> None:
    services = tuple(replace(OPTIONS.services[0], name=name, path_prefix=b"/" + name.encode()) for name in "ab")
    async with Backend(model) as backend:
        async with Rig(replace(OPTIONS, services=services, requests_max=PLACES)) as rig:
            for index in range(2):
                rig.fill(0, "v1", backend.url, service=index)
                rig.route(0, service=index)
            hung, quick = HUNG.replace(b"/hung", b"/a"), QUICK.replace(b"/quick", b"/b")
            clients = await hold(rig, PLACES, hung)
            assert await status(rig, quick, OTHER) == (503, b"overloaded")
            clients[0].reset()
            await until(lambda: held(rig) == PLACES - 1)
            assert await status(rig, quick, HEAVY) == (429, b"client_share")
            assert await status(rig, hung, HEAVY) == (429, b"client_share")


async def test_after_the_release_everything_is_as_before() -> None:
    async with saturable() as rig:
        clients = await hold(rig, PLACES, STREAM)
        assert (await status(rig, QUICK, OTHER))[0] == 503
        (target,) = rig.data_plane.services[0].targets.values()
        later(rig, 0)
        assert (target.quota, rig.data_plane.concurrency.holdings.is_set) == (0, False)
        for client in clients:
            client.reset()
        await until(lambda: held(rig) == 0)
        await hold(rig, PLACES - 1, STREAM)
        assert (await status(rig, QUICK, HEAVY))[0] == 429
        later(rig, HOLD_S + 1)
        assert target.quota > 0
        await hold(rig, 1, STREAM)


# -- who is one client
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
async def test_behind_one_balancer_that_announces_nobody_nothing_happens(trusted: bool) -> None:
    forwarding = ForwardingOptions(trusted=(HEAVY,) if trusted else ())
    async with saturable(forwarding=forwarding) as rig:
        clients = await hold(rig, PLACES, STREAM)
        assert (await status(rig, QUICK, HEAVY))[0] == 503
        later(rig, STUCK_S + 1)
        assert held(rig) == PLACES
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        assert (await status(rig, QUICK, HEAVY))[0] == 200


async def test_a_trusted_proxy_announces_who_it_is_on_each_request() -> None:
    forwarding = ForwardingOptions(trusted=("127.0.0.0/8",))

    def by(raw: bytes, client: str) -> bytes:
        return raw.replace(b"Host: t\r\n", b"Host: t\r\nX-Forwarded-For: %b\r\n" % client.encode())

    async with saturable(forwarding=forwarding) as rig:
        clients = await hold(rig, PLACES, by(STREAM, "192.0.2.1"))
        assert (await status(rig, by(QUICK, "192.0.2.2"), HEAVY))[0] == 503
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        assert await status(rig, by(QUICK, "192.0.2.1"), HEAVY) == (429, b"client_share")
        assert (await status(rig, by(QUICK, "192.0.2.2"), HEAVY))[0] == 200


async def test_the_proxy_protocol_announces_clients_and_a_64_is_one() -> None:
    introduction = ProxyProtocolOptions(required=True, allowed_senders=("127.0.0.0/8",))

    def by(raw: bytes, client: str) -> bytes:
        family = b"TCP6" if ":" in client else b"TCP4"
        own = b"2001:db8::ff" if ":" in client else b"192.0.2.255"
        return b"PROXY %b %b %b 5000 80\r\n" % (family, client.encode(), own) + raw

    async with saturable(proxy_protocol=introduction) as rig:
        clients = [(await hold(rig, 1, by(STREAM, f"2001:db8:0:1::{number:x}")))[0] for number in range(1, PLACES + 1)]
        assert (await status(rig, by(QUICK, "2001:db8:0:1::abcd"), HEAVY))[0] == 503
        assert not rig.data_plane.services[0].active.shares[0].contended, "it is the same client"
        assert (await status(rig, by(QUICK, "2001:db8:0:2::1"), HEAVY))[0] == 503
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        assert await status(rig, by(QUICK, "2001:db8:0:1::eeee"), HEAVY) == (429, b"client_share")
        assert (await status(rig, by(QUICK, "2001:db8:0:2::1"), HEAVY))[0] == 200


# -- holdings
async def test_control_is_told_who_holds_what_as_long_as_somebody_is_refused_or_nothing_is_free() -> None:
    async with saturable() as rig:
        clients = [
            *await hold(rig, 4, ASK),
            *await hold(rig, 5, STREAM),
            *await hold(rig, 3, HUNG),
            *await hold(rig, 2, UPLOAD),
            *await hold(rig, 2, STREAM, OTHER),
        ]
        await until(lambda: rig.scalar(at.L_WAITING) == 3)
        assert rig.worker_stats.holdings(clock.now_ns()) == []
        assert (await status(rig, QUICK, HEAVY))[0] == 503
        for _ in range(10):
            later(rig, 0)
        (told,) = rig.worker_stats.holdings(clock.now_ns())
        counts = {"tunnels": 4, "streams": 5, "waiting": 3, "sending": 2}
        assert told["targets"] == [
            {"service": "default", "version": "v1", **counts, "streams": 7, "clients": [
                {"client": HEAVY, **counts},
                {"client": OTHER, "tunnels": 0, "streams": 2, "waiting": 0, "sending": 0},
            ]}
        ]  # fmt: skip
        assert told["full"]
        for _ in range(10):
            later(rig, 20)
        assert rig.worker_stats.holdings(clock.now_ns()) != [], "nobody asks, but nothing is free"
        clients[0].reset()
        await until(lambda: held(rig) == PLACES - 1)
        for _ in range(10):
            later(rig, 20)
        assert rig.worker_stats.holdings(clock.now_ns()) == []
