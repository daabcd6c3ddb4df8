"""kill -9 of every process, at random times and at the fail points, while switches run: every acknowledged change holds."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from _pytest.mark import ParameterSet

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import RefusedError, Router, children, gone, service_settings, until
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]

SCHEDULE = ("worker", "control", "worker", "supervisor", "control", "everything")
SEEDS = (0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(1, 9)))
FAIL_POINTS = ("journal.before", "journal.after", "store.before", "store.after")
FAIL_POINT_KILLS = 4


def by_default(cases: set[tuple[str, int]], points: tuple[str, ...], passes: tuple[int, ...]) -> list[ParameterSet]:
    """Return every pair of a point and a pass; those that `cases` lacks are nightly."""
    return [
        pytest.param(point, times, marks=() if (point, times) in cases else (pytest.mark.nightly,))
        for point in points
        for times in passes
    ]


@dataclass
class Operator:
    """Switches to and fro without pause and keeps every answer.

    `known` is the active version by the last answer; `doubts` are the targets of later calls that got no answer.
    """

    router: Router
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    known: str = "v1"
    doubts: set[str] = field(default_factory=set)
    stopping: bool = False

    async def work(self) -> None:
        number = 0
        while not self.stopping:
            number += 1
            await self.switch(("v2", "v1")[number % 2])
            await asyncio.sleep(0.01)

    async def switch(self, version: str) -> None:
        try:
            answer = await self.router.verb("switch", to=version, reason="rehearsal")
        except (aiohttp.ClientError, TimeoutError, ConnectionError, json.JSONDecodeError):
            self.doubts.add(version)
            await asyncio.sleep(0.05)
        except RefusedError as refused:
            if refused.status not in (409, 503):
                raise
            await asyncio.sleep(0.05)
        else:
            self.known = answer["active"]
            self.doubts.clear()
            if answer["changed"]:
                self.acknowledged.append(answer)

    async def compare(self) -> None:
        """Compare the router's journal, route and traffic with everything that was acknowledged."""
        document = await self.router.service()
        switched = {entry["data"]["generation"]: entry["data"]["to"] for entry in await self.router.journal("switched")}
        for answer in self.acknowledged:
            assert switched.get(answer["generation"]) == answer["active"], f"acknowledged and not journalled: {answer}"
        generations = [answer["generation"] for answer in self.acknowledged]
        assert generations == sorted(set(generations)), "a generation was issued twice"
        possible = {self.known, *self.doubts}
        assert document["active"] in possible, f"{document['active']} is active, possible: {possible}"
        assert document["generation"] >= max(generations, default=0)
        async with aiohttp.ClientSession() as session:
            for _ in range(4):
                async with session.post(self.router.url + "/infer", data=b"{}") as response:
                    assert (response.status, response.headers["X-Served-Version"]) == (200, document["active"])


async def control_answers(router: Router, but_not: int | None = None) -> dict[str, Any]:
    """Return the status as soon as control answers (with another process id than `but_not`) and all workers live."""

    async def answers() -> dict[str, Any] | None:
        try:
            status = await router.status()
        except (aiohttp.ClientError, TimeoutError, RefusedError, json.JSONDecodeError):
            return None
        living = status["control"]["pid"] != but_not and all(worker["up"] for worker in status["workers"])
        return status if living else None

    return await until(answers, 15, "control answers and every worker is up")


async def strike(router: Router, victim: str, draw: random.Random) -> None:
    """kill -9 the victim; return when the router is whole again."""
    status = await router.status()
    orphans = children(router.pid)
    if victim == "worker":
        chosen = draw.choice(status["workers"])
        await router.kill([chosen["pid"]])

        async def replaced() -> bool:
            workers = (await router.status())["workers"]
            return workers[chosen["index"]]["pid"] not in (0, chosen["pid"]) and workers[chosen["index"]]["up"]

        await until(replaced, 15, "another worker is in its place")
    elif victim == "control":
        await router.kill([status["control"]["pid"]])
        await control_answers(router, but_not=status["control"]["pid"])
    else:
        await router.kill([router.pid] if victim == "supervisor" else None)
        await gone(orphans)  # without their supervisor they finish what they have and leave
        await router.start()


@pytest.mark.parametrize("seed", SEEDS)
async def test_kills_at_random_times_lose_nothing_that_was_acknowledged(start_router: StartRouter, seed: int) -> None:
    draw = random.Random(seed)
    victims = draw.sample(SCHEDULE, len(SCHEDULE))
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=2)
        await router.wait_ready("v2")
        operator = Operator(router)
        for victim in victims:
            operator.stopping = False
            working = asyncio.create_task(operator.work())
            await asyncio.sleep(draw.uniform(0.05, 0.5))
            await strike(router, victim, draw)
            await asyncio.sleep(draw.uniform(0.0, 0.2))
            operator.stopping = True
            await working
            await control_answers(router)
            await operator.compare()
        assert operator.acknowledged, "no switch was acknowledged: the test proves nothing"


