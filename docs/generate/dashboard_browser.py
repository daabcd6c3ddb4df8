"""Pages of Debian's chromium that show the scenes of the dashboard, for its pictures and its tests."""

from __future__ import annotations

import os
from typing import Final, Literal

from playwright.async_api import Browser, Page, Playwright

from docs.generate.dashboard_scenes import ACTOR, REASON, Scene

CHROMIUM: Final = "/usr/bin/chromium"
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
_WITHIN_MS: Final = 90_000
_HOLD: Final = """() => {
    if (window.held) return;
    window.held = [];
    window.ask = window.requestAnimationFrame;
    window.requestAnimationFrame = (drawing) => held.push(drawing);
}"""
_GO_ON: Final = """() => {
    if (!window.held) return;
    window.requestAnimationFrame = window.ask;
    window.held.forEach((drawing) => requestAnimationFrame(drawing));
    window.held = null;
}"""


async def launch(playwright: Playwright, *flags: str, **environment: str) -> Browser:
    """Start the browser with further flags and variables."""
    whole: dict[str, str | float | bool] = {**os.environ, **environment}
    return await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags], env=whole)


async def new_page(browser: Browser, width: int, height: int, *, mobile: bool = False) -> Page:
    """Return a page of so many px in a profile of its own; on a phone its scroll bars take no room."""
    context = await browser.new_context(viewport={"width": width, "height": height}, is_mobile=mobile)
    page = await context.new_page()
    page.set_default_timeout(_WITHIN_MS)
    return page


async def show(page: Page, url: str, scene: Scene) -> None:
    """Return when the page shows the scene; it then stays as it is until `leave`."""
    address = f"{url}/{scene.address}"
    if page.url != address:
        await page.goto(address)
    if scene.dialog == "submit":
        await page.click("dialog[open] [type=submit]")
    await page.wait_for_function(
        "wanted => document.querySelector('h1')?.textContent.includes(wanted)", arg=scene.heading
    )
    if scene.press is not None:
        await page.keyboard.press(scene.press)
    await page.wait_for_selector(scene.ready)
    if scene.typed is not None:
        await page.fill("#f-reason", REASON)
        await page.fill("#f-actor", ACTOR)
        await page.fill("#typed", scene.typed)
        await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    await page.evaluate(_HOLD)


async def leave(page: Page, scene: Scene) -> None:
    """Let the page go on, and close what `show` has opened."""
    await page.evaluate(_GO_ON)
    if scene.dialog != "keep" and await page.locator("dialog[open]").count():
        await page.keyboard.press("Escape")
    await page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
