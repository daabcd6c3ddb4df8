"""The routes of the incidents, on an application of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from router.control.admin import app
from router.control.incidents import rendering
from router.control.incidents import routes as incident_routes
from router.control.incidents.document import document
from router.errors import Refusal
from router.errors.codes import RefusalCode
from router.settings.settings import Settings
from tests.control.fake_control import FakeControl
from tests.control.incidents.played_incident import INCIDENT, Played

PATH = f"/v1/incidents/{INCIDENT}"
JSON = {"Content-Type": "application/json"}


class OneIncident:
    """Knows one incident; remembers what it was asked to edit."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.made = made
        self.edits: list[tuple[Any, ...]] = []

    async def listing(self, service: str | None = None) -> dict[str, Any]:
        return {"incidents": [{"id": INCIDENT}]}

    async def document(self, incident: str) -> dict[str, Any]:
        if incident != INCIDENT:
            raise Refusal(RefusalCode.INCIDENT_UNKNOWN, f"there is no incident {incident!r}")
        return self.made

    async def edit(self, incident: str, edit: dict[str, Any], actor: str, revision: int | None) -> dict[str, Any]:
        edit.pop("edit")
        self.edits.append((incident, edit, actor, revision))
        return {**self.made, "revision": 8}


@pytest.fixture
async def admin() -> AsyncIterator[tuple[TestClient[Any, Any], OneIncident]]:
    addon = OneIncident({**document(Played(before_s=5, fail_s=2, after_s=6).sources()), "revision": 7})
    control_loop = FakeControl()
    application = app.build(control_loop, control_loop, Settings.model_validate({}), incident_routes.operations(addon))  # type: ignore[arg-type]
    async with TestClient(TestServer(application)) as client:
        yield client, addon
    control_loop.close()


async def test_every_form_has_its_type(admin: tuple[TestClient[Any, Any], OneIncident]) -> None:
    client, _ = admin
    for suffix, media_type, start in (
        ("", "application/json", "{"),
        (".md", "text/markdown", "# fraud-v8"),
        (".html", "text/html", "<!doctype html>"),
        (".svg", "image/svg+xml", "<svg"),
    ):
        response = await client.get(PATH + suffix)
        text = await response.text()
        assert (response.status, response.content_type, text[: len(start)]) == (200, media_type, start)
    listed = await (await client.get("/v1/incidents")).json()
    assert listed == {"incidents": [{"id": INCIDENT}]}


async def test_the_page_may_have_its_style_and_nothing_else(admin: tuple[TestClient[Any, Any], OneIncident]) -> None:
    client, _ = admin
    page = await client.get(f"{PATH}.html")
    assert page.headers["Content-Security-Policy"] == f"{rendering.policy()}; frame-ancestors 'none'"
    plain = await client.get(PATH)
    assert plain.headers["Content-Security-Policy"] == (
        "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


async def test_the_etag_is_the_revision(admin: tuple[TestClient[Any, Any], OneIncident]) -> None:
    client, addon = admin
    assert (await client.get(PATH)).headers["ETag"] == '"7"'
    response = await client.patch(PATH, json={"owner": "ann", "actor": "bob"}, headers={"If-Match": '"7"'})
    assert (response.status, response.headers["ETag"]) == (200, '"8"')
    await client.patch(PATH, json={"comment": "hm"})
    assert addon.edits == [
        (INCIDENT, {"set": {"owner": "ann"}}, "bob", 7),
        (INCIDENT, {"comment": "hm"}, addon.edits[1][2], None),
    ]


async def test_actions_are_whole(admin: tuple[TestClient[Any, Any], OneIncident]) -> None:
    client, addon = admin
    body = {
        "add_actions": [{"what": "a test", "due": "2026-12-31"}],
        "change_actions": [{"id": "a1", "state": "done"}],
        "root_cause": "one\ntwo",
    }
    assert (await client.patch(PATH, json=body)).status == 200
    assert addon.edits[0][1] == {
        "set": {"root_cause": "one\ntwo"},
        "add_actions": [{"what": "a test", "kind": "corrective", "owner": None, "due": "2026-12-31"}],
        "change_actions": [{"id": "a1", "state": "done"}],
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "the body changes nothing"),
        ({"actor": "ann"}, "the body changes nothing"),
        ({"root_cause": "a\x1b[2J"}, "body.root_cause: holds a control character"),
        ({"root_cause": "x" * 4001}, "body.root_cause: String should have at most 4000 characters"),
        ({"status": "done"}, "body.status: Input should be 'open', 'reviewed' or 'closed'"),
        ({"severity": 1}, "body.severity: Input should be 'sev1', 'sev2', 'sev3' or 'sev4'"),
        ({"add_actions": [{"what": "x", "due": "soon"}]}, "body.add_actions.0.due: 'soon' is not a date"),
        ({"add_actions": [{"what": "x"}] * 21}, "body.add_actions: List should have at most 20 items"),
        ({"change_actions": [{"id": "../a1"}]}, "body.change_actions.0.id: String should match pattern"),
        ({"reason": "x"}, "body.reason: there is no such member"),
    ],
)
async def test_a_bad_edit_is_refused_and_names_its_place(
    admin: tuple[TestClient[Any, Any], OneIncident], body: dict[str, Any], expected: str
) -> None:
    client, addon = admin
    response = await client.patch(PATH, json=body)
    problem = await response.json()
    assert (response.status, problem["code"]) == (400, "request_invalid")
    assert problem["detail"].startswith(expected)
    assert addon.edits == []


async def test_what_is_not_there(admin: tuple[TestClient[Any, Any], OneIncident]) -> None:
    client, addon = admin
    for path in ("x", "x.html", "x.md", "%2e%2e%2fjournal", "a/b"):
        response = await client.get(f"/v1/incidents/{path}")
        assert (response.status, (await response.json())["code"][-7:]) == (404, "unknown")
    addon.made = {**addon.made, "windows": None}
    assert (await (await client.get(f"{PATH}.svg")).json())["code"] == "windows_unknown"