@pytest.mark.parametrize(
    ("point", "passes"), by_default({("journal.after", 8), ("store.before", 9)}, FAIL_POINTS, (8, 9, 11))
)
async def test_kills_at_fail_points_lose_nothing_that_was_acknowledged(
    start_router: StartRouter, point: str, passes: int
) -> None:
    """Control dies each time it passes `point` for the `passes`-th time, is started again, and dies there again."""
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        settings = service_settings(old.url, new.url)
        router = await start_router(settings, workers=1, ROLLBACK_ROUTER_FAIL_POINT=f"{point}:{passes}")
        operator = Operator(router)
        working = asyncio.create_task(operator.work())
        killed: set[int] = set()

        async def died_often() -> bool:
            status = await control_answers(router)
            killed.add(status["control"]["pid"])
            return len(killed) > FAIL_POINT_KILLS

        await until(died_often, 60, f"control died {FAIL_POINT_KILLS} times at {point}")
        operator.stopping = True
        await working
        await router.kill()
        await router.start()
        await operator.compare()
        assert operator.acknowledged


@pytest.mark.parametrize(("point", "passes"), by_default({("store.after", 1)}, FAIL_POINTS, (1, 2)))
async def test_a_start_that_dies_at_a_fail_point_can_be_repeated(
    start_router: StartRouter, point: str, passes: int
) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        settings = service_settings(old.url, new.url)
        router = await start_router(settings, workers=1)
        await router.wait_ready("v2")
        operator = Operator(router)
        await operator.switch("v2")
        assert await router.stop() == 0
        dying = await asyncio.create_subprocess_exec(
            *router.command(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ | {"ROLLBACK_ROUTER_FAIL_POINT": f"{point}:{passes}"},
        )

        async def left_or_serves() -> bool:
            try:
                return dying.returncode is not None or bool((await router.status())["workers"])
            except aiohttp.ClientError:
                return False

        await until(left_or_serves, 20, "the start fails, or it does not pass the point so often")
        if dying.returncode is None:
            orphans = children(dying.pid)
            dying.kill()
            await gone(orphans)
        await dying.wait()
        await router.start()
        await operator.compare()


async def test_no_generation_is_issued_twice_even_if_nothing_was_changed_before_the_kill(
    start_router: StartRouter,
) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url), workers=1)
        generations = []
        for _ in range(3):
            generations.append((await router.service())["generation"])
            await router.kill()
            await router.start()
        assert generations == sorted(set(generations))
        assert (await router.status())["boot"] == 4
        assert [entry["data"]["boot"] for entry in await router.journal("boot")] == [1, 2, 3, 4]


async def test_a_killed_control_costs_no_request_and_a_killed_worker_only_its_own(start_router: StartRouter) -> None:
    async with Backend(backends.slow(0.02)) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=2)
        draw = random.Random(1)
        async with Traffic(router.url, clients=20, pause_s=0.01) as traffic:
            await traffic.more(100)
            await strike(router, "control", draw)
            await traffic.more(100)
        assert set(traffic.endings()) == {200}
        async with Traffic(router.url, clients=20, pause_s=0.01) as traffic:
            await traffic.more(100)
            await strike(router, "worker", draw)
            await traffic.more(100)
        endings = traffic.endings()
        assert set(endings) <= {200, "cut"}, endings
        assert endings.get("cut", 0) <= 20, "more than one request per connection was lost"
        cut = (await router.service())["exchanges"]["ended"].get("cut", 0)
        assert cut <= endings.get("cut", 0)


@pytest.mark.nightly
async def test_a_stopped_worker_or_control_is_replaced(start_router: StartRouter) -> None:
    """SIGSTOP: the process lives and does nothing, so only its silence shows it."""
    more = "[timeouts]\nworker_silent_s = 2.0\ncontrol_silent_s = 2.0\n"
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url, more=more), workers=2)
        status = await control_answers(router)
        for pid in (status["workers"][0]["pid"], status["control"]["pid"]):
            os.kill(pid, signal.SIGSTOP)
            await gone([pid], 10)
            await control_answers(router, but_not=pid)


async def test_traffic_flows_while_control_does_nothing_and_the_workers_say_so(start_router: StartRouter) -> None:
    """SIGSTOP of control: it neither judges nor answers nor beats until the supervisor replaces it."""
    more = "[timeouts]\ncontrol_silent_s = 2.0\n"
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url, more=more), workers=2)
        stopped = (await router.status())["control"]["pid"]
        seen: set[tuple[int, str]] = set()

        async def degraded() -> bool:
            async with aiohttp.ClientSession() as session, session.get(router.url + "/-/ready") as response:
                seen.add((response.status, (await response.json())["status"]))
            return (200, "degraded") in seen

        async with Traffic(router.url, clients=20, pause_s=0.01) as traffic:
            os.kill(stopped, signal.SIGSTOP)
            await until(degraded, 10, "a worker says degraded", every_s=0.01)
            await control_answers(router, but_not=stopped)
        assert set(traffic.endings()) == {200}
        assert len(traffic.seen) > 1000
        assert seen == {(200, "ready"), (200, "degraded")}
