"""A real rollback is notified; receivers that hang or fail, or a kill in between, do not delay the rollback."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from tests import backends
from tests.backends import Backend
from tests.control.receiver import Receiver, receiving
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(60)]


def settings(url: str, **receivers: Receiver) -> str:
    channels = "".join(
        f'[[notify]]\nname = "{name}"\nkind = "webhook"\nurl = "{receiver.url}"\nevents = ["rollback", "switch"]\n'
        for name, receiver in receivers.items()
    )
    return channels + service_settings(url)


async def rolled_back(router: Router, old: Backend, new: Backend) -> dict[str, Any]:
    await router.promote_new("v2", new.url)
    await router.wait_ready("v1")
    return await router.verb("rollback", reason="wrong scores")


def recorded(router: Router, channel: str) -> int:
    """Return how many notices the outbox remembers as delivered; what is not remembered yet is sent again after a kill."""
    database = sqlite3.connect(f"file:{router.state / 'outbox.sqlite'}?mode=ro", uri=True)
    try:
        query = "SELECT count(*) FROM notices WHERE channel = ? AND notice IS NULL"
        return int(database.execute(query, (channel,)).fetchone()[0])
    finally:
        database.close()


async def test_receivers_that_hang_or_fail_hold_nothing_up(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        async with receiving(None) as hangs, receiving(500) as fails, receiving() as works:
            router = await start_router(settings(old.url, hangs=hangs, fails=fails, works=works))
            done = await rolled_back(router, old, new)
            assert done["confirmed"], "every worker followed within confirm_timeout_s (1)"
            async with asyncio.timeout(15):
                await works.until(2)
            promoted, back = works.events()
            assert (promoted["type"], back["type"]) == ("dev.rollback-router.switch", "dev.rollback-router.rollback")
            assert back["data"]["swap_us"] == done["swap_us"]
            assert back["data"]["reason"] == "wrong scores"

            async def both_recorded() -> bool:
                return recorded(router, "works") == 2

            await until(both_recorded, 10, "both deliveries are in the outbox")

            # Control is killed: what hangs and fails is still owed, and the channel that works hears nothing twice.
            control = (await router.status())["control"]["pid"]
            before = len(fails.got)
            fails.statuses = [200]
            await router.kill([control])

            async def both() -> bool:
                return len({event["id"] for event in fails.events()[before:]}) == 2

            await until(both, 25, "what was owed is delivered")
            assert [event["id"] for event in fails.events()[-2:]] == [promoted["id"], back["id"]], "in their order"
            assert len(works.got) == 2
            assert "SECRET" not in router.log
