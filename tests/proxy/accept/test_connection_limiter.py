"""Who may connect: altogether, of one client, for how long, for how many requests."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from router.proxy.accept.connection_limiter import ClientConnectionLimiter
from router.proxy.addresses import UNIX, UNKNOWN, Peer
from router.proxy.data_plane import UNUSED_SWEEPS
from router.proxy.engine.downstream import Downstream
from router.runtime import clock, fd_limits
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import OPTIONS, Rig, field, until

PROXY = "10.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"


def limited(rig: Rig) -> dict[str, int]:
    return {name: count for name, count in rig.worker_stats.limited().items() if count}


def announced(rig: Rig, address: str) -> Downstream:
    downstream = Downstream(rig.context, rig.data_plane.limiter)
    downstream.peer = Peer(address, "http")
    return downstream


async def test_one_connection_too_many_is_503_and_room_again_is_room() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, connections_max=1)) as rig:
        rig.serve(backend.url)
        first = await rig.client()
        assert (await first.ask(GET))[0] == 200
        status, head, _ = await (await rig.client()).response()
        assert (status, field(head, b"x-router-error"), field(head, b"retry-after")) == (503, b"connections", b"1")
        first.close()
        await until(lambda: not rig.data_plane.limiter.connections)
        assert (await rig.ask(GET))[0] == 200
    assert limited(rig) == {"connections_max": 1}
    assert rig.worker_stats.worker(0).connections_total == 3, "a refused one counts, too"


async def test_one_client_does_not_take_all_connections() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, connections_per_client_max=2)) as rig:
        rig.serve(backend.url)
        two = [await rig.client() for _ in range(2)]
        assert [(await client.ask(GET))[0] for client in two] == [200, 200]
        status, head, _ = await (await rig.client()).response()
        assert (status, field(head, b"x-router-error")) == (429, b"connections_per_client")
        two[0].reset()
        await until(lambda: len(rig.data_plane.limiter.connections) == 1)
        assert (await rig.ask(GET))[0] == 200
    assert rig.data_plane.limiter.by_client == {}
    assert limited(rig) == {"connections_per_client_max": 1}


async def test_others_are_counted_for_themselves_and_who_has_no_address_is_not() -> None:
    forwarding = replace(OPTIONS.forwarding, trusted=(PROXY,))
    async with Rig(replace(OPTIONS, connections_per_client_max=1, forwarding=forwarding)) as rig:
        connections = ClientConnectionLimiter(rig.context, rig.data_plane.reserve)
        anna, again, bert, *nameless = [
            announced(rig, address)
            for address in ("2001:db8::1", "2001:db8::1", "192.0.2.1", UNIX, UNIX, UNKNOWN, UNKNOWN, PROXY, PROXY)
        ]
        refusals = [connections.admit(downstream) for downstream in (anna, again, bert, *nameless)]
        assert refusals == [None, at.LIMITED_PER_CLIENT, *(None,) * 7]
        connections.release(again)  # was never in
        assert connections.by_client == {"2001:db8::1": 1, "192.0.2.1": 1}
        connections.release(anna)
        assert connections.admit(again) is None
        for downstream in (again, bert, *nameless):
            connections.release(downstream)


async def test_a_limit_that_is_new_counts_those_who_are_there() -> None:
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        client = await rig.client()
        assert (await client.ask(GET))[0] == 200
        changed = replace(OPTIONS, connections_per_client_max=1, connection_age_max_s=60.0)
        rig.data_plane.reconfigure(changed)
        assert (await (await rig.client()).response())[0] == 429
        assert len(rig.data_plane.limiter.ages.since) == 1
        rig.data_plane.reconfigure(replace(changed, connections_per_client_max=math.inf))
        assert (await rig.ask(GET))[0] == 200


async def test_an_old_connection_ends_after_its_answer() -> None:
    async with Backend(backends.in_turn(backends.ok(), backends.slow(0.05))) as backend:
        async with Rig(replace(OPTIONS, connection_age_max_s=60.0)) as rig:
            rig.serve(backend.url)
            client = await rig.client()
            assert (await client.ask(GET))[0] == 200
            await client.send(GET)
            await until(lambda: len(backend.requests) == 2 or rig.scalar(at.L_CLAIMED) == 2)
            rig.data_plane.limiter.ages.sweep(clock.now_s() + 59)
            assert limited(rig) == {}
            rig.data_plane.limiter.ages.sweep(clock.now_s() + 61)
            status, head, _ = await client.response()
            assert (status, field(head, b"connection")) == (200, b"close")
            assert await client.rest() == b""
    assert limited(rig) == {"connection_age_max_s": 1}


async def test_the_last_request_of_a_connection_is_told_so() -> None:
    async with Backend(backends.ok()) as backend, Rig(replace(OPTIONS, requests_per_connection_max=2)) as rig:
        rig.serve(backend.url)
        client = await rig.client()
        await client.send(GET * 3)
        heads = [(await client.response())[1] for _ in range(2)]
        assert [field(head, b"connection") for head in heads] == [None, b"close"]
        assert await client.rest() == b""
    assert (rig.attempts(), limited(rig)) == ({"ok": 2}, {"requests_per_connection_max": 1})


async def test_limits_are_no_wider_than_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fd_limits, "available", lambda: 66)
    async with Backend(backends.ok()) as backend, Rig() as rig:
        rig.serve(backend.url)
        assert (rig.context.connections_max, rig.context.in_flight_max) == (17, 16)
        clients = [await rig.client() for _ in range(18)]
        assert [(await client.ask(GET))[0] for client in clients[:17]] == [200] * 17
        assert (await clients[17].response())[0] == 503
    assert "Raise the hard limit" in caplog.text


async def test_a_sweep_without_a_free_descriptor_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Rig() as rig:
        rig.data_plane.sweep()
        assert limited(rig) == {}
        with monkeypatch.context() as patch:
            patch.setattr("router.proxy.data_plane.os.dup", _none_left)
            for _ in range(UNUSED_SWEEPS):
                rig.data_plane.sweep()
    assert limited(rig) == {"descriptors": 1}


def _none_left(descriptor: int) -> int:
    raise OSError(24, "Too many open files")
