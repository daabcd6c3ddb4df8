"""Every command that a page shows is run, and shows what the page shows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.documents.pages import ROOT, blocks, name_of, pages

PAGE_S = 240
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(PAGE_S + 20)]
WITH_COMMANDS = [
    page for page in pages() if any(block.language == "console" for block in blocks(page.read_text("utf-8")))
]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
async def test_the_commands_of_a_page_do_what_the_page_shows(page: Path) -> None:
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.documents.run", str(page)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    try:
        output, _ = await asyncio.wait_for(running.communicate(), PAGE_S)
    except TimeoutError:
        running.kill()
        await running.wait()
        pytest.fail(f"{name_of(page)} takes more than {PAGE_S} s")
    assert running.returncode == 0, output.decode()
