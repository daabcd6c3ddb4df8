"""A manual switch under load: nothing is lost, nothing new goes to the old version, what has begun ends where it began."""

from __future__ import annotations

import asyncio
import statistics
import time

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.alone, pytest.mark.timeout(90)]

SWITCHES = 12


def named(version: str) -> backends.Behaviour:
    """Answer with the version's own name, or with a stream of 12 s (60 events) on /stream."""
    stream = backends.tokens(60, 0.2, text=f"data: {version}\n\n".encode())

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        if b"/stream" in request.line:
            await stream.answer(connection, request)  # type: ignore[attr-defined]
        else:
            await connection.send(backends.response(200, version.encode()))

    return backends.answering(answer)


async def stream(router: Router, began: asyncio.Event) -> tuple[str | None, bytes, float]:
    """Return (version that answered, whole body, seconds it took) of one event stream; it raises if it is cut."""
    started = time.monotonic()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        async with session.get(router.url + "/stream") as response:
            began.set()
            body = await response.read()
            return response.headers.get("X-Served-Version"), body, time.monotonic() - started


async def test_switches_under_200_clients_lose_nothing_and_a_long_stream_ends_where_it_began(
    start_router: StartRouter,
) -> None:
    async with Backend(named("v1")) as old, Backend(named("v2")) as new:
        router = await start_router(service_settings(old.url, new.url))
        await router.wait_ready("v2")
        began = asyncio.Event()
        streaming = asyncio.create_task(stream(router, began))
        await asyncio.wait_for(began.wait(), 10)
        switches: list[tuple[float, float, str]] = []
        async with Traffic(router.url, clients=200, pause_s=0.05) as traffic:
            for number in range(SWITCHES):
                await traffic.more(400)
                version = ("v2", "v1")[number % 2]
                asked = time.monotonic()
                answer = await router.verb("switch", to=version, reason="rehearsal")
                switches.append((asked, time.monotonic(), version))
                assert answer["confirmed"], answer
                assert (answer["active"], answer["workers_unconfirmed"]) == (version, [])
                assert answer["confirmed_ms"] < 1000
                await traffic.more(100)
        assert set(traffic.endings()) == {200}
        assert len(traffic.seen) > 2000
        misrouted = []
        for (_, since, version), (next_call, _, _) in zip(
            switches, [*switches[1:], (float("inf"), 0.0, "")], strict=True
        ):
            between = [seen for seen in traffic.seen if since < seen.started and seen.ended < next_call]
            misrouted += [seen for seen in between if seen.version != version]
            assert between
        assert misrouted == []
        version, body, took = await streaming
        assert (version, body) == ("v1", b"data: v1\n\n" * 60)
        assert took > 11


async def test_an_idle_router_confirms_in_milliseconds(start_router: StartRouter) -> None:
    """Workers are woken and say so at once: by their timer alone the median would be 70 ms, by control's a second."""
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=2)
        await router.wait_ready("v2")
        took_ms = []
        for number in range(15):
            answer = await router.verb("switch", to=("v2", "v1")[number % 2], reason="rehearsal")
            took_ms.append(answer["confirmed_ms"])
        assert statistics.median(took_ms) < 40, took_ms


@pytest.mark.nightly
async def test_two_switches_at_once_leave_one_route_and_one_history(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=1)
        await router.wait_ready("v2")
        for number in range(10):
            both = await asyncio.gather(
                *(router.verb("switch", to=version, reason=str(number)) for version in ("v1", "v2")),
                return_exceptions=True,
            )
            assert all(isinstance(answer, dict) or answer.status == 409 for answer in both), both
        document = await router.service()
        changes = [entry["data"] for entry in await router.journal("switched")]
        assert changes[-1]["generation"] == document["generation"]
        assert changes[-1]["to"] == document["active"]
        generations = [change["generation"] for change in changes]
        assert generations == sorted(set(generations))
