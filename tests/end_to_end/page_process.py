"""A page of the documents, whose commands run in a process of its own."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.documents.pages import ROOT, name_of


async def page_output(page: Path, within_s: float, *programs: Path) -> str:
    """Run the commands of a page (tests/documents/run.py) and return what it prints. The test fails if a command does not do
    what the page shows, or if the page takes longer than `within_s`.
    """
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.documents.run", str(page), *map(str, programs)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
    )
    try:
        output, _ = await asyncio.wait_for(running.communicate(), within_s)
    except TimeoutError:
        pytest.fail(f"{name_of(page)} takes more than {within_s:g} s")
    finally:
        if running.returncode is None:
            running.terminate()  # so that it ends its processes, too
            await running.wait()
    assert running.returncode == 0, output.decode()
    return output.decode()
