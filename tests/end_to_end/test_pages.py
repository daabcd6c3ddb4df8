"""Every command that a page shows is run, and shows what the page shows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.documents.pages import ROOT, blocks, name_of, pages
from tests.end_to_end.page_process import page_output
from tests.end_to_end.real_router import children, gone

PAGE_S = 240
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(PAGE_S + 20)]
WITH_COMMANDS = [
    page for page in pages() if any(block.language == "console" for block in blocks(page.read_text("utf-8")))
]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
async def test_the_commands_of_a_page_do_what_the_page_shows(page: Path) -> None:
    await page_output(page, PAGE_S)


async def test_a_page_that_is_ended_early_leaves_no_process() -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.documents.run", str(ROOT / "README.md")),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert running.stdout is not None
    assert b"rollback-router run" in await running.stdout.readline()
    assert b"curl" in await running.stdout.readline()  # the router of the page is ready
    left = [*descendants(running.pid)]
    assert len(left) >= 4, "a shell, and a router with control and workers"
    running.terminate()
    assert await running.wait() == 1
    await gone(left)


def descendants(pid: int) -> list[int]:
    """Return the processes that `pid` has started, directly or not."""
    return [found for child in children(pid) for found in (child, *descendants(child))]
