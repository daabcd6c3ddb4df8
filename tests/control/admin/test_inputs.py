"""Learning anew what is good, over HTTP."""

from __future__ import annotations

import socket

import aiohttp

from router.control.admin import app, inputs
from router.control.quality.inputs import Inputs
from tests.control.crew_of_fakes import Life


async def test_learning_anew_is_journalled_with_its_actor(life: Life) -> None:
    office = Inputs(life.controller, life.settings, ())
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1/services"
    runner = await app.serve(app.build(life.controller, life.settings, inputs.operations(office)), sock)
    try:
        async with aiohttp.ClientSession() as session:
            for service, status in (("svc", 200), ("other", 404)):
                body = {"reason": "a new market", "actor": "ann"}
                async with session.post(f"{url}/{service}/inputs/relearn", json=body) as answer:
                    assert answer.status == status
    finally:
        await runner.cleanup()
    entries = (await life.controller.view.journal(0, 100))["entries"]
    found = [(entry["type"], entry["actor"], entry["data"]) for entry in entries]
    assert found[-1] == ("inputs_forgotten", "ann", {"reason": "a new market"})
