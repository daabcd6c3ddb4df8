"""Services are added, renamed and removed by SIGHUP under traffic on another service, which loses no request."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, until
from tests.end_to_end.steady import Steady
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]

TIMES = "timeouts.shutdown_timeout_s = 2\n"


def service(name: str, prefix: str, url: str, version: str = "w1") -> str:
    return (
        f'[services.{name}]\npath_prefix = "{prefix}"\nactive = {{ version = "{version}", endpoints = ["{url}"] }}\n'
        'probe = { path = "/health", every_s = 0.1 }\n'
    )


async def reload(router: Router, settings: str) -> None:
    router.settings = settings
    router.arguments()
    os.kill(router.pid, signal.SIGHUP)


async def services(router: Router) -> set[str]:
    try:
        return set((await router.status())["services"])
    except aiohttp.ClientError:
        return set()


async def served_by(router: Router, path: str) -> str | None:
    """Return the version that answers a request on a new connection."""
    async with aiohttp.ClientSession() as session:
        async with session.post(router.url + path, data=b"{}") as response:
            await response.read()
            return response.headers.get("X-Served-Version")


async def every_worker_serves(router: Router, path: str, version: str) -> None:
    """Return when this version answers 20 requests one after the other, each on a new connection: it goes to some worker."""

    async def always() -> bool:
        return all([await served_by(router, path) == version for _ in range(20)])

    await until(always, 60, f"{path} is answered by {version}")


async def logged(router: Router, text: str, times: int = 1) -> None:
    async def found() -> bool:
        return router.log.count(text) >= times

    await until(found, 60, f"the log has {text!r} {times} times\n{router.log[-3000:]}")


async def test_services_come_and_go_while_another_one_is_in_use(start_router: StartRouter) -> None:
    """Added, changed, renamed at the same prefix, removed with an open stream, brought back; the first service loses nothing."""
    async with Backend(backends.ok()) as one, Backend(backends.ok(b"two")) as two:
        first = TIMES + service_settings(one.url)
        router = await start_router(first)
        assert await served_by(router, "/two/x") == "v1", "the first service has the prefix /"
        before = await router.service()
        async with Steady(router.data_port) as steady:
            await steady.more(50)
            await reload(router, first + service("two", "/two", two.url))
            await every_worker_serves(router, "/two/x", "w1")
            assert await services(router) == {"default", "two"}

            async with Traffic(router.url, clients=4, path="/two/y") as traffic:
                await traffic.more(40)
                asked = len(two.requests)
                await reload(router, first + service("renamed", "/two", two.url, "r1"))
                await logged(router, "service two has ended")
                await traffic.more(40)
            assert traffic.endings() == {200: len(traffic.seen)}, "no request got 404 or was cut"
            assert traffic.versions() == {"w1", "r1"}
            assert len(two.requests) - asked >= 40
            assert await services(router) == {"default", "renamed"}

            two.behaviour = backends.by_path(backends.ok(b"two"), **{"/two/stream": backends.silent_stream()})
            await stream_until_cut(router, first)
            await logged(router, "service renamed has ended")
            assert await services(router) == {"default"}

            await reload(router, first + service("two", "/two", two.url))
            await every_worker_serves(router, "/two/x", "w1")
            await steady.more(50)
        assert (steady.lost, steady.refused) == ({}, 0)
        after = await router.service()
        assert (after["generation"], after["active"]) == (before["generation"], before["active"])
        types = [entry["type"] for entry in await router.journal() if entry["service"] == "two"]
        assert types[:2] == ["service_added", "seeded"]
        assert types.count("service_added") == 2
        assert types.count("service_removed") == 1
        assert "rolled_back" not in {entry["type"] for entry in await router.journal()}
        metrics = await text(router, "/metrics")
        assert 'service="two"' in metrics
        assert 'service="renamed"' not in metrics


async def stream_until_cut(router: Router, without: str) -> None:
    """Open a stream, remove its service; return when the router has ended the stream."""
    async with aiohttp.ClientSession() as session:
        async with session.post(router.url + "/two/stream", data=b"{}") as response:
            assert response.status == 200
            began = time.monotonic()
            await reload(router, without)
            with pytest.raises((aiohttp.ClientPayloadError, ConnectionError)):
                await response.read()
            assert 1.5 < time.monotonic() - began < 10, "it ends as a drain does, after shutdown_timeout_s"


async def text(router: Router, path: str) -> str:
    async with aiohttp.ClientSession() as session:
        async with session.get(router.admin_url + path) as response:
            return await response.text()


@pytest.mark.parametrize(
    "point",
    [
        "store.before:2",
        pytest.param("store.after:2", marks=pytest.mark.nightly),
        pytest.param("journal.before:4", marks=pytest.mark.nightly),
    ],
)
async def test_a_kill_of_control_in_the_middle_of_an_addition_loses_nothing(
    start_router: StartRouter, point: str
) -> None:
    """Control dies when it adds the service, is started again with the same document, and completes it. At the removal
    control and a worker are killed.
    """
    async with Backend(backends.ok()) as one, Backend(backends.ok(b"two")) as two:
        first = TIMES + service_settings(one.url)
        router = await start_router(first, ROLLBACK_ROUTER_FAIL_POINT=point)
        control = (await router.status())["control"]["pid"]
        async with Steady(router.data_port) as steady:
            await reload(router, first + service("two", "/two", two.url))
            await every_worker_serves(router, "/two/x", "w1")
            await until(lambda: another_control(router, control), 60, "control died at the point")
            await reload(router, first)
            status = await router.status()
            for pid in (status["workers"][0]["pid"], status["control"]["pid"]):
                os.kill(pid, signal.SIGKILL)
            await logged(router, "service two has ended")
        assert sum(steady.lost.values()) <= 12, "only what the killed worker had"
        await until(lambda: is_served(router, "default"), 60, "control answers")


async def another_control(router: Router, pid: int) -> Any:
    try:
        return (await router.status())["control"]["pid"] != pid
    except aiohttp.ClientError:
        return False


async def is_served(router: Router, name: str) -> bool:
    return await services(router) == {name}


async def test_what_is_wrong_changes_nothing_and_is_named(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as one, Backend(backends.ok(b"two")) as two:
        first = TIMES + service_settings(one.url)
        router = await start_router(first)
        await reload(router, first + service("two", "/two", two.url))
        await every_worker_serves(router, "/two/x", "w1")
        await reload(router, first)
        await logged(router, "service two has ended")
        many = "".join(service(f"s{number}", f"/s{number}", two.url) for number in range(64))
        for wrong, text_of_log in (
            (service("two", "/two", one.url), "service two: version w1"),
            (many, "services: "),
        ):
            await reload(router, first + wrong)
            await logged(router, text_of_log)
            assert await services(router) == {"default"}
        await logged(router, "settings not reloaded, nothing changed", 2)
        await reload(router, first + service("two", "/two", two.url))
        await reload(router, first + service("three", "/three", two.url))
        await every_worker_serves(router, "/three/x", "w1")

        async def only_the_last_file() -> bool:
            return await services(router) == {"default", "three"}

        await until(only_the_last_file, 60, "the second SIGHUP counts")
