"""The dashboard in a real browser, on a real router."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests import backends
from tests.backends import Backend
from tests.end_to_end.browser import TabOpener, chromium
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, service_settings, until
from tests.texts import golden

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[TabOpener]:
    async with chromium() as opener:
        yield opener


async def test_a_version_is_deployed_and_promoted_by_buttons(browser: TabOpener, start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url))
        tab = await browser.open(router.admin_url)
        page = tab.page
        await tab.heading("Serving v1")
        await tab.action("Deploy")
        await page.fill("#f-version", "v2")
        await page.fill("#f-endpoints", new.url)
        await page.click("dialog [type=submit]")
        await tab.shows(".done", "v2")
        await router.wait_ready("v2")
        await tab.action("Promote")
        await page.fill("#f-reason", "bigger trees")
        await page.fill("#f-actor", "mara")
        await page.fill("#typed", "v3")
        await page.press("#typed", "Enter")
        assert await page.locator("dialog [type=submit]").get_attribute("aria-disabled") == "true"
        assert (await router.service())["active"] == "v1"
        await page.fill("#typed", "v2")
        await page.press("#typed", "Enter")
        await tab.heading("Serving v2")
        await tab.shows(".done", "v2 is active")
        assert await page.locator("dialog[open]").count() == 0
        await tab.shows(".cards", "v1")
        await tab.shows("#timeline li.key", "bigger trees")
        [entry] = await router.journal("promoted")
        assert (entry["actor"], entry["data"]["reason"]) == ("mara", "bigger trees")


async def test_of_two_people_the_second_one_is_told_who_was_faster(
    browser: TabOpener, start_router: StartRouter
) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url))
        first, second = await browser.open(router.admin_url), await browser.open(router.admin_url)
        for tab in (first, second):
            await tab.heading("Serving v1")
            await tab.page.click(".does [data-verb=rollback]")
            await tab.page.fill("#typed", "v2")
        await first.page.fill("#f-actor", "jonas")
        await first.page.click("dialog [type=submit]")
        await first.heading("v2")
        await second.heading("v2")  # the page behind the dialog shows the new state
        await second.page.click("dialog [type=submit]")
        await second.shows("dialog .note", "Another change came first; nothing was changed.")
        told = await second.text("dialog .note")
        assert "jonas" in told
        assert "rollback from v1 to v2" in told
        assert "You decided on generation 1.1" in told
        assert await second.page.locator("dialog [type=submit]").count() == 0
        await second.page.click("dialog button:has-text('Close')")
        assert len(await router.journal("rolled_back")) == 1
        assert await second.page.locator(".does [data-verb=rollback]").get_attribute("aria-disabled") == "true"
        assert await second.text("#no-back") == golden("dashboard.no_standby")


async def test_while_control_is_dead_the_page_says_so_and_goes_on_by_itself(
    browser: TabOpener, start_router: StartRouter
) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        router = await start_router(service_settings(old.url, new.url))
        tab = await browser.open(router.admin_url)
        await tab.heading("Serving v1")
        await tab.shows("#live", "Live")
        control = (await router.status())["control"]["pid"]
        for pid in (router.pid, control):  # a supervisor that runs would start another control at once
            os.kill(pid, signal.SIGSTOP)
        await tab.shows("#live.stale", "No news for")
        await tab.shows(".box", "Nothing was heard from the router")
        button = tab.page.locator(".does [data-verb=rollback]")
        assert await button.get_attribute("aria-disabled") == "true"
        await button.evaluate("found => found.click()")
        assert await tab.page.locator("dialog[open]").count() == 0
        assert "Serving v1" in await tab.text("h1")
        found = await tab.findings_everywhere("nothing was heard")
        await router.kill([control])
        os.kill(router.pid, signal.SIGCONT)
        await tab.shows("#live:not(.stale)", "Live")
        await tab.page.wait_for_selector("#main .box", state="detached")
        await tab.shows("#timeline", "control was restarted")
        assert await button.get_attribute("aria-disabled") is None
        assert found == []


def _token(name: str, role: str) -> str:
    digest = hashlib.sha256(f"{name}-secret".encode()).hexdigest()
    return f'[[admin.tokens]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest}"\n'


async def _reload(router: Router, settings: str) -> None:
    """Let the router read other settings."""
    router.settings = settings
    router.arguments()
    os.kill(router.pid, signal.SIGHUP)


async def test_sign_in_and_what_a_viewer_may(browser: TabOpener, start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new:
        services = service_settings(old.url, new.url)
        router = await start_router(services)
        tab = await browser.open(router.admin_url)
        page = tab.page
        await tab.heading("Serving v1")
        await _reload(router, services + _token("eve", "viewer") + _token("ops", "operator"))
        await tab.heading("Sign in")  # by itself: the stream of the page has ended
        assert await tab.findings() == []
        await page.fill("#token", "wrong")
        await page.press("#token", "Enter")
        await tab.shows("#refused", "Not signed in")
        await page.fill("#token", "eve-secret")
        await page.press("#token", "Enter")
        await tab.heading("Serving v1")
        await tab.shows("#foot", "eve (viewer)")
        assert await tab.text("#no-back") == golden("dashboard.role_missing")
        await page.reload()
        await tab.heading("Serving v1")  # the cookie is enough
        await page.click("#foot button:has-text('Sign out')")
        await tab.heading("Sign in")
        await page.fill("#token", "ops-secret")
        await page.press("#token", "Enter")
        await tab.heading("Serving v1")
        await tab.action("Freeze")
        await page.fill("#f-reason", "load test")
        await page.click("dialog [type=submit]")
        await tab.heading("frozen")
        await tab.shows("#timeline", "automation was frozen: load test")
        await page.goto("about:blank")
        await _reload(router, services)

        async def open_again() -> bool:
            return await router.ready()

        await until(open_again, 20, "no token is needed")


async def test_marks_of_a_period_are_loaded_beyond_the_first_page_of_the_timeline(
    browser: TabOpener, start_router: StartRouter
) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url))
        for _ in range(30):
            await router.verb("freeze", reason="load test")
            await router.verb("unfreeze")
        tab = await browser.open(router.admin_url)
        await tab.page.wait_for_function("() => document.querySelectorAll('.plot .mark').length >= 60")
        assert await tab.page.locator("#timeline li:not(.day)").count() < 20


async def test_figures_events_and_differences_are_read_as_they_are_meant(
    browser: TabOpener, start_router: StartRouter
) -> None:
    async with Backend(backends.ok()) as old:
        router = await start_router(service_settings(old.url))
        tab = await browser.open(router.admin_url)
        found = await tab.page.evaluate("""async () => {
            const { Events, merged } = await import("./dashboard/stream.js");
            const { count, lasting, left, ms, rate, share } = await import("./dashboard/format.js");
            const events = new Events();
            return {
                shares: [null, 0, 0.00001, 0.0004, 0.5, 0.999999, 1].map(share),
                rates: [null, 0, 0.01, 3.14, 1234.5].map(rate),
                others: [count(1234567), ms(null), ms(0.64), ms(1234.5), lasting(119), lasting(7300), left(252), left(0)],
                half: events.feed("event: status\\ndata: {\\"a\\":1}\\n\\n: heart"),
                rest: events.feed("beat\\n\\nid: 7\\nevent: fact\\ndata: {}\\n\\n"),
                merged: merged({ a: 1, b: { c: [1, 2], d: 2 }, e: 3 }, { a: null, b: { c: [3] }, f: { g: null } }),
            };
        }""")
    assert found == {
        "shares": ["–", "0 %", "< 0.01 %", "0.04 %", "50.0 %", "99.99 %", "100 %"],
        "rates": ["–", "0", "< 0.1", "3.1", "1,235"],
        "others": ["1,234,567", "–", "0.6", "1,235", "119 s", "2 h", "4:12", "0:00"],
        "half": [{"event": "status", "data": '{"a":1}', "id": None}],
        "rest": [{"event": "fact", "data": "{}", "id": "7"}],
        "merged": {"b": {"c": [3], "d": 2}, "e": 3, "f": {}},
    }
