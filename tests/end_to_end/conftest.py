"""Starts routers for a test and checks their logs and counts at its end."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from tests.end_to_end.real_router import Router

StartRouter = Callable[..., Awaitable[Router]]


@pytest_asyncio.fixture
async def start_router(tmp_path: Path) -> AsyncIterator[StartRouter]:
    """Start routers with settings; at the end each that still runs is checked and stopped, and must leave with 0."""
    started: list[Router] = []

    async def start(
        settings: str, *, workers: int = 2, tls: ssl.SSLContext | None = None, **environment: str
    ) -> Router:
        folder = tmp_path / f"router{len(started)}"
        folder.mkdir()
        router = Router(folder, settings, workers, tls=tls)
        started.append(router)
        return await router.start(**environment)

    yield start
    try:
        for router in started:
            if router.process is not None and router.process.returncode is None:
                await router.check()
                assert await router.stop() == 0, router.log[-4000:]
            router.check_log()
    finally:
        for router in started:
            if router.process is not None and router.process.returncode is None:
                await router.kill()
            for process in router.successors:
                if process.returncode is None:  # its children leave by themselves
                    process.kill()
                    await process.wait()
