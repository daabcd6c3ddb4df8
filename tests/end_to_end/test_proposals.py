"""A failing version whose rule asks for approval: one proposal, through restarts and kills, with real processes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import aiohttp
import pytest

from router.control.proposals.links import SECRET, ProposalLinks
from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, Router, service_settings, until
from tests.end_to_end.test_rollback import healthy_but
from tests.end_to_end.traffic import Traffic
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(120)]

ID = f"{SERVICE}-rollback-1"
ASK = f"""
[services.{SERVICE}.rules.hard_failure]
action = "ask"
[services.{SERVICE}.rules.error_rate]
action = "observe"
"""


def failing() -> Backend:
    return Backend(healthy_but(backends.status(500)))


async def opened(router: Router) -> dict[str, Any]:
    """Have different requests fail for longer than one burst (`forgive_s`); return the proposal that comes of it."""
    await router.wait_ready("v2")

    async def waiting() -> dict[str, Any] | None:
        found = (await router.call("GET", "/v1/proposals?state=pending"))["proposals"]
        return found[0] if found else None

    async with Traffic(router.url, per_s=10, give_up_s=5.0) as traffic:
        found: dict[str, Any] = await until(waiting, 15, "a proposal waits")
    assert set(traffic.endings()) == {500}
    return found


async def came_back(router: Router, killed: int) -> None:
    """Return once another control process answers."""

    async def answers() -> bool:
        try:
            return (await router.status())["control"]["pid"] != killed
        except (aiohttp.ClientError, json.JSONDecodeError):
            return False

    await until(answers, 15, "control answers again")


async def pressed(router: Router, link: str) -> tuple[int, str]:
    """Press the button as a browser does."""
    form = {"actor": "Ann", "reason": "refunds rise"}
    fields = {"Origin": router.admin_url, "Sec-Fetch-Site": "same-origin"}
    async with aiohttp.ClientSession() as session:
        async with session.post(router.admin_url + link, data=form, headers=fields) as response:
            return response.status, await response.text()


def link_of(router: Router, proposal: dict[str, Any]) -> str:
    """Return the link that a notification carries, signed with the secret of the state directory."""
    until_s = int(datetime.fromisoformat(proposal["expires_at"]).timestamp())
    signature = ProposalLinks((router.state / SECRET).read_bytes()).signature(proposal["id"], "approve", until_s)
    return f"/decide/{proposal['id']}/approve/{until_s}/{signature}"


async def test_a_person_approves_by_the_link_although_control_is_killed_on_the_way(start_router: StartRouter) -> None:
    """The first press dies between the journal and the store: neither half of it is true. The second one counts."""
    async with failing() as bad, Backend(backends.ok()) as good:
        settings = service_settings(bad.url, good.url, ASK)
        router = await start_router(settings, workers=1, ROLLBACK_ROUTER_FAIL_POINT="store.before:2")
        proposal = await opened(router)
        assert (proposal["id"], proposal["version"], proposal["to"], proposal["at_expiry"]) == (ID, "v1", "v2", "hold")
        assert proposal["evidence"][0]["trigger"]["kind"] == "hard_failure"
        link, control = link_of(router, proposal), (await router.status())["control"]["pid"]
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await pressed(router, link)
        await came_back(router, control)
        assert len(await router.journal("approved")) == 1, "the disk had it before the kill"
        again = await router.call("GET", f"/v1/proposals/{ID}")
        assert (again["state"], again["expires_at"]) == ("open", proposal["expires_at"])

        async with aiohttp.ClientSession() as session, session.get(router.admin_url + link) as response:
            assert (response.status, "<button>" in await response.text()) == (200, True)
        assert (await router.service())["active"] == "v1", "looking decides nothing"

        async def approved() -> str | None:
            status, page = await pressed(router, link)
            return page if status == 200 else None  # 409 until the new control has probed the standby three times

        assert "rolled back from v1 to v2" in await until(approved, 10, "the approval is taken")
        await router.kill()
        await router.start()
        assert (await router.service())["active"] == "v2"
        rolled_back = (await router.journal("rolled_back"))[-1]
        assert (rolled_back["actor"], rolled_back["data"]["proposal"]) == ("Ann (link)", ID)
        assert (await router.call("GET", f"/v1/proposals/{ID}"))["decision_reason"] == "refunds rise"
        status, page = await pressed(router, link)
        assert (status, golden("proposal.approved_by_link") in page) == (409, True)
        incident = await router.call("GET", f"/v1/incidents/{rolled_back['data']['incident']}")
        assert (incident["proposal"], incident["manual"]) == (ID, True)


async def test_nobody_decides_and_the_default_is_made(start_router: StartRouter) -> None:
    more = f'[services.{SERVICE}.proposals]\nexpire_after_s = 1.0\nat_expiry = "rollback"\n{ASK}'
    async with failing() as bad, Backend(backends.ok()) as good:
        router = await start_router(service_settings(bad.url, good.url, more), workers=1)
        await opened(router)
        await router.wait_active("v2", 10)
        await until(lambda: router.journal("rolled_back"), 5, "the rollback is in the journal")
        [rolled_back] = await router.journal("rolled_back")
        assert (rolled_back["actor"], rolled_back["data"]["proposal"]) == ("verdict", ID)
        proposal = await router.call("GET", f"/v1/proposals/{ID}")
        assert (proposal["state"], proposal["incident"]) == ("expired", rolled_back["data"]["incident"])
        assert [alarm["code"] for alarm in (await router.status())["alarms"]] == []
