"""A version with several replicas, with real processes: one bad replica is not the version, two of three are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from tests import backends
from tests.backends import Backend, Behaviour, Connection, RawRequest
from tests.end_to_end.real_router import Router, service_settings, until
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]


class Replica:
    """A model server that can become bad: `fault` is what it does with requests then; its probe fails, too, if `red`."""

    def __init__(self, answer_s: float = 0.05, *, red: bool = True) -> None:
        self.fault = ""
        self.red = red
        self._answer_s = answer_s
        self.behaviour: Behaviour = backends.answering(self._answer)

    async def _answer(self, connection: Connection, request: RawRequest) -> None:
        probe = request.line.startswith(b"GET /health")
        if self.fault and probe and self.red:
            await connection.send(backends.response(503, b"ill"))
        elif probe or not self.fault:
            await asyncio.sleep(0 if probe else self._answer_s)
            await connection.send(backends.response(200, b"ok"))
        elif self.fault == "hang":
            await connection.closed()
        elif self.fault == "reset":
            connection.reset()
        else:
            await connection.send(backends.response(500, b"ill"))


@asynccontextmanager
async def routed(folder: Path, replicas: list[Replica]) -> AsyncIterator[Router]:
    """Yield a router with v1 on these replicas and v2 behind it."""
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(Backend(replica.behaviour)) for replica in replicas]
        standby = await stack.enter_async_context(Backend(Replica().behaviour))
        urls = '", "'.join(backend.url for backend in found)
        router = Router(folder, service_settings(urls, standby.url), workers=2)
        await router.start()
        try:
            yield router
        finally:
            await router.stop()


async def seen(traffic: Traffic, requests: int) -> None:
    """Return when so many requests have ended."""

    async def ended() -> bool:
        return len(traffic.seen) >= requests

    await until(ended, 60, f"{requests} requests have ended")


@pytest.mark.parametrize(
    ("fault", "answer_s", "red", "healthy"),
    [
        pytest.param("500", 0.4, True, 600, marks=pytest.mark.nightly, id="500 at once, and a red probe"),
        pytest.param("500", 0.4, False, 600, id="500 at once, and a good probe"),
        pytest.param("500", 0.4, False, 0, marks=pytest.mark.nightly, id="500 at once, from the start"),
        pytest.param("hang", 0.05, False, 600, id="hang"),
        pytest.param("reset", 0.05, False, 600, marks=pytest.mark.nightly, id="reset"),
    ],
)
async def test_one_bad_replica_of_four_is_ejected_and_the_version_stays(
    tmp_path: Path, fault: str, answer_s: float, red: bool, healthy: int
) -> None:
    """E8, E9, J7: it drew 47 % of the traffic, and the version was rolled back."""
    replicas = [Replica(answer_s, red=red) for _ in range(4)]
    async with routed(tmp_path, replicas) as router:
        replicas[2].fault = "" if healthy else fault
        async with Traffic(router.url, per_s=200, give_up_s=3.0) as traffic:
            await seen(traffic, healthy)
            replicas[2].fault = fault
            broken_at = len(traffic.seen)
            await seen(traffic, broken_at + 1600)
            alarms = [alarm["code"] for alarm in (await router.status())["alarms"]]
        bad = [one for one in traffic.seen[broken_at:] if not one.ok]
        assert (await router.service())["active"] == "v1"
        assert "endpoint_ejected" in alarms
        assert len(bad) <= 40, f"{len(bad)} of {len(traffic.seen) - broken_at}"
        await router.check()


async def test_two_bad_replicas_of_three_are_a_bad_version(tmp_path: Path) -> None:
    replicas = [Replica(red=False) for _ in range(3)]
    async with routed(tmp_path, replicas) as router:
        async with Traffic(router.url, per_s=50) as traffic:
            await seen(traffic, 100)
            replicas[0].fault = replicas[1].fault = "500"
            await router.wait_active("v2", 60)
        await router.check()
