"""Every state of the dashboard, as a running router comes to it: without a serious finding, in both themes, at each width."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.generate.dashboard_browser import leave, show
from docs.generate.dashboard_scenes import scenes
from docs.generate.dashboard_stage import Stage
from tests.end_to_end.browser import chromium

pytestmark = [pytest.mark.end_to_end, pytest.mark.nightly, pytest.mark.timeout(900)]
SCENES = [
    *("probation", "well", "actions", "frozen", "drill", "confirm", "lost-race", "failing", "rolled-back"),
    *("nothing-useful", "proposal", "no-way-back", "list", "services", "again", "stale", "sign-in"),
]


async def test_no_scene_has_a_serious_finding(tmp_path: Path) -> None:
    seen, found = [], []
    async with Stage(tmp_path) as stage, chromium() as browser:
        tab = await browser.open(stage.url)
        async for scene in scenes(stage):
            await show(tab.page, stage.url, scene)
            found += await tab.findings_everywhere(scene.name)
            await tab.page.set_viewport_size({"width": 1280, "height": 900})
            await leave(tab.page, scene)
            seen.append(scene.name)
    assert found == [], "\n".join(found)
    assert seen == SCENES
