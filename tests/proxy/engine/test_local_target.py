"""A version with several addresses: shares, ejection, names, two families, a connection that takes long."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from time import perf_counter
from typing import Any, cast

import pytest

from router.proxy.engine.local_target import SECOND_ADDRESS_AFTER_S, LocalTarget
from router.proxy.engine.pool import Pool
from router.proxy.engine.upstream import Upstream
from router.proxy.routing.standing import EJECTED
from router.runtime import clock
from router.shm import layout as at
from tests import backends
from tests.backends import Backend
from tests.proxy.rig import Rig, field
from tests.proxy.waiting import until

POST = b"POST /infer HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"


def target(rig: Rig) -> LocalTarget:
    active = rig.data_plane.services[0].active
    assert active is not None
    return active


def ejected(rig: Rig) -> list[str]:
    return [pool.endpoint.url for pool in target(rig).pools if pool.standing.rank(clock.now_s()) == EJECTED]


@asynccontextmanager
async def served(rig: Rig, *behaviours: Any) -> AsyncIterator[list[Backend]]:
    """Serve v1 from one backend for each behaviour."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(Backend(behaviour)) for behaviour in behaviours]
        rig.fill(0, "v1", *(backend.url for backend in found))
        rig.route(0)
        yield found


async def test_a_replica_that_fails_at_once_gets_no_share_and_is_ejected() -> None:
    async with Rig() as rig, served(rig, *[backends.ok()] * 3, backends.status(500)) as four:
        client = await rig.client()
        statuses = [(await client.ask(POST))[0] for _ in range(400)]
        assert statuses.count(500) <= 3
        assert min(len(backend.requests) for backend in four[:3]) > 80


async def test_five_faults_in_a_row_eject_and_the_decision_is_in_shared_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Rig() as rig, served(rig, backends.ok(), backends.status(500)) as (_, bad):
        client, number = await rig.client(), 0
        while not ejected(rig):
            for pool in target(rig).pools:
                pool.standing.doubted_until_s = pool.standing.ready_at_s = 0.0
            number += 1
            await client.ask(POST.replace(b"hello", b"%05d" % number))
        assert ejected(rig) == [bad.url]
        assert len(bad.requests) == 5
        assert [(await client.ask(POST))[0] for _ in range(20)] == [200] * 20
    assert [record.message for record in caplog.records if "ejected" in record.message] == [
        f"version v1: {bad.url} is ejected for 5 s: 5 faults in a row"
    ]


async def test_a_version_that_fails_as_a_whole_is_not_spared() -> None:
    failing = backends.status(500)
    async with Rig() as rig, served(rig, failing, failing, failing) as three:
        client = await rig.client()
        requests = [POST.replace(b"hello", b"%05d" % number) for number in range(60)]
        assert {(await client.ask(request))[0] for request in requests} == {500}
        assert len(ejected(rig)) == 1
        assert max(len(backend.requests) for backend in three) > 20, (
            "one that is bad is used, and the version judged by it"
        )
    assert rig.attempts() == {"server_error": 60}


async def test_a_replica_that_refuses_connections_costs_no_request() -> None:
    async with Rig() as rig, Backend(backends.ok()) as gone:
        url = gone.url
    async with Rig() as rig, Backend(backends.ok()) as good:
        rig.fill(0, "v1", good.url, url)
        rig.route(0)
        client = await rig.client()
        assert {(await client.ask(POST))[0] for _ in range(40)} == {200}
    assert rig.attempts() == {"ok": 40}


# -- names
class Names:
    """A resolver with a table."""

    def __init__(self, **table: list[str]) -> None:
        self.table = table
        self.changes = 1

    def known(self, host: str) -> list[str]:
        return [host] if host[0].isdigit() or ":" in host else self.table.get(host, [])

    async def addresses(self, host: str) -> list[str]:
        return self.known(host)

    def set(self, host: str, *addresses: str) -> None:
        self.table[host] = list(addresses)
        self.changes += 1


