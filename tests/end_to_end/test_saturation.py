"""One client holds all WebSockets and streams of every worker: others are served, an alarm names it, the saturation ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, until
from tests.proxy.engine.test_tunnel import ASK
from tests.proxy.rig import Client
from tests.proxy.test_saturation import HEAVY, HUNG, OTHER, QUICK, STREAM, model

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.alone, pytest.mark.timeout(120)]

PLACES = 16
HANG_S = 5.0
SETTINGS = f"[limits]\nin_flight_max = {PLACES}\n"
READY = b"GET /-/ready HTTP/1.1\r\nHost: t\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_one_client_with_everything_costs_others_nothing_for_long(start_router: StartRouter) -> None:
    async with Backend(model) as backend:
        router = await start_router(SETTINGS + service_settings(backend.url).replace("/health", "/quick"), workers=2)
        held = [await ask(router, HEAVY, raw) for raw in (ASK, STREAM) for _ in range(6 * PLACES)]
        assert {status for status, _ in held} >= {101, 200, 503}
        in_flight = await until(lambda: full(router), 5, "both workers are full")
        assert in_flight == 2 * PLACES

        async def half_are_tunnels() -> bool:
            return bool((await router.target("v1") or {})["tunnels"] == PLACES)

        # Workers write the gauge at their sweep, behind the counters that `full` adds up.
        await until(half_are_tunnels, 5, "half of each worker's places are tunnels")

        async def served() -> bool:
            status, (_, writer) = await ask(router, OTHER, QUICK)
            writer.close()
            return status == 200

        alarm = await until(lambda: saturated(router), 10, "the alarm is up")
        assert HEAVY in alarm["detail"]
        assert f"{PLACES} tunnels" in alarm["detail"]
        (holdings,) = (await router.status())["holdings"]
        assert (holdings["tunnels"], holdings["clients"][0]["client"]) == (PLACES, HEAVY)
        for _ in range(8):  # at both workers: the kernel deals connections out
            await served()
        await asyncio.wait_for(until(lambda: all_of(served, 8), 30, "the other one is served by both workers"), 40)
        for _ in range(8):
            status, (_, writer) = await ask(router, HEAVY, READY)
            writer.close()
            assert status == 200
        document = await router.service()
        assert (document["active"], document["verdict"]["state"]) == ("v1", "pass")
        for _, (reader, writer) in held:
            if not writer.transport.is_closing():  # some were cut
                Client(reader, writer).reset()
            writer.close()
        await until(lambda: over(router), 40, "the alarm is over by itself")
        await router.check()


@pytest.mark.parametrize("hangs", [False, True], ids=["others are answered", "the version hangs for all"])
async def test_slow_requests_of_one_client_are_no_version_that_hangs(hangs: bool, start_router: StartRouter) -> None:
    """Every place waits, and nothing would begin if others were refused; a version that does hang is rolled back all the same."""
    async with Backend(model) as good, Backend(model) as new:
        rules = f"[services.default.rules.hard_failure]\nhang_after_s = {HANG_S}\n"
        router = await start_router(
            SETTINGS + service_settings(good.url).replace("/health", "/quick") + rules, workers=2
        )
        await router.promote_new("v2", new.url)
        raw = HUNG if hangs else QUICK
        held = [await opened(router, HEAVY, HUNG) for _ in range(6 * PLACES)]
        await until(lambda: waits(router), 5, "both workers are full")
        others: list[Streams] = []

        async def other() -> str:
            others.append(await opened(router, OTHER, raw))
            return str((await router.service())["active"])

        if hangs:
            await until(lambda: is_v1(other), 4 * HANG_S, "the version that hangs is rolled back")
        else:
            until_s = time.monotonic() + 2.5 * HANG_S
            while time.monotonic() < until_s:
                assert await other() == "v2", await router.service()
        for _, writer in (*held, *others):
            writer.transport.abort()
        await router.check()


async def opened(router: Router, address: str, raw: bytes) -> Streams:
    streams = await asyncio.open_connection("127.0.0.1", router.data_port, local_addr=(address, 0))
    streams[1].write(raw)
    return streams


async def is_v1(other: Callable[[], Awaitable[str]]) -> bool:
    return await other() == "v1"


async def waits(router: Router) -> bool:
    target = await router.target("v2")
    return target is not None and target["in_flight"] >= 2 * PLACES


async def ask(router: Router, address: str, raw: bytes) -> tuple[int, Streams]:
    streams = await asyncio.open_connection("127.0.0.1", router.data_port, local_addr=(address, 0))
    streams[1].write(raw)
    head = await asyncio.wait_for(streams[0].readuntil(b"\r\n\r\n"), 10)
    return int(head.split(b" ")[1]), streams


async def all_of(condition: Any, times: int) -> bool:
    return all([await condition() for _ in range(times)])


async def full(router: Router) -> int:
    target = await router.target("v1")
    return target["in_flight"] if target and target["in_flight"] >= 2 * PLACES else 0


async def saturated(router: Router) -> dict[str, Any] | None:
    alarms = (await router.status())["alarms"]
    return next((alarm for alarm in alarms if alarm["code"] == "saturated" and HEAVY in alarm["detail"]), None)


async def over(router: Router) -> bool:
    return not any(alarm["code"] == "saturated" for alarm in (await router.status())["alarms"])
