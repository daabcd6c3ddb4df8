from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from router.control.admin import app
from router.control.history.routes import operations
from router.settings.settings import Settings
from tests.control.conftest import serving
from tests.control.fake_control import FakeControl

Ask = Callable[[str], Awaitable[tuple[int, Any]]]


class Recorded:
    """Answers with what it was asked."""

    async def report(self, *calls: object) -> dict[str, Any]:
        return {"report": calls}

    async def advise(self, *calls: object) -> dict[str, Any]:
        return {"advise": calls}

    async def points(self, *calls: object) -> dict[str, Any]:
        return {"points": calls}


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    control_loop = FakeControl()
    application = app.build(control_loop, control_loop, Settings(), operations(Recorded(), Recorded(), Recorded()))
    async with serving(application) as url, aiohttp.ClientSession(url) as session:

        async def get(path: str) -> tuple[int, Any]:
            async with session.get(f"/v1/services/svc/{path}") as response:
                return response.status, await response.json(content_type=None)

        yield get
    control_loop.close()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("report", {"report": ["svc", "30d", ""]}),
        ("report?since=2026-11-01&until=1d", {"report": ["svc", "2026-11-01", "1d"]}),
        ("advise", {"advise": ["svc", 30.0, 1.0]}),
        ("advise?days=7&false_alarms_per_month=0.5", {"advise": ["svc", 7.0, 0.5]}),
        ("history", {"points": ["svc", "1h", "", None, None]}),
        ("history?since=5m&step_s=1", {"points": ["svc", "5m", "", 1.0, None]}),
        ("history?since=7d&until=1d&step_s=60&version=fraud-v7", {"points": ["svc", "7d", "1d", 60.0, "fraud-v7"]}),
    ],
)
async def test_what_is_asked_reaches_the_office(ask: Ask, path: str, answer: dict[str, Any]) -> None:
    assert await ask(path) == (200, answer)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("report?from=1d", "request_invalid"),
        (f"report?since={'9' * 41}", "request_invalid"),
        ("advise?days=0", "request_invalid"),
        ("history?step_s=0.5", "request_invalid"),
        ("history?step_s=x", "request_invalid"),
        ("history?version=%20", "version_invalid"),
    ],
)
async def test_other_questions_are_refused(ask: Ask, path: str, code: str) -> None:
    status, problem = await ask(path)
    assert (status, problem["code"]) == (400, code)
