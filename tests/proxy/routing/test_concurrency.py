"""Requests under way in one worker, dealt out in quotas: never more than allowed, never refused while there is room."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from router.shm import layout as at
from tests import backends
from tests.backends import Backend, Connection
from tests.proxy.rig import OPTIONS, Client, Rig, field, until

GET = b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n"


class Gate:
    """A backend that answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.reached = 0

    async def __call__(self, connection: Connection) -> None:
        while await connection.read_request() is not None:
            self.reached += 1
            await self.open.wait()
            await connection.send(backends.response(200, b"ok"))


def limited(rig: Rig) -> dict[str, int]:
    return {name: count for name, count in rig.worker_stats.limited().items() if count}


async def asking(rig: Rig, number: int, raw: bytes = GET) -> list[Client]:
    clients = [await rig.client() for _ in range(number)]
    for client in clients:
        await client.send(raw)
    return clients


async def test_ten_times_too_much_is_shed_at_once_while_readiness_answers() -> None:
    gate = Gate()
    async with Backend(gate) as backend, Rig(replace(OPTIONS, requests_max=20)) as rig:
        rig.serve(backend.url)
        served = await asking(rig, 20)
        await until(lambda: gate.reached == 20)
        for client in await asking(rig, 180):
            status, head, body = await client.response()
            assert (status, field(head, b"x-router-error"), field(head, b"retry-after")) == (503, b"overloaded", b"1")
            assert b"requests_max" in body
            client.close()
        assert (await rig.ask(READY))[0] == 200
        assert gate.reached == 20
        gate.open.set()
        assert [(await client.response())[0] for client in served] == [200] * 20
        assert (await rig.ask(GET))[0] == 200
    assert rig.attempts() == {"ok": 21}, "none of those refused was claimed"
    assert rig.exchanges() == {"ok": 21, "refused": 180}
    assert limited(rig) == {"requests_max": 180}


@pytest.mark.parametrize("sweeps", [0, 1], ids=["as the quotas were", "after a sweep"])
async def test_the_limit_counts_all_versions_and_the_last_place_goes_to_whoever_asks(sweeps: int) -> None:
    gate, base = Gate(), OPTIONS.services[0]
    services = tuple(replace(base, name=name, path_prefix=b"/" + name.encode()) for name in "abc")
    async with Backend(gate) as backend, Rig(replace(OPTIONS, requests_max=10, services=services)) as rig:
        for index in range(3):
            rig.fill(0, "v1", backend.url, service=index)
            rig.route(0, service=index)
        rig.data_plane.sweep()
        for path, number in ((b"/a", 7), (b"/b", 2), (b"/c", 1)):
            await asking(rig, number, GET.replace(b"/ ", path + b" "))
        await until(lambda: gate.reached == 10)
        for _ in range(sweeps):
            rig.data_plane.sweep()
        for path in (b"/a", b"/b", b"/c"):
            assert (await rig.ask(GET.replace(b"/ ", path + b" ")))[0] == 503
        gate.open.set()
    assert limited(rig) == {"requests_max": 3}


async def test_what_a_version_alone_may_have_is_counted_at_the_version() -> None:
    gate = Gate()
    async with Backend(gate) as backend, Rig(replace(OPTIONS, requests_max=10, in_flight_max=2)) as rig:
        rig.serve(backend.url)
        await asking(rig, 2)
        await until(lambda: gate.reached == 2)
        status, head, _ = await rig.ask(GET)
        assert (status, field(head, b"x-router-error")) == (503, b"saturated")
        gate.open.set()
    assert rig.attempts() == {"ok": 2, "saturated": 1}
    assert limited(rig) == {"in_flight_max": 1}


async def test_a_client_that_leaves_gives_its_place_back() -> None:
    gate = Gate()
    async with Backend(gate) as backend, Rig(replace(OPTIONS, requests_max=1)) as rig:
        rig.serve(backend.url)
        (client,) = await asking(rig, 1)
        await until(lambda: gate.reached == 1)
        assert (await rig.ask(GET))[0] == 503
        client.reset()
        await until(lambda: rig.attempts() == {"client_gone": 1})
        gate.open.set()
        assert (await rig.ask(GET))[0] == 200


async def test_other_settings_hold_at_once() -> None:
    gate = Gate()
    async with Backend(gate) as backend, Rig() as rig:
        rig.serve(backend.url)
        await asking(rig, 3)
        await until(lambda: gate.reached == 3)
        rig.data_plane.reconfigure(replace(OPTIONS, requests_max=3))
        assert (await rig.ask(GET))[0] == 503
        rig.data_plane.reconfigure(replace(OPTIONS, requests_max=4))
        await asking(rig, 1)
        await until(lambda: gate.reached == 4)
        gate.open.set()
    assert rig.scalar(at.L_CLAIMED) == 4
