"""The dashboard of 64 services: what it costs the browser and control, and whether it is usable by keyboard at each width.

`pytest --nightly -s tests/end_to_end/test_dashboard_services.py` prints the figures that docs/performance.md has.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from benchmarks.program import cpu_s
from tests import backends
from tests.backends import Backend
from tests.end_to_end.browser import TabOpener, chromium
from tests.end_to_end.conftest import StartRouter
from tests.end_to_end.real_router import Router, until

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.alone, pytest.mark.timeout(400)]
SERVICES = [f"model-{number:02}" for number in range(64)]
PAUSE_S = 0.5
"""Between two requests to one service."""
NODES_MAX = 2000
SLICES = 6
SLICE_S = 5.0
VIEWERS = 3
WATCH = """
window.drawings = [];
const ask = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (drawing) => ask((now) => {
    const began = performance.now();
    drawing(now);
    drawings.push(performance.now() - began);
});
new MutationObserver(() => {
    if (!window.listedMs && document.querySelectorAll(".services tbody tr").length >= 64) window.listedMs = performance.now();
}).observe(document, { childList: true, subtree: true });
"""


def settings(old: str, new: str) -> str:
    return "".join(
        f'[services.{name}]\npath_prefix = "/{name}"\nactive = {{ version = "{name}-v2", endpoints = ["{new}"] }}\n'
        f'standby = {{ version = "{name}-v1", endpoints = ["{old}"] }}\nprobe = {{ path = "/health" }}\n'
        for name in SERVICES
    )


@asynccontextmanager
async def traffic(url: str) -> AsyncIterator[None]:
    async def ask(session: aiohttp.ClientSession, service: str) -> None:
        while True:
            async with session.post(f"{url}/{service}/infer", json={"inputs": [1, 2, 3]}) as response:
                await response.read()
            await asyncio.sleep(PAUSE_S)

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(ask(session, service)) for service in SERVICES]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def asked(router: Router) -> bool:
    """Return whether every service has been asked."""
    services = (await router.status())["services"].values()
    return all(
        sum(target["totals"]["outcomes"].values()) > 0 for service in services for target in service["targets"][:1]
    )


async def test_the_list_is_light_and_usable_by_keyboard(start_router: StartRouter) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new, chromium() as browser:
        router = await start_router(settings(old.url, new.url))
        async with traffic(router.url):
            await until(lambda: asked(router), 60, "every service was asked")
            await looked_at(browser, router)


async def looked_at(browser: TabOpener, router: Router) -> None:
    await browser.open(f"{router.admin_url}/livez")  # the browser's own first page is not measured
    tab = await browser.open("about:blank")
    page = tab.page
    await page.add_init_script(WATCH)
    await page.goto(router.admin_url)
    await tab.heading("64 services")
    await page.wait_for_function("() => window.listedMs")
    painted = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    listed = await page.evaluate("listedMs")
    await page.evaluate("drawings.length = 0")
    await page.wait_for_function("() => drawings.length >= 15", polling=500, timeout=60_000)
    drawings = sorted(await page.evaluate("drawings"))
    nodes = await page.evaluate("document.querySelectorAll('*').length")
    print(
        f"\nfirst paint {painted:.0f} ms, list {listed:.0f} ms after the address was opened; an update "
        f"{statistics.median(drawings):.1f} ms (p50), {drawings[-1]:.1f} ms (max of {len(drawings)}); {nodes} nodes"
    )
    assert nodes < NODES_MAX
    assert await tab.findings_everywhere("64 services") == []
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.keyboard.press("s")
    await page.wait_for_function("() => document.activeElement.id === 'find'")
    await page.keyboard.type("model-6")
    await page.wait_for_function("() => document.querySelectorAll('.services tbody tr').length === 4")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.id") == "only"
    reached = []
    for _ in range(4):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.textContent"))
    assert reached == ["model-60", "model-61", "model-62", "model-63"]
    await page.keyboard.press("Enter")
    await tab.heading("model-63-v2")


class Viewers:
    """Readers of the live stream. `octets`: how many they have read."""

    def __init__(self, url: str) -> None:
        self.octets = 0
        self._url = url

    async def read(self, number: int, seconds: float) -> None:
        """Let so many readers read for so long."""
        readers = [asyncio.create_task(self._one()) for _ in range(number)]
        await asyncio.sleep(seconds)
        assert not any(reader.done() for reader in readers)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _one(self) -> None:
        async with aiohttp.ClientSession() as session, session.get(self._url) as response:
            assert response.status == 200
            async for piece in response.content.iter_any():
                self.octets += len(piece)


@pytest.mark.parametrize("service", ["", SERVICES[0]], ids=["list", "one service"])
async def test_the_live_stream_costs_control_little(start_router: StartRouter, service: str) -> None:
    async with Backend(backends.ok()) as old, Backend(backends.ok()) as new, AsyncExitStack() as stack:
        router = await start_router(settings(old.url, new.url))
        await stack.enter_async_context(traffic(router.url))
        await until(lambda: asked(router), 60, "every service was asked")
        control = (await router.status())["control"]["pid"]
        viewers = Viewers(f"{router.admin_url}/v1/live{f'?service={service}' if service else ''}")
        without, beside = [], []
        for _ in range(SLICES):
            for shares, number in ((without, 0), (beside, VIEWERS)):
                began, used = time.monotonic(), cpu_s([control])
                await viewers.read(number, SLICE_S)
                shares.append((cpu_s([control]) - used) / (time.monotonic() - began))
        more = [1000 * (high - low) for low, high in zip(without, beside, strict=True)]
        kb_s = viewers.octets / 1000 / (SLICES * SLICE_S * VIEWERS)
        print(
            f"\n{service or 'list'}: control {1000 * statistics.median(without):.0f} ms/s without viewers, "
            f"{statistics.median(more):.0f} [{min(more):.0f}, {max(more):.0f}] ms/s more with {VIEWERS}; {kb_s:.1f} kB/s each"
        )
        assert statistics.median(more) < 100
