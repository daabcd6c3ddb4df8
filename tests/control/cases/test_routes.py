"""The routes of cases through a whole admin: what is asked for, by whom, and what is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.cases import routes as case_routes
from router.rollout.cases.case import Case, Request
from router.settings.sections.admin import Admin
from router.settings.settings import Settings
from tests.control.cases.case_examples import written_case
from tests.control.cases.conftest import CasesHarness
from tests.control.cases.model_server import model_server
from tests.control.conftest import serving, token
from tests.texts import golden

ID = Case(Request("POST", "/score", body='{"x": 1}')).id
PATH = "/v1/services/svc/cases"
Ask = Callable[..., Any]


@pytest.fixture
async def harness(start_harness: Callable[..., Any]) -> CasesHarness:
    made: CasesHarness = await start_harness()
    return made


@pytest.fixture
async def ask(harness: CasesHarness) -> AsyncIterator[Ask]:
    """Ask as a viewer or an operator; returns (status, document)."""
    tokens = [token("vera", "viewer"), token("olga", "operator")]
    settings = Settings.model_validate({"admin": Admin(tokens=tokens)})
    application = app.build(
        harness.control.queries, harness.operations, settings, case_routes.operations(harness.case_operations)
    )  # type: ignore[arg-type]
    async with serving(application) as url, aiohttp.ClientSession(url) as session:

        async def ask(method: str, path: str, body: Any = None, who: str = "olga") -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {who}-secret"}
            async with session.request(method, path, json=body, headers=headers) as response:
                return response.status, await response.json(content_type=None)

        yield ask


async def test_a_case_from_its_first_to_its_last_day(ask: Ask) -> None:
    assert (await ask("POST", f"{PATH}?dry_run=true", {"cases": [written_case()]}))[1]["added"] == [ID]
    assert await ask("GET", PATH) == (200, {"service": "svc", "cases": [], "rollbacks": []})
    status, document = await ask("POST", PATH, {"cases": [written_case()]})
    assert (status, document["added"]) == (200, [ID])
    assert (await ask("GET", f"{PATH}/{ID}"))[1]["by"] == "olga"
    assert await ask("DELETE", f"{PATH}/{ID}", {}) == (200, {"service": "svc", "removed": [ID]})
    assert (await ask("GET", f"{PATH}/{ID}"))[0] == 404


async def test_what_clients_have_sent_is_for_operators(ask: Ask) -> None:
    await ask("POST", PATH, {"cases": [written_case()]})
    for path in (PATH, f"{PATH}/{ID}"):
        assert "body" not in str(await ask("GET", path, who="vera"))
        assert (await ask("GET", f"{path}?full=true", who="vera"))[0] == 403
        assert '{"x": 1}' in str(await ask("GET", f"{path}?full=true"))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PATH, {"cases": [written_case()]}),
        ("DELETE", f"{PATH}/{ID}", {}),
        ("POST", "/v1/services/svc/check", {"version": "v1"}),
        ("DELETE", "/v1/services/svc/checks/1-1", {}),
    ],
)
async def test_changes_are_for_operators(ask: Ask, method: str, path: str, body: Any) -> None:
    assert (await ask(method, path, body, who="vera"))[0] == 403


async def test_a_check_with_its_progress_and_its_end(harness: CasesHarness, ask: Ask) -> None:
    async with model_server(lambda body: (500, b"")) as server:
        await harness.candidate(server.url)
        await ask("POST", PATH, {"cases": [written_case()]})
        status, begun = await ask(
            "POST", "/v1/services/svc/check", {"version": "v3", "cases": [ID], "replay_all": True}
        )
        assert (status, begun["state"]) == (202, "running")
        path = f"/v1/services/svc/checks/{begun['id']}"
        await harness.until(lambda: harness.case_operations.check_named("svc", begun["id"])["state"] != "running")
        assert (await ask("GET", path, who="vera"))[1]["results"][0]["problems"] == ["status 500, expected below 500"]
        assert (await ask("DELETE", path, {}))[1]["state"] == "failing", "it had ended"
        assert [check["id"] for check in (await ask("GET", "/v1/services/svc/checks"))[1]["checks"]] == [begun["id"]]


async def test_what_differs_in_an_answer_is_for_operators(harness: CasesHarness, ask: Ask) -> None:
    async with model_server(lambda body: (200, b'{"name": "Ann"}')) as server:
        await harness.candidate(server.url)
        await ask("POST", PATH, {"cases": [written_case(body='{"name": "Bob"}', equal=True)]})
        _, begun = await ask("POST", "/v1/services/svc/check", {"version": "v3", "replay_all": True})
        path = f"/v1/services/svc/checks/{begun['id']}"
        await harness.until(lambda: harness.case_operations.check_named("svc", begun["id"])["state"] != "running")
        shown = {who: (await ask("GET", path, who=who))[1]["results"][0]["problems"] for who in ("olga", "vera")}
        (document,) = shown["olga"]
        assert document.endswith('name: "Ann", recorded "Bob"')
        assert shown["vera"] == [golden("cases.differs")]


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        pytest.param(PATH, {"cases": []}, "request_invalid", id="none"),
        pytest.param(PATH, {"cases": [1]}, "request_invalid", id="no object"),
        pytest.param(PATH, {"cases": [written_case() | {"x": 1}]}, "case_invalid", id="unknown member"),
        pytest.param(PATH, {"cases": [written_case() | {"at": 10**30}]}, "case_invalid", id="more than 64 bits"),
        pytest.param("/v1/services/svc/check", {"version": "v1", "cases": ["../etc"]}, "request_invalid", id="no id"),
        pytest.param("/v1/services/svc/check", {"version": "v 1"}, "version_invalid", id="no label"),
    ],
)
async def test_a_body_that_is_none_is_refused(ask: Ask, path: str, body: Any, code: str) -> None:
    status, problem = await ask("POST", path, body)
    assert (status, problem["code"]) == (400, code)