async def listening_on(port: int, *addresses: str) -> dict[str, Backend]:
    """Return a started backend by address, all on one port."""
    found = {}
    for address in addresses:
        backend = Backend(backends.ok())
        backend._server = await asyncio.start_server(backend._serve, address, port)
        found[address] = backend
    return found


async def free_port() -> int:
    async with Backend(backends.ok()) as backend:
        return backend.port


@asynccontextmanager
async def named(rig: Rig, *addresses: str) -> AsyncIterator[tuple[dict[str, Backend], Names, int]]:
    """Serve v1 from a name; each of the addresses has a backend."""
    names, port = Names(model=list(addresses)), await free_port()
    rig.context.resolver = names
    found = await listening_on(port, *addresses)
    rig.fill(0, "v1", f"http://model:{port}")
    rig.route(0)
    try:
        yield found, names, port
    finally:
        for backend in found.values():
            assert backend._server is not None
            backend._server.close()


async def test_the_addresses_of_a_name_have_equal_shares_and_a_new_one_gets_its_own() -> None:
    """N2: one address got everything, and a new one nothing."""
    async with Rig() as rig, named(rig, "127.0.0.2", "127.0.0.3") as (two, names, port):
        client = await rig.client()
        for _ in range(100):
            assert (await client.ask(POST))[0] == 200
        assert all(30 < len(backend.requests) < 70 for backend in two.values())
        two |= await listening_on(port, "127.0.0.4")
        third = two["127.0.0.4"]
        names.set("model", "127.0.0.3", "127.0.0.4", "127.0.0.2")
        await until(lambda: len(target(rig).pools) == 3)
        for _ in range(90):
            assert (await client.ask(POST))[0] == 200
        assert 10 < len(third.requests) < 60
        names.set("model", "127.0.0.3")
        await until(lambda: len(target(rig).pools) == 1)
        assert (await client.ask(POST))[0] == 200


async def test_a_name_is_resolved_for_the_first_request_that_needs_it() -> None:
    async with Rig() as rig, named(rig, "127.0.0.2") as (_, names, port):
        names.table.clear()
        rig.fill(1, "v2", f"http://later:{port}")
        rig.route(1)
        assert (await rig.ask(POST))[0] == 502
        names.table["later"] = ["127.0.0.2"]
        assert (await rig.ask(POST))[0] == 200
    assert rig.attempts(slot=1) == {"ok": 1, "connect_failed": 1}


@contextmanager
def dark(address: str, port: int) -> Iterator[None]:
    """Let the kernel drop each SYN to this address: a listener whose queue is full."""
    with socket.socket() as listening:
        listening.bind((address, port))
        listening.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex((address, port))
        yield
        for filler in fillers:
            filler.close()


async def test_an_address_that_drops_syns_costs_a_quarter_of_a_second_once() -> None:
    """N1: every other request took 2 s and was answered by the old version."""
    async with Rig() as rig, named(rig, "127.0.0.2") as (_, names, port), AsyncExitStack() as stack:
        stack.enter_context(dark("127.0.0.9", port))
        names.set("model", "127.0.0.9", "127.0.0.2")
        await until(lambda: len(target(rig).pools) == 2)
        client, took = await rig.client(), []
        for _ in range(20):
            began = perf_counter()
            assert (await client.ask(POST))[0] == 200
            took.append(perf_counter() - began)
        slow = [seconds for seconds in took if seconds > 0.1]
        assert len(slow) == 1
        assert slow[0] < SECOND_ADDRESS_AFTER_S + 0.25
        await until(lambda: not any(pool.in_flight for pool in target(rig).pools))
    assert rig.attempts() == {"ok": 20}


