"""A real browser: Debian's chromium, driven by Playwright. Each tab keeps what its console says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright

from docs.generate.dashboard_browser import THEMES, Theme, launch

WIDTHS = (320, 390, 800, 1280)
AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
SERIOUS = ("serious", "critical")
_NETWORK = "Failed to load resource"
"""How the console reports an answer of 400 and more, and a connection that fails. Tests see those for themselves."""


class Tab:
    """One page in a browser profile of its own. `complaints`: what the console says that it should not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", self._error)
        page.set_default_timeout(30_000)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_NETWORK):
            self.complaints.append(message.text)

    def _error(self, error: Error) -> None:
        self.complaints.append(str(error))

    async def heading(self, text: str) -> None:
        """Return once the first heading holds `text`."""
        await self.page.wait_for_function(
            "wanted => document.querySelector('h1')?.textContent.includes(wanted)", arg=text
        )

    async def shows(self, selector: str, text: str = "") -> None:
        """Return once an element is visible that holds `text`."""
        await self.page.locator(selector, has_text=text).first.wait_for()

    async def text(self, selector: str) -> str:
        return " ".join((await self.page.locator(selector).first.inner_text()).split())

    async def action(self, title: str) -> None:
        """Open the dialog of a verb by the list of all actions."""
        await self.page.click("[data-all]")
        await self.page.click(f".verbs button:has-text('{title}…')")

    async def findings(self) -> list[str]:
        """Return what axe finds that is serious: the rule, and the first element."""
        if not await self.page.evaluate("typeof axe === 'object'"):
            await self.page.evaluate(AXE)
        found: list[dict[str, Any]] = (await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})"))[
            "violations"
        ]
        return [
            f"{rule['id']}: {rule['nodes'][0]['html'][:200]} {rule['nodes'][0]['failureSummary'][:300]}"
            for rule in found
            if rule["impact"] in SERIOUS
        ]

    async def findings_everywhere(self, name: str) -> list[str]:
        """Return `findings` in both themes at each width, and where the page is wider than the window."""
        found = []
        for theme in THEMES:
            await self.page.emulate_media(color_scheme=theme)
            for width in WIDTHS:
                await self.page.set_viewport_size({"width": width, "height": 900})
                found += [f"{name}, {theme}, {width}: {finding}" for finding in await self.findings()]
                if await self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{name}, {theme}, {width}: it scrolls sideways")
        return found


class TabOpener:
    """Opens tabs; at the end none of them may have a complaint."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.tabs: list[Tab] = []

    async def open(self, url: str, width: int = 1280, height: int = 900, theme: Theme = "light") -> Tab:
        context = await self._browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        tab = Tab(await context.new_page())
        self.tabs.append(tab)
        await tab.page.goto(url)
        return tab


@asynccontextmanager
async def chromium() -> AsyncIterator[TabOpener]:
    """Run a browser."""
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        try:
            opener = TabOpener(browser)
            yield opener
            assert [complaint for tab in opener.tabs for complaint in tab.complaints] == []
        finally:
            await browser.close()
