"""Probes of real processes: two models on one server that wants credentials, and a stranger on the standby's address."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend, Behaviour, Connection, RawRequest
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

PROBE = (
    'probe = { method = "POST", path = "/fraud/infer", body = "{}", expect_status_below = 400, every_s = 0.1, '
    "warmup_probes = 2 }\n"
)


def two_models(keys: list[str]) -> Behaviour:
    """Two models by path; each request has to carry the last of `keys`."""
    models = {b"/v2/models/v1/infer": b"one", b"/v2/models/v2/infer": b"two"}

    async def answer(connection: Connection, request: RawRequest) -> None:
        body = models.get(request.line.split(b" ")[1])
        if request.field("authorization") != keys[-1].encode():
            chosen = backends.status(401)
        else:
            chosen = backends.status(404) if body is None else backends.ok(body)
        await chosen.answer(connection, request)  # type: ignore[attr-defined]

    return backends.answering(answer)


async def asked(router: Router) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(f"{router.url}/fraud/infer", data=b"{}") as response:
        return response.status, await response.text()


async def test_two_versions_on_one_server_that_wants_a_key(start_router: StartRouter, tmp_path: Path) -> None:
    keys, file = ["first"], tmp_path / "key"
    file.write_text("Authorization: first\n")
    async with Backend(two_models(keys)) as server:
        router = await start_router(
            f'[services.{SERVICE}]\npath_prefix = "/fraud"\n{PROBE}active = {{ version = "v1", endpoints = ["{server.url}"], '
            f'path_prefix = "/v2/models/v1", headers_file = "{file}" }}\n'
        )
        assert await asked(router) == (200, "one")
        await router.verb(
            "deploy", version="v2", endpoints=[server.url], path_prefix="/v2/models/v2", headers_file=str(file)
        )
        await router.wait_ready("v2")
        await router.verb("promote", version="v2")
        assert await asked(router) == (200, "two")
        keys.append("sk-9f8e7d")
        file.write_text("Authorization: sk-9f8e7d\n")
        os.kill(router.pid, signal.SIGHUP)

        async def rotated() -> bool:
            return await asked(router) == (200, "two")

        await until(rotated, 5, "the workers send the new key")
        await router.verb("rollback", reason="try")
        assert await asked(router) == (200, "one")
        assert "sk-9f8e7d" not in router.log
        assert "sk-9f8e7d" not in str(await router.status()) + str(await router.journal())


async def test_a_probe_that_is_answered_401_is_named(start_router: StartRouter) -> None:
    async with Backend(backends.status(401)) as server:
        router = await start_router(
            f'[services.{SERVICE}]\n{PROBE}active = {{ version = "v1", endpoints = ["{server.url}"] }}\n'
        )

        async def named() -> bool:
            return "probe_unauthorised" in [alarm["code"] for alarm in (await router.status())["alarms"]]

        await until(named, 5, "the alarm names the probe")


async def test_a_stranger_on_the_standbys_address_is_no_way_back(start_router: StartRouter) -> None:
    async with Backend(backends.ok(b"healthy")) as active, Backend(backends.ok(b"healthy")) as standby:
        router = await start_router(
            f'[services.{SERVICE}]\nprobe = {{ path = "/health", every_s = 0.1, warmup_probes = 3 }}\n'
            f'active = {{ version = "v2", endpoints = ["{active.url}"] }}\n'
            f'standby = {{ version = "v1", endpoints = ["{standby.url}"] }}\n'
        )

        async def identified() -> bool:
            return len(await router.journal("version_identified")) == 2

        await until(identified, 5, "both versions are identified")
        await standby.stop()
        standby.behaviour = backends.status(404)
        await standby.start()

        async def refused() -> bool:
            service = await router.service()
            return not service["way_back"] and "4xx" in str(service["no_way_back"])

        await until(refused, 5, "the stranger is no standby")
        standby.behaviour = backends.ok(b"healthy")

        async def fit() -> bool:
            return bool((await router.service())["way_back"])

        await until(fit, 5, "the standby is back")


async def test_a_dead_engine_is_named_at_once_without_traffic(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as server:
        router = await start_router(
            f'[services.{SERVICE}]\n{PROBE.replace("/fraud", "")}active = {{ version = "v1", endpoints = ["{server.url}"] }}\n'
        )
        await router.wait_active("v1", 5)
        server.behaviour = backends.status(500)

        async def named() -> bool:
            document = await router.status()
            codes = [alarm["code"] for alarm in document["alarms"]]
            [target] = document["services"][SERVICE]["targets"]
            return "inference_probe_failing" in codes and "its inference probe fails" in str(target["probe_failure"])

        await until(named, 5, "the alarm and the status name the probe")
