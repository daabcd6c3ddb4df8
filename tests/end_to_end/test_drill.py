"""A drill with real processes under load: no request fails, whichever process is killed, and the roles come back."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, until
from tests.end_to_end.traffic import Traffic
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

INFERENCE = (
    f'[services.{SERVICE}.probe]\nmethod = "POST"\npath = "/health"\nbody = "{{}}"\nevery_s = 0.1\n'
    f"[services.{SERVICE}.drill]\nhold_s = 1.0\n"
)


def drilled(old: Backend, new: Backend) -> str:
    plain = service_settings(old.url, new.url, INFERENCE)
    return "\n".join(line for line in plain.splitlines() if not line.startswith("probe =")) + "\n"


def served(version: str) -> backends.Behaviour:
    """Answer, or on /stream send 20 events in 2 s."""
    stream = backends.tokens(20, 0.1, text=f"data: {version}\n\n".encode())

    async def answer(connection: backends.Connection, request: backends.RawRequest) -> None:
        behaviour = stream if b"/stream" in request.line else backends.ok()
        await behaviour.answer(connection, request)  # type: ignore[attr-defined]

    return backends.answering(answer)


async def stream(router: Router, began: asyncio.Event) -> bytes:
    """Return a whole event stream, having said when it began; it raises if it is cut."""
    async with aiohttp.ClientSession() as session, session.get(router.url + "/stream") as response:
        began.set()
        return await response.read()


async def begin(router: Router, **how: Any) -> dict[str, Any]:
    """Begin a drill as soon as the standby is warm; the version is on probation, so it has to be forced."""

    async def begun() -> dict[str, Any] | None:
        try:
            return await router.verb("drill", force=True, **how)
        except RefusedError as refused:
            if {refusal["code"] for refusal in refused.document["refusals"]} != {"standby_not_ready"}:
                raise
            return None

    found: dict[str, Any] = await until(begun, 10, "a drill begins")
    return found


async def over(router: Router, drill: str, within_s: float = 10.0) -> dict[str, Any]:
    async def ended() -> dict[str, Any] | None:
        document = await router.call("GET", f"/v1/drills/{drill}")
        return document if document["result"] else None

    found: dict[str, Any] = await until(ended, within_s, f"{drill} is over")
    return found


async def test_a_drill_under_load_fails_no_request_and_a_failing_standby_ends_it(start_router: StartRouter) -> None:
    async with Backend(served("v1")) as old, Backend(served("v2")) as new:
        router = await start_router(drilled(old, new))
        async with Traffic(router.url, per_s=60) as traffic, asyncio.TaskGroup() as streams:
            began = asyncio.Event()
            from_before = streams.create_task(stream(router, began))
            await asyncio.wait_for(began.wait(), 10)
            begun = await begin(router)
            there, since = begun["swaps"][0], time.monotonic()
            assert (begun["phase"], there["workers_unconfirmed"]) == ("away", [])
            from_the_hold = streams.create_task(stream(router, began))
            await traffic.more(15)
            assert traffic.versions(since=since) == {"v2"}, "claimed on the old version after the answer"
            report = await over(router, begun["drill"])
            assert (report["result"], report["reasons"]) == ("passed", [])
            assert traffic.endings() == {200: len(traffic.seen)}
            back = time.monotonic()
            await traffic.more(15)
            assert traffic.versions(since=back) == {"v1"}
            assert all(swap["confirmed_ms"] < 1000 and swap["swap_us"] < 100_000 for swap in report["swaps"])
            assert (report["during"]["requests"] > 20, report["during"]["faults"], report["gate_ms"] < 1500) == (
                True,
                0,
                True,
            )
            assert set(report["clients"]) == {"ok"}
            assert (await from_before, await from_the_hold) == (b"data: v1\n\n" * 20, b"data: v2\n\n" * 20)
            shadow = await router.verb("drill", force=True, shadow=True)
            assert (shadow["result"], shadow.get("swaps", [])) == ("passed", [])

            begun = await begin(router, hold_s=60)
            new.behaviour = backends.status(500)
            report = await over(router, begun["drill"])
            assert report["result"] == "aborted", report
            assert (await router.service())["active"] == "v1"
        assert [entry["data"]["home"] for entry in await router.journal("drill_switched")] == [False, True, False, True]
        assert await router.journal("rolled_back") == []
        assert (await router.call("GET", "/v1/incidents"))["incidents"] == []


async def test_control_killed_in_the_middle_comes_back_and_goes_home(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(drilled(old, new))
        async with Traffic(router.url, per_s=40) as traffic:
            begun = await begin(router, hold_s=300)
            await router.kill([(await router.status())["control"]["pid"]])
            await until(router.ready, 10, "control is back")
            report = await over(router, begun["drill"])
            assert (report["result"], report["reasons"]) == (
                "stopped",
                [golden("drill.control_restarted")],
            )
            assert (await router.service())["active"] == "v1"
            assert traffic.endings() == {200: len(traffic.seen)}
        assert report["swaps"][-1]["home"]
