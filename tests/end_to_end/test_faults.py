"""Cases 36 to 42 of the catalogue (tests/fault_catalogue.py) that need real processes: killed, stopped, out of resources."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from router.shm import segment
from router.shm.worker_stats import WorkerStats
from tests import backends, waiting
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import RefusedError, Router, service_settings, stays, until
from tests.end_to_end.traffic import Traffic
from tests.proxy.leak_check import conserved

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

KILLS = 6


@contextmanager
def worker_stats(router: Router) -> Iterator[WorkerStats]:
    """Look at the shared memory of a running router, as its own processes do."""
    folder = Path(f"/proc/{router.pid}/fd")
    name = next(name for name in os.listdir(folder) if "rollback-router-segment" in os.readlink(folder / name))
    fd = os.open(folder / name, os.O_RDWR)
    found = segment.attach(fd)
    try:
        yield WorkerStats(found)
    finally:
        found.close()
        os.close(fd)


async def settled(found: WorkerStats) -> None:
    """Return when nothing is in flight in any worker; then the counters of each worker, and their sum, must balance."""

    async def quiet() -> bool:
        accepted, ends = found.exchanges(0)
        return accepted == sum(ends)

    await until(quiet, 10, "every accepted request has ended")
    conserved(found, 1)


@pytest.mark.alone
async def test_workers_killed_under_load_lose_only_what_they_had_open(start_router: StartRouter) -> None:
    """case 36: kill -9 of a worker again and again: no request is refused, all counters balance, the worker is started again."""
    async with Backend(backends.slow(0.01)) as backend:
        router = await start_router(service_settings(backend.url), workers=2)
        with worker_stats(router) as found:
            open_then, replaced_s = 0, []
            async with Traffic(router.url, per_s=200, give_up_s=8.0) as traffic:
                for kill in range(KILLS):
                    await traffic.more(40)
                    index = kill % 2
                    before = found.worker(index)
                    open_then += before.connections
                    killed_s = time.monotonic()
                    os.kill(before.pid, signal.SIGKILL)

                    async def in_its_place(index: int = index, before: int = before.pid) -> bool:
                        worker = (await router.status())["workers"][index]
                        return worker["up"] and worker["pid"] not in (0, before)

                    await until(in_its_place, 10, "another worker is in its place", every_s=0.02)
                    replaced_s.append(time.monotonic() - killed_s)
                await traffic.more(40)
            endings = traffic.endings()
            assert set(endings) <= {200, "cut"}, endings
            assert endings[200] > 0
            assert endings.get("cut", 0) <= open_then, "more requests were lost than connections were open"
            assert min(replaced_s) < 1.5, replaced_s  # later ones of the same place wait longer: it may be a crash loop
            await settled(found)
            _, ends = found.exchanges(0)
            assert sum(ends) == found.exchanges(0)[0]


@pytest.mark.nightly
async def test_a_worker_that_stood_still_goes_on_and_counts_nothing_twice(start_router: StartRouter) -> None:
    """case 38: SIGSTOP for less than `worker_silent_s`; `test_kills.py` has the one that is replaced."""
    async with Backend(backends.ok()) as backend:
        router = await start_router(service_settings(backend.url), workers=2)
        with worker_stats(router) as found:
            pid = found.worker(0).pid
            async with Traffic(router.url, clients=20, pause_s=0.01) as traffic:
                await traffic.more(200)
                os.kill(pid, signal.SIGSTOP)

                async def noticed() -> bool:
                    worker = (await router.status())["workers"][0]
                    return worker["heartbeat_age_s"] > 1.0 or not worker["up"]

                await until(noticed, 5, "its silence shows")
                os.kill(pid, signal.SIGCONT)
                await traffic.more(200)
            assert set(traffic.endings()) == {200}
            assert found.worker(0).pid == pid
            await settled(found)
            assert found.exchanges(0)[0] == len(traffic.seen)
        assert (await router.service())["active"] == "v1"


@pytest.mark.nightly
async def test_without_room_for_the_journal_traffic_goes_on_and_people_are_told(start_router: StartRouter) -> None:
    """case 39: every write of control fails; a switch is refused with its reason, and not done; with room again it is."""
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url), workers=1)
        await router.wait_ready("v2")
        control = (await router.status())["control"]["pid"]
        written = len(await router.journal())
        resource.prlimit(control, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        async with Traffic(router.url, clients=5, pause_s=0.01) as traffic:
            with pytest.raises(RefusedError) as refused:
                await router.verb("switch", to="v2", reason="no room")
            assert refused.value.status == 503, refused.value.document
            assert (await router.service())["active"] == "v1"
            resource.prlimit(control, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

            async def switched() -> bool:
                try:
                    return bool((await router.verb("switch", to="v2", reason="room again"))["active"] == "v2")
                except RefusedError as error:
                    return error.status != 503

            await until(switched, 10, "there is room again")
        assert set(traffic.endings()) == {200}
        assert len(await router.journal()) > written


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.nightly
async def test_a_worker_without_descriptors_neither_spins_nor_dies(start_router: StartRouter) -> None:
    """case 42: EMFILE: open connections are served, admin and readiness answer, and all is well once descriptors are free."""
    async with Backend(backends.ok()) as backend:
        router = await start_router(service_settings(backend.url), workers=1)
        (worker,) = [one["pid"] for one in (await router.status())["workers"]]
        async with aiohttp.ClientSession() as session:
            async with session.get(router.url + "/kept") as response:
                assert response.status == 200
            room = len(os.listdir(f"/proc/{worker}/fd"))
            _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (room, hard))
            connections = [await asyncio.open_connection("127.0.0.1", router.data_port) for _ in range(30)]
            began = cpu_s(worker)

            async def ready() -> bool:
                async with session.get(router.url + "/-/ready") as response:
                    return response.status == 200

            await stays(ready, 0.5, "the worker is ready")
            assert (await router.status())["workers"][0]["pid"] == worker
            assert cpu_s(worker) - began < 0.4, "it spins"
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (hard, hard))
            for _, writer in connections:
                writer.close()

            async def served() -> bool:
                try:
                    async with aiohttp.ClientSession() as other, other.get(router.url + "/again") as response:
                        return response.status == 200
                except aiohttp.ClientError:
                    return False

            await until(served, 5, "a new connection is served")
        assert (await router.service())["active"] == "v1"
        faults = (await router.target("v1"))["totals"]["outcomes"]  # type: ignore[index]
        assert all(
            faults[name] == 0 for name in ("connect_failed", "server_error", "timed_out", "truncated", "invalid")
        )


async def runs(router: Router) -> bool:
    return router.process is not None and router.process.returncode is None


async def test_a_second_sigterm_hurries(start_router: StartRouter) -> None:
    """case 43: the first signal waits for requests in flight; a second one does not."""
    async with Backend(backends.never()) as backend:
        router = await start_router(service_settings(backend.url), workers=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", router.data_port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: t\r\n\r\n")
        await waiting.until(lambda: any(request.line.startswith(b"GET /slow") for request in backend.requests))
        began = time.monotonic()
        os.kill(router.pid, signal.SIGTERM)
        await stays(lambda: runs(router), 1.0, "it waits")
        os.kill(router.pid, signal.SIGTERM)
        assert router.process is not None
        await asyncio.wait_for(router.process.wait(), 10)
        assert time.monotonic() - began < 8
        assert not (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
