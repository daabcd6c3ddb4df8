"""`run --take-over`: a whole router is replaced under load; if the new one fails in any way, the old one goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import pytest

from router.runtime.exit_codes import ExitCode
from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import RefusedError, Router, children, gone, service_settings, until
from tests.end_to_end.steady import Steady

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(90)]


WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def behaviour() -> backends.Behaviour:
    """Answer in 5 ms, with a stream of 4 s on /stream, or on /ws with a WebSocket that sends back what comes."""
    stream = backends.tokens(40, 0.1, text=b"data: x\n\n")

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if b"/stream" in request.line:
            await stream.answer(connection, request)  # type: ignore[attr-defined]
        elif b"/ws" in request.line:
            await connection.send(SWITCHING)
            while data := await connection.reader.read(100):
                await connection.send(data)
        else:
            await asyncio.sleep(0.005)
            await connection.send(backends.response(200, b"ok"))

    return backends.answering(answer)


async def successor(router: Router, **environment: str) -> Router:
    """Start another router on the same settings, which takes over; return it at once."""
    new = Router(router.folder, router.settings, router.workers, router.data_port, router.admin_port)
    with (router.folder / "router.log").open("ab") as log:
        new.process = await asyncio.create_subprocess_exec(
            *new.command(),
            "--take-over",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
        )
    router.successors.append(new.process)
    return new


async def stream(router: Router) -> bytes:
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
        session.get(router.url + "/stream") as response,
    ):
        return await response.read()


async def watch_admin(router: Router, gaps: list[float]) -> None:
    """Ask the admin API again and again: no request may fail; `gaps` are how long each took."""
    while True:
        began = time.monotonic()
        await router.status()
        gaps.append(time.monotonic() - began)
        await asyncio.sleep(0.005)


async def switch_as_soon_as_possible(router: Router, version: str) -> tuple[set[str], float]:
    """Ask the new router for a switch until it makes it; return why it did not before, and when it had."""
    refused: set[str] = set()

    async def switched() -> bool:
        if (await router.status())["boot"] == 1:
            return False
        try:
            return (await router.verb("switch", to=version, reason="after"))["confirmed"]
        except RefusedError as error:
            refused.add(error.code)
            return False

    await until(switched, 20, "the new router switches", every_s=0.01)
    return refused, time.monotonic()


async def test_a_take_over_under_load_loses_nothing(start_router: StartRouter) -> None:
    async with Backend(behaviour()) as backend, Backend(behaviour()) as other:
        router = await start_router(service_settings(backend.url, other.url), workers=2)
        await router.wait_ready("v2")
        before = await router.verb("switch", to="v2", reason="before")
        old_pids = [router.pid, *children(router.pid)]
        reader, writer = await asyncio.open_connection("127.0.0.1", router.data_port)
        writer.write(WEBSOCKET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        gaps: list[float] = []
        watching = asyncio.create_task(watch_admin(router, gaps))
        streaming = asyncio.create_task(stream(router))
        idle = Steady(
            router.data_port, keeping=40, new=0, pause_s=1.0
        )  # between two requests when the old workers leave
        async with idle, Steady(router.data_port, keeping=20, new=10) as clients:
            await clients.more(100)
            new = await successor(router)
            assert router.process is not None
            refused, switched = await switch_as_soon_as_possible(router, "v1")
            writer.write(b"still there")
            assert await asyncio.wait_for(reader.readexactly(11), 5) == b"still there"
            assert router.process.returncode is None
            writer.close()
            assert await asyncio.wait_for(router.process.wait(), 30) == 0
            await clients.more(50)
        watching.cancel()
        assert refused <= {"taking_over"}
        after = [version for began, version in clients.seen if began > switched]
        assert set(after) == {b"v1"}, "also the workers that are leaving claim nothing by the old route any more"
        assert (clients.lost, clients.refused) == ({}, 0)
        assert (idle.lost, idle.refused) == ({}, 0)
        assert await streaming == b"data: x\n\n" * 40, "it began on the old router and ended there"
        await gone(old_pids)
        document = await new.service()
        assert (document["active"], (await new.status())["boot"]) == ("v1", 2)
        assert document["generation"] > before["generation"]
        numbers = [entry["seq"] for entry in await new.journal()]
        assert numbers == list(range(1, len(numbers) + 1))
        print("admin gap ms", round(max(gaps) * 1000), "answered", clients.answered)
        assert max(gaps) < 3
        router.process = new.process  # is checked and stopped at the end


async def killed(router: Router, point: str, number: int) -> None:
    """Have a successor die at `point`; return when the old control answers again and has a change acknowledged."""
    new = await successor(router, ROLLBACK_ROUTER_FAIL_POINT=point)
    assert new.process is not None
    died = (
        -signal.SIGKILL if point.startswith("take_over") else ExitCode.INTERNAL
    )  # then control died, and so the start failed
    assert await asyncio.wait_for(new.process.wait(), 30) == died, point
    version = ("v2", "v1")[number % 2]

    async def goes_on() -> bool:
        try:
            return (await router.verb("switch", to=version, reason=point))["confirmed"]
        except (aiohttp.ClientError, TimeoutError, RefusedError):
            return False

    await until(goes_on, 20, f"the old router goes on after a kill at {point}")
    assert (await router.service())["active"] == version


async def test_a_new_router_that_is_killed_leaves_the_old_one_as_it_was(start_router: StartRouter) -> None:
    points = ("take_over.offered", "take_over.locked", "journal.after", "take_over.serving")
    async with Backend(behaviour()) as backend, Backend(behaviour()) as other:
        router = await start_router(service_settings(backend.url, other.url), workers=2)
        await router.wait_ready("v2")

        async def complete() -> list[int] | None:
            workers = (await router.status())["workers"]
            return [worker["pid"] for worker in workers] if all(worker["up"] for worker in workers) else None

        pids = [router.pid, *await until(complete, 10, "every worker is up")]
        async with Steady(router.data_port, keeping=8, new=4, pause_s=0.02) as clients:
            for number, point in enumerate(points):
                await killed(router, point, number)
        assert (clients.lost, clients.refused) == ({}, 0)
        assert pids == [router.pid, *(worker["pid"] for worker in (await router.status())["workers"])]
        switched = [entry["data"]["generation"] for entry in await router.journal("switched")]
        assert switched == sorted(set(switched))
        assert len(switched) == len(points)
        boots = [entry["data"]["boot"] for entry in await router.journal("boot")]
        assert boots == list(range(1, len(boots) + 1))


@pytest.mark.parametrize("point", ["handover.serving", pytest.param("handover.halting", marks=pytest.mark.nightly)])
async def test_an_old_router_that_is_killed_while_it_hands_over_is_replaced_all_the_same(
    start_router: StartRouter, point: str
) -> None:
    async with Backend(behaviour()) as backend:
        settings = service_settings(backend.url)
        router = await start_router(settings, workers=2, ROLLBACK_ROUTER_FAIL_POINT=point)
        assert router.process is not None
        async with Steady(router.data_port, keeping=8, new=4, pause_s=0.02) as clients:
            new = await successor(router)
            assert await asyncio.wait_for(router.process.wait(), 30) == -signal.SIGKILL
            router.process = new.process

            async def serves() -> bool:
                try:
                    status = await router.status()
                except aiohttp.ClientError:
                    return False
                return status["boot"] == 2 and all(worker["up"] for worker in status["workers"])

            await until(serves, 20, "the new router serves")
            await clients.more(50)
        assert (clients.lost, clients.refused) == ({}, 0)


@pytest.mark.nightly
async def test_settings_that_do_not_fit_leave_the_old_router_as_it_was(start_router: StartRouter) -> None:
    async with Backend(behaviour()) as backend, Backend(behaviour()) as other:
        router = await start_router(service_settings(backend.url), workers=1)
        control = (await router.status())["control"]["pid"]
        moved = service_settings(other.url)  # the same label with other endpoints: exit 7, once the journal was read
        other_settings = Router(router.folder, moved, 1, router.data_port, router.admin_port)
        other_settings.successors = router.successors
        new = await successor(other_settings)
        assert new.process is not None
        assert await asyncio.wait_for(new.process.wait(), 30) == 7
        router.command()  # the old settings again

        async def goes_on() -> bool:
            try:
                return bool((await router.status())["control"]["pid"] != control and (await router.service())["active"])
            except aiohttp.ClientError:
                return False

        await until(goes_on, 20, "the old router goes on")


@pytest.mark.nightly
async def test_more_and_fewer_workers(start_router: StartRouter) -> None:
    async with Backend(behaviour()) as backend:
        router = await start_router(service_settings(backend.url), workers=2)
        async with Steady(router.data_port, keeping=8, new=4, pause_s=0.02) as clients:
            for workers in (3, 1):
                assert router.process is not None
                router.workers = workers
                new = await successor(router)
                assert await asyncio.wait_for(router.process.wait(), 30) == 0
                router.process = new.process
                assert len((await router.status())["workers"]) == workers
                await clients.more(50)
        assert (clients.lost, clients.refused) == ({}, 0)
