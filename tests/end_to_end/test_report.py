"""The figures of `report` for a deployment, a fault and a rollback equal the counts of the clients, through kills."""

from __future__ import annotations

import time

import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, service_settings, until
from tests.end_to_end.test_rollback import healthy_but, rolled_back
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]


async def test_the_report_counts_what_the_clients_counted(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url))
        await router.promote_new("v2", new.url)
        async with Traffic(router.url, per_s=60) as traffic:
            await traffic.more(90)
            new.behaviour = healthy_but(backends.status(500))
            began = time.monotonic()
            entry = await rolled_back(router, 10)
            decided = time.monotonic()
            control = (await router.status())["control"]["pid"]
            await router.kill([control])
            await until(lambda: replaced(router, control), 10, "control is back")
            await traffic.more(60)
        # Its last rows are written when it leaves, and the rest of the story is read by the next one.
        assert await router.stop() == 0
        await router.start()
        found = await router.call("GET", f"/v1/services/{SERVICE}/report?since=1h")
        advice = await router.call("GET", f"/v1/services/{SERVICE}/advise?days=1")

    failed = sum(not seen.ok for seen in traffic.seen)
    assert failed >= 10
    assert (found["uptime"]["requests"], found["uptime"]["failed"]) == (len(traffic.seen), failed)
    assert found["uptime"]["share"] == pytest.approx(1 - failed / len(traffic.seen))
    assert found["deployments"]["count"] == 1
    assert (found["change_failures"]["share"], found["change_failures"]["failed"]) == (1.0, 1)
    assert found["rollbacks"] == {"automatic": 1, "manual": 0, "incidents": [entry["data"]["incident"]]}
    assert found["time_to_detect"]["n"] == 1
    assert 0 < found["time_to_detect"]["median_s"] < decided - began + 0.2
    assert found["standby"]["hours"] * 3600 < 60
    assert [(made["left"], made["by"]) for made in advice["rollbacks"]] == [("v2", "hard_failure.errors")]
    assert set(advice["kinds"]) == {"hard_failure", "error_rate", "latency"}
    assert 0 < advice["days"] < 0.01
    past = await router.call("GET", f"/v1/services/{SERVICE}/history?since=1h&step_s=3600&version=v2")
    assert {point["role"] for point in past["points"]} >= {"candidate", "active"}
    assert sum(point["faults"] for point in past["points"] if point["role"] == "active") >= failed - 12
    assert sum(point["requests"] for point in past["points"]) <= len(traffic.seen)


async def replaced(router: object, pid: int) -> bool:
    try:
        return (await router.status())["control"]["pid"] != pid  # type: ignore[attr-defined]
    except OSError:
        return False
