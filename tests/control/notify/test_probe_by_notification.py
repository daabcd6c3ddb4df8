"""A business alert comes in, an operator is asked by notification, and presses the button in it: the offices put together."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from router.control.admin import app
from router.control.wiring import AddonDeps, add_addons
from router.settings.settings import Settings
from tests.control.control_harness import ControlHarness, FakeWorkers, new_segment, settings
from tests.control.hook_harness import BEARER, firing, webhook
from tests.control.receiver import receiving
from tests.texts import golden
from tests.waiting import until


async def test_a_business_alert_asks_a_person_who_decides_by_the_link(tmp_path: Path) -> None:
    async with receiving() as people:
        changed = Settings.model_validate({
            **settings(tmp_path).model_dump(),
            "alerts": {
                "tokens": [{"name": "am", "sha256": hashlib.sha256(b"am-secret").hexdigest()}],
                "map": [{"kind": "business", "matchers": {"signal": "business"}}],
            },
            "notify": [{"name": "on-call", "kind": "webhook", "url": people.url, "events": ["proposal", "rollback"]}],
        })  # fmt: skip
        segment = new_segment()
        workers = FakeWorkers(segment)
        control = await ControlHarness(changed, segment, workers, tmp_path).begin()
        operations = add_addons(AddonDeps(control.core, changed, tmp_path))
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        runner = await app.serve(app.build(control.queries, control.operations, changed, operations), sock)
        control.probe("v2", times=3)

        def tick() -> None:
            control.tick(1)
            control.control_loop.tick(control.now_ns, 0.0)

        async def notified(count: int) -> None:
            await until(lambda: len(people.got) >= count or tick())

        try:
            async with aiohttp.ClientSession() as session:
                alert = webhook(firing(signal="business", alertname="Refunds"))
                async with session.post(f"{url}/v1/hooks/alertmanager", json=alert, headers=BEARER) as answer:
                    assert (await answer.json())["alerts"][0]["result"] == "counts"
                await notified(1)
                (asked,) = people.events()
                assert asked["type"] == "dev.rollback-router.proposal"
                assert asked["data"]["title"] == golden("notification.proposed", service="svc", version="v1", to="v2")
                assert asked["data"]["facts"]["alert"] == "Refunds: PSI 0.41 > 0.25"
                assert control.states() == {"v1": "active", "v2": "standby"}
                links = asked["data"]["links"]
                assert set(links) == {"Details", "Approve", "Deny"}
                async with session.post(url + urlsplit(links["Approve"]).path, data={"actor": "ann"}) as answer:
                    assert answer.status == 200, await answer.text()
                assert control.states()["v2"] == "active"
                await notified(3)
                assert {event["type"].rpartition(".")[2] for event in people.events()[1:]} == {"proposal", "rollback"}
        finally:
            await runner.cleanup()
            for addon in control.control_loop.addons:
                await addon.close()
            await control.end()
            workers.close()
            segment.close()
