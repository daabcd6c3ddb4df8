"""Learning anew what is good, over HTTP."""

from __future__ import annotations

import socket

import aiohttp

from router.control.admin import app
from router.control.quality import routes as quality_routes
from router.control.quality.addon import QualityAddon
from tests.control.control_harness import ControlHarness


async def test_learning_anew_is_journalled_with_its_actor(control: ControlHarness) -> None:
    addon = QualityAddon(control.control_loop, control.settings, ())
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1/services"
    runner = await app.serve(
        app.build(control.queries, control.operations, control.settings, quality_routes.operations(addon)), sock
    )
    try:
        async with aiohttp.ClientSession() as session:
            for service, status in (("svc", 200), ("other", 404)):
                body = {"reason": "a new market", "actor": "ann"}
                async with session.post(f"{url}/{service}/inputs/relearn", json=body) as answer:
                    assert answer.status == status
    finally:
        await runner.cleanup()
    entries = (await control.queries.journal(0, 100))["entries"]
    found = [(entry["type"], entry["actor"], entry["data"]) for entry in entries]
    assert found[-1] == ("inputs_forgotten", "ann", {"reason": "a new market"})