async def test_a_slow_connection_is_used_if_it_is_the_first_one_after_all() -> None:
    async with Rig() as rig, Backend(backends.ok()) as good:
        port = await free_port()
        names = Names(model=["127.0.0.8", "127.0.0.9"])
        rig.context.resolver = names
        with dark("127.0.0.8", port), dark("127.0.0.9", port):
            rig.fill(0, "v1", f"http://model:{port}")
            rig.route(0)
            client = await rig.client()
            await client.send(POST)
            pools = target(rig).pools
            await until(lambda: any(pool.waiting for pool in pools))
            first = next(pool for pool in pools if pool.waiting)
            await until(lambda: all(pool.waiting for pool in pools))
            assert [pool.in_flight for pool in pools] == [1, 1]
            _, upstream = await asyncio.get_running_loop().create_connection(
                lambda: cast(asyncio.Protocol, Upstream(rig.context, first)), "127.0.0.1", good.port
            )
            first.release(cast(Upstream, upstream), clock.now_s())
            del upstream  # the leak check counts it
            assert (await client.response())[0] == 200
            assert [pool.in_flight for pool in pools] == [pool.waiting for pool in pools] == [0, 0]
    assert rig.attempts() == {"ok": 1}


async def test_if_one_of_two_connections_fails_the_other_one_is_waited_for() -> None:
    async with Rig() as rig, named(rig, "127.0.0.2") as (_, names, port), AsyncExitStack() as stack:
        stack.enter_context(dark("127.0.0.8", port))
        stack.enter_context(dark("127.0.0.9", port))
        names.set("model", "127.0.0.8", "127.0.0.9")
        await until(lambda: len(target(rig).pools) == 2)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: all(pool.waiting for pool in target(rig).pools))
        status, head, _ = await client.response()
        assert (status, field(head, b"x-router-error")) == (504, b"connect_failed")
        await until(lambda: not any(pool.waiting for pool in target(rig).pools))
    assert rig.attempts() == {"connect_failed": 1}


async def test_a_client_that_leaves_while_two_addresses_are_tried_leaves_nothing_behind() -> None:
    async with Rig() as rig:
        port = await free_port()
        rig.context.resolver = Names(model=["127.0.0.8", "127.0.0.9"])
        with dark("127.0.0.8", port), dark("127.0.0.9", port):
            rig.fill(0, "v1", f"http://model:{port}")
            rig.route(0)
            client = await rig.client()
            await client.send(POST)
            await until(lambda: all(pool.waiting for pool in target(rig).pools))
            client.reset()
            await until(lambda: not any(pool.waiting or pool.in_flight for pool in target(rig).pools))
            await until(lambda: not len(rig.tasks))
    assert rig.attempts() == {"client_gone": 1}


async def test_the_other_family_is_used_only_if_the_first_one_cannot_be_connected_to() -> None:
    async with Rig() as rig, named(rig, "127.0.0.2", "::1") as (both, _, _):
        client = await rig.client()
        for _ in range(20):
            assert (await client.ask(POST))[0] == 200
        assert len(both["::1"].requests) == 0
        server = both["127.0.0.2"]._server
        assert server is not None
        server.close()
        for pool in target(rig).pools:
            pool.close()
            pool.closed = False
        for _ in range(20):
            assert (await client.ask(POST))[0] == 200
        await until(lambda: [pool.standing.fallback for pool in target(rig).pools] == [True, False])
    assert rig.attempts() == {"ok": 40}


