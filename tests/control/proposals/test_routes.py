"""Proposals over HTTP: with a token by the API, without one by a signed link, which decides nothing when it is looked at."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.proposals import routes as proposal_routes
from router.control.proposals.addon import ProposalsAddon
from router.control.proposals.links import ProposalLinks
from router.rollout.model.events import ProposalDue
from router.rollout.model.target import State
from router.rollout.proposals.proposal import ProposalRules
from router.runtime import clock
from router.settings.settings import Settings
from tests.control.conftest import serving, token
from tests.control.control_harness import ControlHarness
from tests.texts import golden

SLOW = {
    "kind": "latency", "detail": "", "reason": "half <b>are</b> late", "value": 0.5, "limit": 0.05, "samples": 90,
    "evidence_since_ns": None,
}  # fmt: skip
ID = "svc-rollback-1"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded", **BROWSER}


class ProposalsHarness:
    """An admin before a controller that lives in this test, whose proposal v1 → v2 waits."""

    def __init__(self, control: ControlHarness, addon: ProposalsAddon, url: str) -> None:
        self.control = control
        self.addon = addon
        self.url = url
        self.session = aiohttp.ClientSession()

    def ask(self) -> None:
        alert = {"summary": "refunds & churn"}
        self.control.service_controller.handle(
            ProposalDue("v1", "business:churn", SLOW, alert, {"requests": 9}), clock.now_ns()
        )

    def link(self, verb: str) -> str:
        return self.addon.links.path(self.addon.find(ID)[0], verb)

    def state(self) -> str:
        return self.addon.find(ID)[0].state

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, str]:
        async with self.session.request(method, self.url + path, **how) as response:
            self.headers = response.headers
            return response.status, await response.text()

    async def press(self, path: str, form: str | bytes = "actor=Ann", **fields: str) -> tuple[int, str]:
        return await self.call("POST", path, data=form, headers=FORM | fields)


@pytest.fixture
def admin() -> dict[str, Any]:
    return {}


@pytest.fixture
async def harness(control: ControlHarness, admin: dict[str, Any]) -> AsyncIterator[ProposalsHarness]:
    document = Settings.model_validate({**control.settings.model_dump(), "admin": admin})
    addon = ProposalsAddon(control.control_loop, control.operations, document, ProposalLinks(b"k" * 32))
    control.control_loop.add_addons(addon)
    application = app.build(control.queries, control.operations, document, proposal_routes.operations(addon))
    async with serving(application) as url:
        harness = ProposalsHarness(control, addon, url)
        control.probe("v2", times=3)
        harness.ask()
        yield harness
        await harness.session.close()


# -- by the API
async def test_reading_and_approving(harness: ProposalsHarness) -> None:
    for path in ("/v1/proposals", "/v1/proposals?state=pending&service=svc"):
        async with harness.session.get(harness.url + path) as response:
            [document] = (await response.json())["proposals"]
            assert (document["id"], document["kind"], document["from"], document["to"], document["left_s"] > 0) == (
                ID,
                "rollback",
                "v1",
                "v2",
                True,
            )
    async with harness.session.get(f"{harness.url}/v1/proposals/{ID}") as response:
        assert (await response.json())["evidence"][0]["alert"] == {"summary": "refunds & churn"}
    body = {"actor": "ann", "reason": "yes"}
    async with harness.session.post(f"{harness.url}/v1/proposals/{ID}/approve?dry_run=true", json=body) as response:
        assert (response.status, (await response.json())["changed"], harness.state()) == (200, True, "open")
    async with harness.session.post(f"{harness.url}/v1/proposals/{ID}/approve", json=body) as response:
        answer = await response.json()
    assert (response.status, answer["active"], answer["proposal"]["decided_by"]) == (200, "v2", "ann")
    async with harness.session.post(f"{harness.url}/v1/proposals/{ID}/deny", json=body) as response:
        problem = await response.json()
    assert (response.status, problem["code"], problem["state"]) == (409, "proposal_decided", "approved")


async def test_bad_input_decides_nothing(harness: ProposalsHarness) -> None:
    for path, body, expected in (
        ("svc-rollback-9/approve", {}, (404, "proposal_unknown")),
        (f"{ID}/approve", {"verb": "deny"}, (400, "request_invalid")),
        (f"{ID}/deny", {"override": {"actor": "ann"}}, (400, "request_invalid")),
        (f"{ID}/deny", {"reason": "x" * 501}, (400, "request_invalid")),
    ):
        async with harness.session.post(f"{harness.url}/v1/proposals/{path}", json=body) as response:
            assert (response.status, (await response.json())["code"]) == expected
    async with harness.session.get(f"{harness.url}/v1/proposals?state=lost") as response:
        assert response.status == 400
    assert harness.state() == "open"


@pytest.mark.parametrize("admin", [{"tokens": [token("vi", "viewer"), token("ann", "operator")]}])
async def test_deciding_takes_an_operator_and_a_link_none(harness: ProposalsHarness) -> None:
    path = f"{harness.url}/v1/proposals/{ID}/deny"
    for secret, expected in (("", 401), ("vi-secret", 403)):
        fields = {"Authorization": f"Bearer {secret}"} if secret else {}
        async with harness.session.post(path, json={}, headers=fields) as response:
            assert response.status == expected
    fields = {"Authorization": "Bearer ann-secret"}
    async with harness.session.post(path, json={"actor": "bob"}, headers=fields) as response:
        assert (response.status, (await response.json())["proposal"]["decided_by"]) == (200, "ann")


# -- by a link
async def test_looking_at_a_link_decides_nothing(harness: ProposalsHarness) -> None:
    """Mail scanners and link previewers do, before any person."""
    for verb in ("approve", "deny"):
        assert await harness.call("HEAD", harness.link(verb)) == (200, "")
        for _ in range(2):
            status, page = await harness.call("GET", harness.link(verb))
            assert (status, harness.state()) == (200, "open")
            assert harness.headers["Referrer-Policy"] == "same-origin", "or browsers send Origin: null with the form"
            assert "form-action 'self'" in harness.headers["Content-Security-Policy"]
            assert ("half &lt;b&gt;are&lt;/b&gt; late" in page, "refunds &amp; churn" in page) == (True, True)
            assert re.search("<button>(.*?)</button>", page) is not None
            assert re.search("<script|style", page) is None
    assert [entry["type"] for entry in await journal(harness) if entry["service"]][2:] == ["proposed"]


async def journal(harness: ProposalsHarness) -> list[dict[str, Any]]:
    await harness.control.until_idle()
    return list((await harness.control.queries.journal(0, 100))["entries"])


async def test_pressing_the_button_decides_once(harness: ProposalsHarness) -> None:
    link, other = harness.link("approve"), harness.link("deny")
    origin = {"Origin": harness.url, "Sec-Fetch-Site": "same-origin"}
    status, page = await harness.press(link + "?utm_source=mail", "actor=Ann+Lee&reason=too+slow", **origin)
    assert (status, golden("switch.rolled_back", version="v1", to="v2") in page, "Incident svc-1-2" in page) == (
        200,
        True,
        True,
    )
    assert harness.control.states() == {"v1": "draining", "v2": "active"}
    document = harness.addon.document(ID)
    assert (document["decided_by"], document["decision_reason"]) == ("Ann Lee (link)", "too slow")
    for again in (link, other):
        for status, page in (await harness.call("GET", again), await harness.press(again)):
            assert (status, golden("proposal.approved_already") in page) == (409, True)


async def test_the_other_button_denies(harness: ProposalsHarness) -> None:
    status, page = await harness.press(harness.link("deny"))
    assert (status, f"{ID} is denied, v1 stays active" in page, harness.state()) == (200, True, "denied")


async def test_an_unfit_standby_is_told_on_the_page_and_the_link_still_works(harness: ProposalsHarness) -> None:
    harness.control.probe("v2", ok=False)
    status, page = await harness.press(harness.link("approve"))
    assert (status, golden("gate.standby_no_better") in page, harness.state()) == (409, True, "open")
    harness.control.probe("v2", times=3)
    assert (await harness.press(harness.link("approve")))[0] == 200


ALTERED: dict[str, Callable[[str], str]] = {
    "cut off": lambda link: link[:-1],
    "altered": lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
    "other verb": lambda link: link.replace("/approve/", "/deny/"),
    "no verb": lambda link: link.replace("/approve/", "/destroy/"),
    "other proposal": lambda link: link.replace(ID, "svc-rollback-2"),
    "other expiry": lambda link: re.sub(r"/(\d+)/", "/9999999999/", link),
    "no expiry": lambda link: re.sub(r"/(\d+)/", "/never/", link),
    "no text": lambda link: link[:-1] + "%ED%A0%80",
}


async def test_a_foreign_link_is_not_found_and_says_nothing(harness: ProposalsHarness) -> None:
    for name, altered in ALTERED.items():
        for method in ("GET", "POST"):
            status, page = await harness.call(method, altered(harness.link("approve")), data="actor=Ann", headers=FORM)
            assert (name, status, golden("proposal.bad_link") in page, "v1" in page) == (name, 404, True, False)
            assert (harness.state(), harness.headers["Content-Type"].startswith("text/html")) == ("open", True)


async def test_a_link_is_behind_the_same_guard(harness: ProposalsHarness) -> None:
    for fields, expected in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
    ):
        assert ((await harness.press(harness.link("approve"), **fields))[0], harness.state()) == (expected, "open")


@pytest.mark.parametrize("admin", [{"public_url": "https://rollback.example.com"}])
async def test_the_public_name_is_an_allowed_one(harness: ProposalsHarness) -> None:
    fields = {"Host": "rollback.example.com", "Origin": "https://rollback.example.com"}
    assert (await harness.press(harness.link("deny"), **fields))[0] == 200


async def test_a_form_is_checked(harness: ProposalsHarness) -> None:
    for name, form, fields, expected in (
        ("no name", "", {}, 400),
        ("a blank name", "actor=++", {}, 400),
        ("a long name", "actor=" + "x" * 65, {}, 400),
        ("a name of two lines", "actor=a%0Ab", {}, 400),
        ("a long reason", "actor=Ann&reason=" + "x" * 501, {}, 400),
        ("many fields", "&".join(f"f{number}=1" for number in range(20)), {}, 400),
        ("no text", b"actor=\xff", {}, 400),
        ("a large form", "actor=" + "x" * 9000, {}, 413),
        ("no form", "actor=Ann", {"Content-Type": "application/json"}, 415),
    ):
        status, page = await harness.press(harness.link("deny"), form, **fields)
        assert (name, status, harness.state(), "Not done" in page) == (name, expected, "open", True)


async def test_an_expired_link_says_so(harness: ProposalsHarness) -> None:
    links = [harness.link("approve"), harness.link("deny")]
    proposal = harness.addon.find(ID)[0]
    known = harness.control.service_controller.registry.proposals.known
    known[ID] = replace(proposal, deadline_ns=0)
    for link in links:
        for status, page in (await harness.call("GET", link), await harness.press(link)):
            assert (status, "has expired" in page) == (410, True)
    known[ID] = replace(proposal, deadline_ns=0, at_expiry="rollback", state="due")
    for link in links:
        for status, page in (await harness.call("GET", link), await harness.press(link)):
            assert (status, "this link has expired" in page) == (410, True)


@pytest.mark.parametrize("admin", [{"tokens": [token("ann", "operator")]}])
async def test_a_link_approves_no_promotion_where_people_are_told_apart(harness: ProposalsHarness) -> None:
    known = harness.control.service_controller.registry.proposals.known
    known[ID] = replace(known[ID], kind="promotion", version="v3", verb="promoted", opened_by="ann")
    registry = harness.control.service_controller.registry
    candidate = replace(registry.targets["v1"], version="v3", state=State.READY)
    registry._place({**registry.targets, "v3": candidate})
    for status, page in (
        await harness.call("GET", harness.link("approve")),
        await harness.press(harness.link("approve")),
    ):
        assert (status, golden("proposal.own_token") in page) == (403, True)
    assert (await harness.call("GET", harness.link("deny")))[0] == 200


async def test_a_promotion_that_needs_approval_is_accepted_and_waits(harness: ProposalsHarness) -> None:
    control = harness.control
    control.service_controller.machine.limits = replace(
        control.service_controller.machine.limits, proposals=ProposalRules(promote_needs_approval=True)
    )
    await control.operations.deploy(service="svc", version="v3", endpoints=["http://127.0.0.1:3"], actor="ann")
    control.probe("v3", times=5)
    async with harness.session.post(f"{harness.url}/v1/services/svc/promote", json={"version": "v3"}) as response:
        answer = await response.json()
    assert (response.status, answer["awaits"], answer["active"]) == (202, "svc-promotion-1", "v1")
    described = json.loads((await harness.call("GET", "/v1/openapi.json"))[1])["paths"]
    for verb, statuses in (("promote", ["200", "202", "default"]), ("rollback", ["200", "default"])):
        assert sorted(described[f"/v1/services/{{service}}/{verb}"]["post"]["responses"]) == statuses
    async with harness.session.post(f"{harness.url}/v1/proposals/svc-promotion-1/approve", json={}) as response:
        answer = await response.json()
    assert (response.status, answer["awaits"], answer["active"]) == (200, None, "v3")
