"""What a page shows, by the live stream of a real router: a rollback as it happens, and a control that is killed meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests import backends
from tests.backends import Backend
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import SERVICE, RefusedError, Router, service_settings, until
from tests.end_to_end.test_rollback import healthy_but
from tests.end_to_end.traffic import Traffic

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]
TOKEN = "a-token-of-ann"


class Page:
    """What a page makes of the stream. `numbers`: those of the status events of the last connection."""

    def __init__(self, router: Router, cookie: str = "") -> None:
        self.router = router
        self.cookie = cookie
        self.document: dict[str, Any] = {}
        self.numbers: list[int] = []
        self.facts: list[dict[str, Any]] = []
        self.headlines: list[str] = []

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[aiohttp.StreamReader]:
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if known := [fact["seq"] for fact in self.facts if fact["seq"]]:
            headers["Last-Event-ID"] = str(max(known))
        async with aiohttp.ClientSession() as session:
            url = f"{self.router.admin_url}/v1/live?service={SERVICE}"
            async with session.get(url, headers=headers) as response:
                if response.status != 200:
                    raise RefusedError(response.status, await response.json(content_type=None))
                self.numbers = []
                yield response.content

    async def read(self, content: aiohttp.StreamReader) -> None:
        """Read one event."""
        lines = (await asyncio.wait_for(content.readuntil(b"\n\n"), 10)).decode().strip().split("\n")
        kind = next((line[7:] for line in lines if line.startswith("event: ")), None)
        data = json.loads(next((line[6:] for line in lines if line.startswith("data: ")), "{}"))
        if kind == "fact":
            self.facts.append(data)
        elif kind == "status":
            assert "document" in data or data["number"] == self.numbers[-1] + 1
            self.numbers.append(data["number"])
            self.document = data["document"] if "document" in data else patched(self.document, data["patch"])
            state = self.document["service"]["headline"]["state"]
            if self.headlines[-1:] != [state]:
                self.headlines.append(state)


def patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        found.pop(name, None) if value is None else found.update({name: patched(found.get(name), value)})
    return found


async def test_a_page_sees_the_fault_the_rollback_and_the_reason(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url))
        await router.promote_new("v2", new.url)
        page = Page(router)
        async with Traffic(router.url, per_s=60) as traffic, page.connected() as content:
            while page.document.get("service", {}).get("headline", {}).get("state") != "probation":
                await page.read(content)
            await traffic.more(60)
            new.behaviour = healthy_but(backends.status(500))
            while page.headlines[-1] != "rolled_back":
                await page.read(content)
            headline = page.document["service"]["headline"]
            assert headline["level"] == "warn"
            assert headline["by"] == "verdict"
            assert headline["params"]["left"] == "v2"
            assert headline["params"]["incident"] in page.document["service"]["incidents_open"]
            assert page.document["service"]["verbs"]["rollback"]["allowed"] is False
            while not any(fact["type"] == "rolled_back" for fact in page.facts):
                await page.read(content)
            while page.document["points"] == [] or page.document["points"][-1]["version"] != "v1":
                await page.read(content)
        seconds = await router.call("GET", f"/v1/services/{SERVICE}/history?since=2m&step_s=1")
        assert {point["version"] for point in seconds["points"]} == {"v1", "v2"}
        assert max(point["faults"] for point in seconds["points"] if point["version"] == "v2") > 10


async def test_a_page_goes_on_after_control_was_killed(start_router: StartRouter) -> None:
    """The session outlives control, and no fact is lost."""
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url))
        plain = router.settings
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        router.settings += f'[[admin.tokens]]\nname = "ann"\nrole = "operator"\nsha256 = "{digest}"\n'
        await reload(router, guarded=True)
        cookie, csrf = await sign_in(router)
        page = Page(router, cookie)
        freeze = f"/v1/services/{SERVICE}/freeze"
        async with page.connected() as content:
            await page.read(content)
            with pytest.raises(RefusedError) as refused:
                await router.call("POST", freeze, {"reason": "forged"}, Cookie=cookie)
            assert refused.value.code == "csrf_invalid"
            await router.call("POST", freeze, {"reason": "a test"}, **{"Cookie": cookie, "X-CSRF-Token": csrf})
            while not page.facts:
                await page.read(content)
            assert page.facts[0]["actor"] == "ann"
            await router.kill([page.document["router"]["control"]["pid"]])
            with pytest.raises((asyncio.IncompleteReadError, aiohttp.ClientError)):
                while True:
                    await page.read(content)

        own = {"Cookie": cookie, "X-CSRF-Token": csrf}

        async def unfrozen() -> bool:
            try:
                await router.call("POST", freeze.replace("freeze", "unfreeze"), {}, **own)
            except (aiohttp.ClientError, RefusedError):
                return False
            return True

        await until(unfrozen, 20, "the session is valid for another control")
        async with page.connected() as content:
            while page.facts[-1]["type"] != "unfrozen":
                await page.read(content)
        assert page.numbers[0] == 1  # a whole document of another control
        assert page.document["router"]["control"]["starts"] == 2
        assert "frozen" not in page.document["service"] or page.document["service"]["frozen"] is None
        await router.call("DELETE", "/v1/session", **own)
        router.settings = plain
        await reload(router, guarded=False)


async def reload(router: Router, *, guarded: bool) -> None:
    """Apply the settings; return when the admin port asks for tokens, or does not."""
    router.arguments()
    router.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]  # it runs

    async def applied() -> bool:
        try:
            await router.status()
        except RefusedError as refused:
            return guarded and refused.code == "token_missing"
        return not guarded

    await until(applied, 10, "the settings are in force")


async def sign_in(router: Router) -> tuple[str, str]:
    """Return the cookie and the CSRF token of a new session."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{router.admin_url}/v1/session", json={"token": TOKEN}) as response:
            assert response.status == 200
            cookie = response.headers["Set-Cookie"].partition(";")[0]
            return cookie, (await response.json())["csrf"]
