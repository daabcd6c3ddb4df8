"""An admin on loopback over a fake controller, with a client; and a control loop on a segment whose workers acknowledge."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from router.control.admin import app
from router.control.admin.events import EventStreams
from router.control.admin.operation import Dispatcher, Operation
from router.settings.sections.admin import Admin, Token
from router.settings.settings import Settings
from tests.control import answer_check, fake_control
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.fake_control import FakeControl


@pytest.fixture(autouse=True)
def answers_as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare each answer that a test gets from a real control with its schema."""
    monkeypatch.setattr(Dispatcher, "handler", answer_check.checking(Dispatcher.handler))


class AdminHarness:
    """A running admin before a fake control. `call` sends one request; returns (status, header fields, JSON or text)."""

    def __init__(self, fake: FakeControl, application: web.Application, url: str) -> None:
        self.fake = fake
        self.application = application
        self.url = url
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

    async def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, **how: Any
    ) -> tuple[int, Any, Any]:
        async with self.session.request(method, self.url + path, headers=headers, **how) as response:
            is_json = response.content_type in ("application/json", "application/problem+json")
            return (
                response.status,
                response.headers,
                await (response.json(content_type=None) if is_json else response.text()),
            )

    async def refused(self, method: str, path: str, **how: Any) -> tuple[int, str]:
        """Return (status, code) of what must be a whole problem document."""
        status, headers, problem = await self.call(method, path, **how)
        assert headers["Content-Type"] == "application/problem+json", problem
        assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
        assert (problem["status"], problem["request_id"]) == (status, headers["X-Request-ID"])
        return status, problem["code"]


StartAdmin = Callable[..., Awaitable[AdminHarness]]


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    """Serve an admin on loopback; give its URL."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    runner = await app.serve(application, sock)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def start_admin() -> AsyncIterator[StartAdmin]:
    """Start an admin with these settings; stopped at the end of the test."""
    async with AsyncExitStack() as stack:

        async def start(
            admin: Admin | None = None,
            listen: str = "127.0.0.1:8081",
            streams: EventStreams | None = None,
            further: Sequence[Operation] = (),
        ) -> AdminHarness:
            fake = FakeControl()
            stack.callback(fake.close)
            settings = Settings.model_validate({"admin": admin or Admin(), "admin_listen": listen})
            application = fake_control.application(fake, settings, further, streams)
            harness = AdminHarness(fake, application, await stack.enter_async_context(serving(application)))
            stack.push_async_callback(harness.session.close)
            return harness

        yield start


@pytest.fixture
async def admin(start_admin: StartAdmin) -> AdminHarness:
    return await start_admin()


def token(name: str, role: str) -> Token:
    """A token whose secret is `NAME-secret`."""
    return Token.model_validate(
        {"name": name, "role": role, "sha256": hashlib.sha256(f"{name}-secret".encode()).hexdigest()}
    )


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[ControlHarness]:
    segment = new_segment()
    workers = FakeWorkers(segment)
    made = await ControlHarness(settings(tmp_path), segment, workers, tmp_path).begin()
    yield made
    await made.end()
    workers.close()
    segment.close()
