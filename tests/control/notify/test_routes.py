"""Channels over HTTP."""

from __future__ import annotations

import socket
from pathlib import Path

import aiohttp

from router.control.admin import app
from router.control.notify import routes as routes
from router.control.notify.addon import NotifyAddon
from tests.control.control_harness import ControlHarness
from tests.control.notify.test_addon import channel, settings_of
from tests.control.receiver import receiving


async def test_channels_are_listed_and_tried_out(control: ControlHarness, tmp_path: Path) -> None:
    async with receiving() as works:
        addon = NotifyAddon(control.control_loop, settings_of(tmp_path, channel("ops", works)), tmp_path, [])
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        runner = await app.serve(
            app.build(control.queries, control.operations, control.settings, routes.operations(addon)), sock
        )
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{url}/v1/notify") as answer:
                    text = await answer.text()
                    assert '"channel":"ops"' in text
                    assert "SECRET" not in text
                for body, expected in (
                    ({}, 200),
                    ({"channel": "ops"}, 200),
                    ({"channel": "x"}, 404),
                    ({"url": "y"}, 400),
                ):
                    async with session.post(f"{url}/v1/notify/test", json=body) as answer:
                        assert answer.status == expected, await answer.text()
                async with session.post(f"{url}/v1/notify/test", json={"channel": "ops", "actor": "ann"}) as answer:
                    (found,) = (await answer.json())["channels"]
                    assert (found["channel"], found["kind"], found["ok"], found["detail"]) == (
                        "ops",
                        "webhook",
                        True,
                        "200 ok",
                    )
        finally:
            await runner.cleanup()
            await addon.close()
