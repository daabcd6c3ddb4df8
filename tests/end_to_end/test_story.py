"""The whole way: an alert about money, an approval by a link, the incident, its cases, a better successor."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.backends import Backend
from tests.control.receiver import Receiver, receiving
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, until
from tests.end_to_end.test_cases import POISONED, command, scorer, send
from tests.end_to_end.test_proposals import came_back, pressed
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]

TOKEN = "alertmanager-token"
GOOD = b'{"amount":1}'


def settings(active: str, receiver: Receiver) -> str:
    return f"""[[notify]]
name = "on-call"
kind = "webhook"
url = "{receiver.url}"
events = ["rollback", "proposal", "alert", "switch"]
[alerts]
tokens = [{{ name = "alertmanager", sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}" }}]
[[alerts.map]]
kind = "business"
matchers = {{ signal = "business" }}
service = "{SERVICE}"
""" + service_settings(
        active,
        more=f"""replay = "always"
rescue_on = ["connect", "timeout", "broken"]
[services.{SERVICE}.objective]
availability = 0.99
[services.{SERVICE}.cases]
bodies = true
[services.{SERVICE}.acceptance]
after_s = 1.0
requests_min = 20
cases = "required"
""",
    )


async def alerted(router: Router, began: datetime) -> None:
    """Send the alert of business intelligence as Alertmanager does: twice, because Alertmanager repeats it."""
    alert = {
        "status": "firing",
        "labels": {"alertname": "RefundsHigh", "signal": "business"},
        "annotations": {"summary": "refunds are 40 % up"},
        "startsAt": began.isoformat(),
        "fingerprint": "a1",
    }
    body = {"version": "4", "status": "firing", "receiver": "router", "alerts": [alert]}
    fields = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(2):
        await router.call("POST", "/v1/hooks/alertmanager", body, **fields)


async def notice(receiver: Receiver, kind: str) -> dict[str, Any]:
    async def come() -> dict[str, Any] | None:
        found = [event for event in receiver.events() if event["type"].endswith(f".{kind}")]
        return found[0] if found else None

    found: dict[str, Any] = await until(come, 10, f"a notice of kind {kind} comes")
    return found


async def struck(router: Router) -> None:
    """kill -9 control; return once its successor answers."""
    control = (await router.status())["control"]["pid"]
    await router.kill([control])
    await came_back(router, control)


async def approved_by(router: Router, link: str) -> str:
    """Press the button until it is taken: the new control has to probe the standby three times first."""

    async def taken() -> str | None:
        status, page = await pressed(router, link.removeprefix(router.admin_url))
        return page if status == 200 else None

    page: str = await until(taken, 10, "the approval is taken")
    return page


async def complete_incident(router: Router, incident: str) -> dict[str, Any]:
    """Return the incident once it has all that comes within seconds."""

    async def recorded() -> dict[str, Any] | None:
        try:
            made = await router.call("GET", f"/v1/incidents/{incident}")
        except (aiohttp.ClientError, json.JSONDecodeError):
            return None  # control starts again
        kinds = {line["kind"] for line in made["timeline"]}
        return made if made["failures"]["items"] and "cases_frozen" in kinds else None

    made: dict[str, Any] = await until(recorded, 15, "the incident has its failing requests and cases")
    return made


async def failed_and_went_back(router: Router, receiver: Receiver) -> dict[str, Any]:
    """Play the first half, control being killed twice in it; return the incident."""
    began = datetime.now(UTC)
    assert await send(router, *[GOOD] * 10, *POISONED, *[GOOD] * 10) == [200] * 10 + [500] * 5 + [200] * 10
    await alerted(router, began)
    proposal = (await notice(receiver, "proposal"))["data"]
    assert (proposal["facts"]["alert"], proposal["facts"]["proposed"]) == ("RefundsHigh: refunds are 40 % up", "v1")
    await struck(router)
    assert (await router.service())["active"] == "v2", "nobody has decided yet"
    page = await approved_by(router, proposal["links"]["Approve"])
    await struck(router)
    assert golden("switch.rolled_back", version="v2", to="v1") in page
    assert (await router.service())["active"] == "v1"
    rollback = (await notice(receiver, "rollback"))["data"]
    assert (rollback["actor"], rollback["from"], rollback["to"]) == ("Ann (link)", "v2", "v1")
    return await complete_incident(router, rollback["incident"])


async def restarted(router: Router, incident: str) -> None:
    """Start the router anew, shared memory gone: nothing of all this is, and the story goes on in its order."""
    assert await router.stop() == 0
    await router.start()
    made = await router.call("GET", f"/v1/incidents/{incident}")
    assert len(made["failures"]["items"]) == 5
    assert (await router.call("GET", f"/v1/services/{SERVICE}/cases"))["cases"][4]["incident"] == incident
    added = (await router.call("GET", f"/v1/services/{SERVICE}/acceptance"))["added"]
    assert [(one["metric"], one["reason"]) for one in added] == [("fault_share", incident)]
    assert (await router.call("GET", f"/v1/proposals/{made['proposal']}"))["state"] == "approved"
    assert [alert["fate"] for alert in (await router.call("GET", "/v1/alerts"))["alerts"]] == ["counts"]
    second = (await router.verb("rollback", reason="a second look"))["incident"]

    async def timeline() -> list[str] | None:
        lines = (await router.call("GET", f"/v1/incidents/{second}"))["timeline"]
        texts = [line["text"] for line in lines]
        return texts if golden("timeline.second_look") in texts else None

    texts = await until(timeline, 5, "the second incident has its timeline")
    order = (
        "v4 was accepted",
        "the router was started (boot 2)",
        "decided: rollback from v4 to v1; v4 is quarantined: ",
    )
    places = [next(place for place, text in enumerate(texts) if text.startswith(what)) for what in order]
    assert places == sorted(places), texts


async def test_from_an_alert_to_a_better_version(start_router: StartRouter) -> None:
    async with (
        receiving() as receiver,
        Backend(scorer(fixed=True)) as old,
        Backend(scorer(fixed=False)) as bad,
        Backend(scorer(fixed=False)) as unfixed,
        Backend(scorer(fixed=True)) as fixed,
    ):
        router = await start_router(settings(old.url, receiver))
        await router.promote_new("v2", bad.url)
        await router.wait_ready("v1")
        incident = await failed_and_went_back(router, receiver)

        # The record says who, why, and at what it failed.
        texts = [(line["actor"], line["text"]) for line in incident["timeline"]]
        prefix = f"proposal {SERVICE}-rollback-1"
        for expected in (
            ("alertmanager", "business alert RefundsHigh firing (refunds are 40 % up), against v2"),
            ("alertmanager", f"{prefix}: roll back from v2 to v1? (alert RefundsHigh: refunds are 40 % up)"),
            ("Ann (link)", f"{prefix} was approved: refunds rise"),
            ("control", "5 regression cases were made of 5 failing requests of v2"),
        ):
            assert expected in texts, texts
        assert [(one["path"], one["status"]) for one in incident["failures"]["items"]] == [("/score", 500)] * 5
        assert (incident["impact"]["errors"], incident["impact"]["failed_max"]) == ({"server_error": 5}, 5)
        proposal = await router.call("GET", f"/v1/proposals/{incident['proposal']}")
        assert (proposal["state"], proposal["decided_by"]) == ("approved", "Ann (link)")
        assert [alert["fate"] for alert in (await router.call("GET", "/v1/alerts"))["alerts"]] == ["counts"]

        # What was learned: a criterion, and cases that the successor has to pass.
        learned = {"metric": "fault_share", "limit": 0.01, "reason": incident["id"], "actor": "ann"}
        await router.call("PUT", f"/v1/services/{SERVICE}/acceptance", learned)
        code, said = await command(router, "deploy", "v3", unfixed.url)
        assert (code, golden("cases.five_fail") in said) == (1, True), said
        with pytest.raises(RefusedError) as refused:
            await router.verb("promote", version="v3")
        assert refused.value.code == "cases_failing"
        with pytest.raises(RefusedError) as refused:
            await router.verb("deploy", version="v2", endpoints=[bad.url])
        assert refused.value.code == "version_quarantined"
        assert (await command(router, "deploy", "v4", "--replace", fixed.url))[0] == 0
        assert await command(router, "check", "v4") == (0, "5 of 5 cases pass, 0 fail\n")
        await router.verb("promote", version="v4")

        async def accepted() -> dict[str, Any] | None:
            await send(router, *[GOOD] * 10)
            acceptance = await router.call("GET", f"/v1/services/{SERVICE}/acceptance")
            return acceptance if acceptance["accepted"] else None

        acceptance = await until(accepted, 10, "v4 is accepted")
        assert (acceptance["active"], [added["metric"] for added in acceptance["added"]]) == ("v4", ["fault_share"])
        [entry] = [entry for entry in await router.journal("accepted") if entry["data"]["version"] == "v4"]
        assert entry["actor"] == "control"

        # And what it all was good for.
        code, said = await command(router, "report", "--since", "1h", "--json")
        assert code == 0, said
        [report] = json.loads(said)["reports"]
        assert report["rollbacks"] == {"automatic": 0, "manual": 1, "incidents": [incident["id"]]}
        assert (report["change_failures"]["failed"], report["change_failures"]["deployments"]) == (1, 2)
        kinds = [event["type"].rpartition(".")[2] for event in receiver.events()]
        assert kinds.count("rollback") == 1, "once, although control was killed around it"
        assert (kinds.count("alert"), kinds.count("switch")) == (1, 2)
        assert [alarm["code"] for alarm in (await router.status())["alarms"]] == []
        await restarted(router, incident["id"])
