"""The routes of drills: the calls of the add-on, and what they refuse."""

from __future__ import annotations

from typing import Any, cast

import pytest

from router.control.drills import routes as drill_routes
from router.control.drills.addon import DrillsAddon
from router.errors import Refusal
from router.errors.codes import RefusalCode
from tests.control.conftest import AdminHarness, StartAdmin

FIELDS = {"Content-Type": "application/json"}


class FakeDrills:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    async def drill(self, **how: Any) -> dict[str, Any]:
        if how["service"] != "fraud":
            raise Refusal(RefusalCode.DRILL_UNSAFE, "cold", facts={"refusals": [{"code": "x", "detail": "y"}]})
        self.calls.append(("drill", how))
        return {"drill": "fraud-drill-1"}

    def stop(self, service: str, actor: str) -> dict[str, Any]:
        self.calls.append(("stop", (service, actor)))
        return {"drill": "fraud-drill-1"}

    def listing(self, service: str | None) -> dict[str, Any]:
        return {"drills": [], "services": {}, "asked": service}

    def show(self, drill: str) -> dict[str, Any]:
        return {"drill": drill}


@pytest.fixture
async def places(start_admin: StartAdmin) -> tuple[AdminHarness, FakeDrills]:
    fake = FakeDrills()
    return await start_admin(further=drill_routes.operations(cast(DrillsAddon, fake))), fake


async def test_a_drill_is_asked_for_with_its_terms(places: tuple[AdminHarness, FakeDrills]) -> None:
    admin, fake = places
    body = {"hold_s": 5, "force": True, "reason": "Tuesday", "actor": "ann"}
    status, _, document = await admin.call("POST", "/v1/services/fraud/drill", json=body)
    assert (status, document) == (202, {"drill": "fraud-drill-1"})
    await admin.call("POST", "/v1/services/fraud/drill?dry_run=true", json={"shadow": True})
    assert fake.calls == [
        (
            "drill",
            {
                "service": "fraud", "mode": "real", "hold_s": 5.0, "force": True, "actor": "ann", "reason": "Tuesday",
                "dry_run": False,
            },
        ),
        (
            "drill",
            {
                "service": "fraud", "mode": "shadow", "hold_s": None, "force": False, "actor": "local", "reason": "",
                "dry_run": True,
            },
        ),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"hold_s": 0}, id="no hold"),
        pytest.param({"hold_s": 301}, id="too long"),
        pytest.param({"reason": "a\nb"}, id="a line break"),
        pytest.param({"quarantine": True}, id="unknown member"),
    ],
)
async def test_bad_terms_are_refused(places: tuple[AdminHarness, FakeDrills], body: dict[str, Any]) -> None:
    admin, fake = places
    assert await admin.refused("POST", "/v1/services/fraud/drill", json=body) == (400, "request_invalid")
    assert fake.calls == []


async def test_a_refusal_carries_its_reasons(places: tuple[AdminHarness, FakeDrills]) -> None:
    status, _, problem = await places[0].call("POST", "/v1/services/other/drill", json={})
    assert (status, problem["refusals"]) == (409, [{"code": "x", "detail": "y"}])


async def test_stop_list_and_show(places: tuple[AdminHarness, FakeDrills]) -> None:
    admin, fake = places
    assert (await admin.call("POST", "/v1/services/fraud/drill/stop", json={"actor": "bob"}))[0] == 200
    assert fake.calls == [("stop", ("fraud", "bob"))]
    assert (await admin.call("GET", "/v1/drills?service=fraud"))[2]["asked"] == "fraud"
    assert (await admin.call("GET", "/v1/drills/fraud-drill-1"))[2] == {"drill": "fraud-drill-1"}
