"""Every operation of the API that answers with JSON is called on a real control, and its answer has the described members.

The fixture `answers_as_described` compares each answer with its schema. Here every operation is called at least once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from docs.generate import http_api_page
from router.control.admin import app, openapi
from router.control.admin.operation import Operation
from router.control.wiring import AddonDeps, add_addons
from tests.control import answer_check
from tests.control.conftest import serving
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings

TOKEN: Final = "a-token-of-alertmanager"
ELSEWHERE: Final = {
    "startDrill": "drill_harness.py compares every drill that a test starts",
    "stopDrill": "test_drills: it answers with the drill, as getDrill",
    "getDrill": "drills/test_addon.py",
    "approveProposal": "proposals/test_routes.py",
}
CASE: Final = {"request": {"method": "POST", "target": "/score", "body": "{}"}, "expect": {"status": "2xx"}}
ALERT: Final = {"id": "drift-1", "kind": "quality", "service": "svc", "summary": "far off"}


class CalledApi:
    """The whole admin of a router, on loopback. `called`: the operations that have answered with success."""

    def __init__(self, control: ControlHarness, operations: tuple[Operation, ...], url: str, session: Any) -> None:
        self.control = control
        self.operations = {operation.name: operation for operation in operations}
        self.url = url
        self.session = session
        self.called: set[str] = set()

    async def call(self, name: str, body: Any = None, query: str = "", token: str = "", **parameters: str) -> Any:
        """Call an operation by its name; return its document, which must be a success and fit its schema."""
        operation = self.operations[name]
        path = openapi.template(operation.path).format(**{"service": "svc", **parameters})
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None or operation.body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None and operation.body is None else json.dumps(body or {}).encode()
        async with self.session.request(
            operation.method, f"{self.url}{path}{query}", data=content, headers=headers
        ) as response:
            document = await response.json(content_type=None)
        assert response.status < 300, (name, document)
        assert answer_check.problems(operation, document) == []
        self.called.add(name)
        return document


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[CalledApi]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    plain = settings(tmp_path, promote_needs="approval").model_dump()
    token = {"name": "am", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}
    plain["alerts"] = {"tokens": [token], "map": [{"kind": "quality", "matchers": {"signal": "quality"}}]}
    plain["notify"] = [{"name": "nowhere", "kind": "webhook", "url": "http://127.0.0.1:1/hook"}]
    configured = type(settings(tmp_path)).model_validate(plain)
    control = await ControlHarness(configured, segment, workers, tmp_path).begin()
    further = add_addons(AddonDeps(control.core, configured, tmp_path))
    application = app.build(control.queries, control.operations, configured, further)
    async with serving(application) as url, aiohttp.ClientSession() as session:
        yield CalledApi(control, application[app.OPERATIONS], url, session)
    for addon in control.control_loop.addons:
        await addon.close()
    await control.end()
    workers.close()
    segment.close()


async def test_every_answer_is_as_described(api: CalledApi) -> None:
    await _route(api)
    await _versions(api)
    await _cases(api)
    await _incidents(api)
    await _the_rest(api)
    with_json = {name for name, operation in api.operations.items() if operation.answer is not None}
    assert with_json - api.called == set(ELSEWHERE)


async def _route(api: CalledApi) -> None:
    """Change the route in every way but a rollback."""
    await api.call("freezeAutomation", {"reason": "a test"})
    assert (await api.call("getStatus"))["services"]["svc"]["frozen"]["reason"] == "a test"
    await api.call("unfreezeAutomation")
    assert (await api.call("getSettings"))["settings"]["services"]["svc"]["path_prefix"] == "/"
    await api.call("deployVersion", {"version": "v3", "endpoints": ["http://127.0.0.1:3"]})
    api.control.probe("v3", times=5)
    proposal = (await api.call("promoteVersion", {"version": "v3"}))["awaits"]
    await api.call("getProposal", proposal=proposal)
    await api.call("denyProposal", {"reason": "not yet"}, proposal=proposal)
    await api.call("listProposals")
    await api.call("retireVersion", {"version": "v3"})
    await api.call("switchVersion", {"to": "v1"})


async def _versions(api: CalledApi) -> None:
    """Register, place, block and release a version, and read what is known of it."""
    await api.call("registerVersion", {"version": "v9", "endpoints": ["http://127.0.0.1:9"], "artifact": "s3://m/9"})
    await api.call("setEndpoints", {"endpoints": ["http://127.0.0.1:10"]}, version="v9")
    await api.call("quarantineVersion", {"reason": "a test"}, version="v9")
    await api.call("releaseVersion", {"reason": "a test", "expires_after_s": 60.0}, version="v9")
    assert (await api.call("getVersion", version="v9"))["lifted"]["reason"] == "a test"
    for name in ("listVersions", "listActivePeriods", "getRetention"):
        await api.call(name)
    await api.call("setCriterion", {"metric": "fault_share", "limit": 0.01, "reason": "a test"})
    assert len((await api.call("getAcceptance"))["added"]) == 1
    await api.call("removeCriterion", {"reason": "a test"}, metric="fault_share")


async def _cases(api: CalledApi) -> None:
    """Add a case, check it against a version that does not answer, and remove it."""
    (case,) = (await api.call("addCases", {"cases": [CASE]}))["added"]
    assert (await api.call("getCase", query="?full=true", case=case))["request"]["body"] == "{}"
    await api.call("listCases")
    check = (await api.call("startCheck", {"version": "v1"}))["id"]
    await api.call("getCheck", check=check)
    await api.call("cancelCheck", check=check)
    await api.call("listChecks")
    await api.call("removeCase", case=case)


async def _incidents(api: CalledApi) -> None:
    """Roll back, and review what has happened."""
    api.control.probe("v2", times=3)
    incident = (await api.call("rollBackService", {"reason": "a test"}))["incident"]
    await api.control.until_idle()
    action = {"what": "test it", "kind": "preventive"}
    edit = {"status": "reviewed", "owner": "ann", "root_cause": "a test", "add_actions": [action], "comment": "done"}
    await api.call("editIncident", edit, incident=incident)
    assert (await api.call("getIncident", incident=incident))["review"]["actions"][0]["what"] == "test it"
    assert (await api.call("listIncidents"))["incidents"][0]["owner"] == "ann"
    await api.call("getService")


async def _the_rest(api: CalledApi) -> None:
    await api.call("receiveAlert", ALERT, token=TOKEN)
    await api.call("receiveAlertmanager", {"version": "4", "alerts": [_alertmanager()]}, token=TOKEN)
    await api.call("receivePrometheus", [_alertmanager()], token=TOKEN)
    assert len((await api.call("listAlerts"))["alerts"]) == 2
    await api.call("testChannels")
    await api.call("relearnInputs", {"reason": "a test"})
    for name in ("getReport", "getHistory", "getAdvice", "listDrills", "listChannels", "listJournal", "explainService"):
        await api.call(name)
    for index in range(2):
        api.control.workers.live(index)  # they have a heartbeat now
    await api.call("beginSession", {"token": "x"})
    for name in ("checkLiveness", "checkReadiness", "describeApi", "getSession", "endSession"):
        await api.call(name)


def _alertmanager() -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "drift", "signal": "quality", "service": "svc"},
        "annotations": {"summary": "far off"},
        "startsAt": "2026-11-29T10:00:00Z",
        "fingerprint": "abc",
    }


async def test_the_reference_has_every_operation(api: CalledApi) -> None:
    assert {operation.name for operation in http_api_page.operations()} == set(api.operations)


async def test_a_missing_and_an_unknown_member_are_found(api: CalledApi) -> None:
    operation = api.operations["getStatus"]
    document = await api.call("getStatus")
    del document["services"]["svc"]["way_back"]
    document["workers"][0]["mood"] = "fine"
    found = " ".join(answer_check.problems(operation, document))
    assert "way_back" in found
    assert "mood" in found


async def test_the_names_of_operations_are_unique_words(api: CalledApi) -> None:
    names = [operation.name for operation in api.operations.values()]
    document = await api.call("describeApi")
    described = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert sorted(described) == sorted(names)
    assert [name for name in names if not (name[0].islower() and name.isalpha())] == []