async def test_a_worker_that_starts_again_knows_which_address_is_ejected(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Rig() as rig, served(rig, backends.ok(), backends.ok()) as (_, bad):
        pool = next(pool for pool in target(rig).pools if pool.endpoint.url == bad.url)
        for _ in range(5):
            pool.standing.failed(3, None, clock.now_s())
        await until(lambda: ejected(rig) == [bad.url])
        service = rig.data_plane.services[0]
        service.targets.clear()
        service.word = 0
        service.refresh()
        assert target(rig).pools[0].standing is not pool.standing
        await until(lambda: ejected(rig) == [bad.url])
    assert rig.scalar(at.L_CLAIMED) == 0


def prefer(rig: Rig, url: str) -> Pool:
    """Let the balancer choose this address until something happens at another one; return its pool."""
    for pool in target(rig).pools:
        wanted = pool.endpoint.url == url
        pool.standing.doubted_until_s = pool.standing.ready_at_s = 0.0 if wanted else math.inf
    return next(pool for pool in target(rig).pools if pool.endpoint.url == url)


@pytest.mark.parametrize("leaving", [True, False], ids=["clients leave", "clients wait"])
async def test_a_replica_that_hangs_is_ejected_while_others_answer(leaving: bool) -> None:
    async with Rig(first_byte_timeout_s=60.0) as rig, served(rig, backends.ok(), backends.never()) as (good, bad):
        clients = []
        for number in range(3):
            pool = prefer(rig, bad.url)
            client = await rig.client()
            await client.send(POST)
            await until(lambda: pool.in_flight == number + 1)  # noqa: B023
            clients.append(client)
        await until(lambda: all(exchange.request_sent for exchange in target(rig).in_flight))
        target(rig).find_overdue([60_000_000] * 16, clock.now_s())
        assert pool.standing.overdue == 0
        if leaving:
            for exchange in target(rig).in_flight:
                exchange.head.work.median_s = 0.0
            del exchange  # the leak check counts it
            for client in clients:
                client.reset()
            await until(lambda: pool.standing.overdue == 3)
        else:
            target(rig).find_overdue([1] * 16, clock.now_s())
            target(rig).find_overdue([1] * 16, clock.now_s())
        assert pool.standing.overdue == 3
        prefer(rig, good.url)
        assert (await rig.ask(POST))[0] == 200
        await until(lambda: ejected(rig) == [bad.url])
        for client in () if leaving else clients:
            client.reset()


async def test_an_impatient_client_is_no_evidence_against_an_address() -> None:
    async with Rig() as rig, served(rig, backends.ok(), backends.never()) as (_, bad):
        pool = prefer(rig, bad.url)
        client = await rig.client()
        await client.send(POST)
        await until(lambda: pool.in_flight)
        client.reset()
        await until(lambda: not pool.in_flight)
        assert pool.standing.overdue == 0


async def test_three_503_with_retry_after_make_an_address_rest_and_429_does_not() -> None:
    busy, limited = backends.status(503, b"x", "Retry-After: 2"), backends.status(429, b"x", "Retry-After: 2")
    async with Rig() as rig, served(rig, busy, limited) as two:
        client, rests = await rig.client(), []
        for backend, status in zip(two, (503, 429), strict=True):
            for _ in range(3):
                pool = prefer(rig, backend.url)
                assert (await client.ask(POST))[0] == status
            rests.append(pool.standing.rests_until_s - clock.now_s())
        assert 1 < rests[0] <= 2
        assert rests[1] < 0


async def test_one_poison_request_ejects_no_address_and_different_ones_do() -> None:
    """E10: its client sends it again and again, and any replica fails on it."""
    async with Rig() as rig, served(rig, backends.ok(), backends.status(500)) as (_, bad):
        client = await rig.client()
        for _ in range(9):
            pool = prefer(rig, bad.url)
            assert (await client.ask(POST))[0] == 500
        assert (pool.standing.in_a_row, pool.standing.requests, ejected(rig)) == (9, 1, [])
        prefer(rig, bad.url)
        assert (await client.ask(POST.replace(b"hello", b"world")))[0] == 500
        assert ejected(rig) == [bad.url]


async def test_a_request_that_was_useful_before_is_not_to_blame_for_its_faults() -> None:
    async with Rig() as rig, served(rig, backends.ok(), backends.status(500)) as (good, bad):
        client = await rig.client()
        prefer(rig, good.url)
        assert (await client.ask(POST))[0] == 200
        for _ in range(5):
            prefer(rig, bad.url)
            assert (await client.ask(POST))[0] == 500
        assert ejected(rig) == [bad.url]
