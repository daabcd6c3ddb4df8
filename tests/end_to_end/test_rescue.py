"""With `replay = "always"` the clients of a version that fails get the answers of the standby until the router goes back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests import backends
from tests.backends import Backend, Behaviour
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, until
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]

PER_S = 200.0
TOKEN = b'data: {"choices":[{"delta":{"content":"yes"}}]}\n\n'
ERROR = b'data: {"error":{"message":"CUDA error","code":500}}\n\n'


def server(engine: Behaviour) -> Behaviour:
    return backends.by_path(engine, health=backends.ok(b"healthy"), models=backends.ok())


@pytest.mark.parametrize(
    ("fault", "good"),
    [
        pytest.param(backends.status(500), backends.ok(), id="500"),
        pytest.param(backends.cut_after(b"", 0), backends.ok(), id="broken"),
        pytest.param(backends.event_stream(ERROR), backends.event_stream(TOKEN), id="error-event"),
    ],
)
async def test_no_client_sees_a_version_of_which_all_answers_fail(
    start_router: StartRouter, fault: Behaviour, good: Behaviour
) -> None:
    async with Backend(server(good)) as old, Backend(server(good)) as new:
        router = await start_router(service_settings(new.url, old.url, 'replay = "always"\n'))
        async with Traffic(router.url, per_s=PER_S, path="/v1/chat/completions") as traffic:
            await traffic.more(round(PER_S))
            broken = time.monotonic()
            new.behaviour = server(fault)
            await rolled_back(router, 15)
            await traffic.more(round(PER_S))
        assert set(traffic.endings(broken)) == {200}, traffic.endings(broken)
        assert sum(traffic.endings(broken).values()) > PER_S


async def rolled_back(router: Router, within_s: float) -> dict[str, Any]:
    async def entry() -> dict[str, Any] | None:
        found = await router.journal("rolled_back")
        return found[0]["data"] if found else None

    return await until(entry, within_s, "a rollback")
