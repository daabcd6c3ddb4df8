"""The routes of acceptance: the calls of the add-on, and what they refuse."""

from __future__ import annotations

from typing import Any, cast

import pytest

from router.control.acceptance import routes as acceptance_routes
from router.control.acceptance.addon import AcceptanceAddon
from tests.control.conftest import AdminHarness, StartAdmin

PATH = "/v1/services/fraud/acceptance"


class FakeAcceptances:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def show(self, service: str) -> dict[str, Any]:
        return {"service": service}

    async def set(self, **how: Any) -> dict[str, Any]:
        self.calls.append(("set", how))
        return {}

    async def remove(self, **how: Any) -> dict[str, Any]:
        self.calls.append(("remove", how))
        return {}


@pytest.fixture
async def places(start_admin: StartAdmin) -> tuple[AdminHarness, FakeAcceptances]:
    fake = FakeAcceptances()
    return await start_admin(further=acceptance_routes.operations(cast(AcceptanceAddon, fake))), fake


async def test_show_set_and_remove(places: tuple[AdminHarness, FakeAcceptances]) -> None:
    admin, fake = places
    assert (await admin.call("GET", PATH))[2] == {"service": "fraud"}
    body = {"metric": "fault_share", "limit": 0.005, "reason": "seen before", "actor": "ann"}
    assert (await admin.call("PUT", f"{PATH}?dry_run=true", json=body))[0] == 200
    assert (await admin.call("DELETE", f"{PATH}/fault_share", json={"reason": "no more"}))[0] == 200
    arguments = {"service": "fraud", "metric": "fault_share"}
    assert fake.calls == [
        ("set", {**arguments, "limit": 0.005, "actor": "ann", "reason": "seen before", "dry_run": True}),
        ("remove", {**arguments, "actor": "local", "reason": "no more", "dry_run": False}),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PUT", PATH, b'{"metric": "fault_share", "limit": 0.1}', id="no reason"),
        pytest.param("PUT", PATH, b'{"metric": "a b", "limit": 0.1, "reason": "x"}', id="no name of a metric"),
        pytest.param("PUT", PATH, b'{"metric": "fault_share", "limit": NaN, "reason": "x"}', id="not a number"),
        pytest.param("PUT", PATH, b'{"metric": "fault_share", "limit": 1e999, "reason": "x"}', id="infinite"),
        pytest.param("DELETE", f"{PATH}/fault_share", b"{}", id="no reason to remove"),
    ],
)
async def test_bad_bodies_are_refused(
    places: tuple[AdminHarness, FakeAcceptances], method: str, path: str, body: bytes
) -> None:
    admin, fake = places
    headers = {"Content-Type": "application/json"}
    assert await admin.refused(method, path, data=body, headers=headers) == (400, "request_invalid")
    assert fake.calls == []
