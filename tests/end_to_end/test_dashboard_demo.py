"""The demo as it is typed, watched on the dashboard: fault, rollback, reason and incident."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.end_to_end.browser import TabOpener, chromium

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]
LEVELS = """() => {
    window.levels = [];
    const note = () => {
        const level = document.querySelector(".state")?.classList[1];
        if (level && levels.at(-1) !== level) levels.push(level);
    };
    new MutationObserver(note).observe(document, { childList: true, subtree: true, attributes: true });
    note();
}"""


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[TabOpener]:
    async with chromium() as opener:
        yield opener


async def test_the_demo_is_watched_from_the_promotion_to_the_incident(browser: TabOpener) -> None:
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "demo", "--headless", "--json", "--stay"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROLLBACK_ROUTER_")},
    )
    try:
        assert demo.stderr is not None
        url = None
        while url is None:
            line = (await asyncio.wait_for(demo.stderr.readline(), 40)).decode()
            assert line, "the demo has ended"
            url = re.search(r"^Dashboard: (http://127\.0\.0\.1:\d+/)$", line.strip())
        tab = await browser.open(url[1])
        page = tab.page
        await page.evaluate(LEVELS)
        await tab.heading("Rolled back to demo-v1")
        await tab.shows(".lead", "by itself: ")
        await tab.shows(".meta", "Hard failure, errors")
        assert await tab.text(".cards .hot dt") == "Way back"
        levels = await page.evaluate("levels")
        assert levels[-2:] in (["look", "warn"], ["act", "warn"], ["ok", "warn"]), levels
        await tab.shows("#timeline li.bad", "from demo-v2 to demo-v1")
        await tab.shows("#versions", "Quarantined")
        await page.wait_for_selector(".plot .trouble", state="attached")
        await page.wait_for_selector(".plot .mark.strong", state="attached")
        await page.click("#charts summary")
        rows = [row.split("\t") for row in await page.locator("#charts tbody tr").all_inner_texts()]
        failed = [float(row[4].rstrip(" %")) for row in rows if row[1] == "demo-v2" and row[4] != "–"]
        assert max(failed) > 10, rows
        await page.click("#timeline li.bad a")
        await page.wait_for_url("**/v1/incidents/*.html")
        assert "demo-v2" in await tab.text("h1")
        while "until Ctrl-C" not in line:
            line = (await asyncio.wait_for(demo.stderr.readline(), 40)).decode()
            assert line, "the demo has ended"
        demo.send_signal(signal.SIGINT)
        output, said = await asyncio.wait_for(demo.communicate(), 40)
        assert demo.returncode == 0, said.decode()
        assert json.loads(output.splitlines()[-1])["rolled_back"] is True
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.wait()
