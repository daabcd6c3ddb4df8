"""The record of a rollback is complete although control was killed while it was written, at every fail point."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.cli.app import main
from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import RefusedError, Router, service_settings, until
from tests.end_to_end.test_rollback import healthy_but
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

MORE = "[incidents]\nafter_s = {after_s}\n"
DEATHS = ("store.before:2", "store.after:2", "journal.before:4", "journal.after:4")
"""The second route is the rollback's; its entry is the journal's fourth batch."""


async def whole(router: Router, starts: int = 0) -> dict[str, Any]:
    """Return the only incident as soon as its record is complete, and control was started more than `starts` times."""

    async def complete() -> dict[str, Any] | None:
        try:
            status = await router.status()
            listed = (await router.call("GET", "/v1/incidents"))["incidents"]
            if not listed or status["control"]["starts"] <= starts:
                return None
            made = await router.call("GET", f"/v1/incidents/{listed[-1]['id']}")
        except (aiohttp.ClientError, TimeoutError, RefusedError, json.JSONDecodeError):
            return None
        return made if made["record"]["complete"] else None

    return dict(await until(complete, 60, "a whole record"))


async def written(router: Router) -> bool:
    return len(list((router.state / "incidents").glob("default-*-*.*"))) == 4


async def test_the_record_is_whole_wherever_control_is_killed(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(healthy_but(backends.ok())) as new, AsyncExitStack() as load:
        settings = service_settings(new.url, old.url, MORE.format(after_s=2))
        starts = [start_router(settings, workers=1, ROLLBACK_ROUTER_FAIL_POINT=point) for point in DEATHS]
        routers = await asyncio.gather(*starts)
        traffic = [Traffic(router.url, per_s=20, give_up_s=5.0) for router in routers]
        for one in traffic:
            await load.enter_async_context(one)
        await asyncio.gather(*(one.more(20) for one in traffic))
        new.behaviour = healthy_but(backends.status(500))
        found = await asyncio.gather(*(whole(router, starts=1) for router in routers))
        for point, router, made in zip(DEATHS, routers, found, strict=True):
            assert (made["from"], made["to"], made["manual"]) == ("v1", "v2", False), point
            assert (made["trigger"]["kind"], made["trigger"]["detail"]) == ("hard_failure", "errors"), point
            assert made["trigger"]["evidence_since_ns"] is not None, point
            assert made["durations"]["fault_to_decision_s"] > 0, point
            assert made["durations"]["decision_to_store_us"] is not None, point
            assert 0 <= made["durations"]["store_to_last_worker_ms"] < 1000, point
            assert made["durations"]["fault_to_recovered_s"] > 0, point
            assert made["impact"]["errors"]["server_error"] >= 10, point
            assert made["windows"]["left"]["periods"]["before"]["requests"] >= 10, point
            during = made["windows"]["left"]["periods"]["during"]
            assert during is None or during["fault_rate"] > 0.5, f"{point}: left out only where we stalled ourselves"
            after = made["windows"]["back"]["periods"]["after"]
            assert after is None or not after["faults"], (
                f"{point}: on a slow machine control comes back too late to see it"
            )
            kinds = [line["kind"] for line in made["timeline"]]
            assert {"seeded", "started", "rolled_back", "swapped", "worker", "confirmed", "recovered"} <= set(kinds), (
                point
            )
            assert made["record"]["notes"] in ([], [RECONSTRUCTED]), point
            entries = await router.journal("rolled_back")
            assert [entry["data"]["incident"] for entry in entries] == [made["id"]], point
            await until(lambda router=router: written(router), 10, "every file")  # type: ignore[misc]


RECONSTRUCTED = (
    "Control died around the swap; the restarted control has reconstructed this from the journal and shared memory."
)


async def test_what_people_add_outlives_everything_and_the_page_is_served(
    start_router: StartRouter, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Backend(backends.ok()) as old, Backend(healthy_but(backends.status(500))) as new:
        router = await start_router(service_settings(new.url, old.url, MORE.format(after_s=1)), workers=1)
        async with Traffic(router.url, per_s=30, give_up_s=5.0):
            made = await whole(router)
        seen = made["windows"]
        words = ["--root-cause", "null merchant", "--owner", "ann", "--admin", router.admin_url]
        assert await asyncio.to_thread(main, ["incidents", made["id"], *words]) == 0
        body = {"status": "reviewed", "add_actions": [{"what": "a test", "due": "2026-12-31"}]}
        with pytest.raises(RefusedError) as caught:
            await router.call("PATCH", f"/v1/incidents/{made['id']}", body, **{"If-Match": '"0"'})
        assert caught.value.status == 412
        await router.call("PATCH", f"/v1/incidents/{made['id']}", body, **{"If-Match": '"1"'})
        await router.kill()
        await router.start()
        made = await router.call("GET", f"/v1/incidents/{made['id']}")
        assert (made["review"]["root_cause"], made["review"]["status"], made["revision"]) == (
            "null merchant",
            "reviewed",
            2,
        )
        assert made["windows"] == seen, "the file has kept the samples"
        assert (await router.service())["incidents_open"] == [made["id"]]
        page = tmp_path / "page.html"
        words = ["--html", str(page), "--admin", router.admin_url]
        assert await asyncio.to_thread(main, ["incidents", made["id"], *words]) == 0
        assert "null merchant" in page.read_text()
        assert capsys.readouterr().out.splitlines()[-1] == f"saved {page}"
