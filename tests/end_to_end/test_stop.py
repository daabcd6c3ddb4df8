"""SIGTERM under load: readiness first, then the port, then requests in flight; every accepted request is answered."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import service_settings, until
from tests.end_to_end.steady import Steady

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(60)]


async def test_a_stop_loses_no_request_and_resets_no_connection(start_router: StartRouter) -> None:
    async with Backend(backends.slow(0.01)) as backend:
        settings = service_settings(backend.url, more="[timeouts]\nshutdown_delay_s = 0.6\n")
        router = await start_router(settings, workers=2)
        assert router.process is not None

        async def not_ready() -> bool:
            async with aiohttp.ClientSession() as session, session.get(router.url + "/-/ready") as response:
                return response.status == 503

        async with Steady(router.data_port, keeping=20, new=10, pause_s=0.05) as clients:
            await clients.more(100)
            router.process.send_signal(signal.SIGTERM)
            await until(not_ready, 0.4, "a worker says that it is not ready, over a new connection", every_s=0.02)
            before = clients.answered
            assert (clients.refused, clients.announced) == (0, 0)
            await asyncio.wait_for(router.process.wait(), 15)
        assert clients.lost == {}
        assert clients.answered > before + 20, "it served on while it said that it was not ready"
        assert clients.announced == 20, "each kept connection got an answer with Connection: close"
        assert clients.refused > 0
        assert router.process.returncode == 0
